"""The error of a load test that cannot be started."""


class LoadTestError(Exception):
    """One sentence that names the cause and the way out."""
