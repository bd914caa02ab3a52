"""Runs both planes and Triton on one machine, as one thing that starts, restarts and stops."""
