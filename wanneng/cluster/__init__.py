"""`wanneng cluster`: the status of a release on Kubernetes, whether its answers are right, and moving its pods."""
