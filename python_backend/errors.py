"""The refusals of this package. Knows nothing about Triton's error codes.

WannengError
├── InvalidRequest    the caller's input; the message names the field and the way out
└── EngineError       the engine folder or the engine itself
"""


class WannengError(Exception):
    """Every error that this package raises on purpose."""


class InvalidRequest(WannengError):
    """The request cannot be answered as it is."""


class EngineError(WannengError):
    """The engine cannot be loaded or failed while it ran."""
