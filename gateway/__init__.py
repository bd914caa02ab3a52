"""The HTTP process in front of Triton: validates, asks Triton for logits, ranks, reports."""
