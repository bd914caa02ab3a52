"""What a process inherits of its parent's signals, and passes on to its own children."""

from __future__ import annotations

import signal


def reset_signals() -> None:
    """Block none, so that SIGTERM stops this process and its children, and let it hear how these ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
