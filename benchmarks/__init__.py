"""Benchmarks that anyone can run again; their results are data in `results/`."""
