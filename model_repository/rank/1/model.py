"""Triton loads this file; the model is defined in python_backend/triton/rank.py."""

from logs import setup
from python_backend.triton.rank import RankModel as TritonPythonModel

__all__ = ["TritonPythonModel"]

setup.configure("json", setup.STDERR)
