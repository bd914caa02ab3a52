"""Triton loads this file; the model itself is in python_backend/triton/expand.py."""

from python_backend.triton.expand import ExpandModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
