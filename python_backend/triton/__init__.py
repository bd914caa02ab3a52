"""The folder that knows Triton: one module a model, and the two edges they share."""
