"""Builds inference engines from StructBERT snapshots, and verifies them against PyTorch."""
