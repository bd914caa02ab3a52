"""Trains the embedded model from files of texts and labels."""
