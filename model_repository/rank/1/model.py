"""Triton loads this file; the model is defined in python_backend/triton/rank.py."""

from python_backend.triton.rank import RankModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
