"""Compatible APIs: the requests and answers of other products, on the same service."""
