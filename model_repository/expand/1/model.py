"""Triton loads this file; the model is defined in python_backend/triton/expand.py."""

from logs import setup
from python_backend.triton.expand import ExpandModel as TritonPythonModel

__all__ = ["TritonPythonModel"]

setup.configure("json", setup.STDERR)
