"""Triton loads this file; the model is defined in python_backend/triton/structbert.py."""

from logs import setup
from python_backend.triton.structbert import StructBertModel as TritonPythonModel

__all__ = ["TritonPythonModel"]

setup.configure("json", setup.STDERR)
