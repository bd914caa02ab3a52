"""Triton loads this file; the model is defined in python_backend/triton/structbert.py."""

from python_backend.triton.structbert import StructBertModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
