"""The control plane: tenants, keys, label sets, usage reports, files and batches, and the page."""
