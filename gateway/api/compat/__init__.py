"""Compatible APIs: the bodies and answers of other products, on the same service."""
