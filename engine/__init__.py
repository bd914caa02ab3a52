"""Builds engines: a StructBERT snapshot becomes ONNX and INT8. Knows nothing about Triton or HTTP."""
