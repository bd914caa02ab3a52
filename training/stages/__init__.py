"""The stages of training, each a loss for the training loop, and the layer that is computed between them."""
