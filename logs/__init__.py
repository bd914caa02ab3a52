"""The log format of all processes, and the setup of Python's logging; standard library only."""
