"""Is an engine what PyTorch says? Runs where engines are served: no torch, no transformers."""
