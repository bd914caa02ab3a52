"""Pairs that were computed before, and pairs that are being computed."""
