"""What runs inside Triton: labels become token pairs, logits become scores. `triton/` alone knows Triton."""
