"""Runs Triton and the gateway on one machine, as one thing that starts, restarts and stops."""
