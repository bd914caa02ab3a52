"""Trains the embedded model. Knows files of texts and labels, nothing about serving."""
