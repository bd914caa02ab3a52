"""Exports a network as an ONNX graph and rewrites it: fusion, half precision, quantization, ragged inputs."""
