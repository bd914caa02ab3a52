"""Tenants, keys, quotas and label sets from a YAML file that is only read, for clusters that keep them in Git."""
