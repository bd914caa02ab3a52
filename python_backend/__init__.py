"""The Python models that Triton runs: tokenization, inference on CPUs, ranking. `triton/` alone imports Triton."""
