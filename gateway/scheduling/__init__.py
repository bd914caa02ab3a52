"""Whose pairs go to Triton next, and at what throughput."""
