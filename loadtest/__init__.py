"""Load tests for a gateway or a Triton: realistic traffic, checked responses, a pass or fail exit code."""
