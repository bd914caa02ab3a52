"""Compares engines with PyTorch's logits; needs no torch, so that it runs where engines are served."""
