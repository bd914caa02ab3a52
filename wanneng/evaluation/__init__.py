"""Judges models on labelled texts: asks them, scores their answers, compares them, and reports it."""
