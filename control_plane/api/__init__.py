"""The control plane over HTTP: each module has the endpoints of one kind, with their operations."""
