"""What a load test cannot be started with."""


class LoadError(Exception):
    """One sentence that names the thing and the way out."""
