"""The worker: answers batches by asking the gateway, beside the process that serves the control plane."""
