"""Triton's Python backend: one module per model, and the adapters for requests and tensors that they share."""
