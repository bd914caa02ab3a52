"""What an operator asks of a release on Kubernetes: how it is, whether it answers right, and how to move it."""
