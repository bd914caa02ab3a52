"""The losses of the training stages, and the comparison layer that is computed between two of them."""
