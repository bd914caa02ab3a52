"""The process that answers batches, beside the one that answers people."""
