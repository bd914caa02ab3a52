"""Measurements that can be redone; results as data."""
