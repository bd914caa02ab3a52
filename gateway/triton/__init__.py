"""Triton: its protocol, one server, and many of them behind a load balancer."""
