"""The data plane: authenticates, validates, caches, queues, asks Triton, answers and counts."""
