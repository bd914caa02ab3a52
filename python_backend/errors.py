"""The errors of the Python models; `triton/requests.py` alone turns them into Triton's error codes.

BackendError
├── InvalidInput             the caller's input; the message names the field and the way out
│   ├── InvalidTokenLimit    `token_limit`: outside the range that the engine takes
│   ├── PairTooLong          `pair_too_long`: longer than the bucket that the caller chose
│   └── NothingToRead        `nothing_to_read`: a text or a label without any token
│       └── UnreadableLabel
└── EngineError              the engine's folder or the engine itself

A message that another process acts on begins with its code and a colon; everything after that is for people.
"""


class BackendError(Exception):
    """Base class of the errors that this package raises on purpose."""


class InvalidInput(BackendError):
    """The request is invalid; the message begins with the name of the input at fault."""


class InvalidTokenLimit(InvalidInput):
    """The requested token limit is outside the range that the engine takes."""

    code = "token_limit"

    def __init__(self, reason: str) -> None:
        super().__init__(f"{self.code}: {reason}")


class PairTooLong(InvalidInput):
    """A pair has more tokens than the length that its rows are to be padded to."""

    code = "pair_too_long"

    def __init__(self, reason: str) -> None:
        super().__init__(f"{self.code}: {reason}")


class NothingToRead(InvalidInput):
    """The tokenizer leaves nothing of the text, or of a label; the code is followed by which of them."""

    code = "nothing_to_read"

    def __init__(self, what: str) -> None:
        super().__init__(f"{self.code}: {what}")


class UnreadableLabel(NothingToRead):
    """The label of a pair."""

    def __init__(self) -> None:
        super().__init__("label")


class EngineError(BackendError):
    """The engine cannot be loaded, or failed during inference."""
