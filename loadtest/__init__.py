"""Loads a gateway or a Triton as real users would, and judges what comes back."""
