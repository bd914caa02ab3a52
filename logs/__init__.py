"""The format of every line that a process logs, and Python's logging set up for it; standard library only."""
