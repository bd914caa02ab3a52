"""The errors of this package; every message names the thing, the cause and the way out.

BuildError
├── SnapshotError         the source is incomplete or of another kind
├── VerificationError     the engine's logits differ from the reference's; nothing is published
└── TargetError           the target of a verification cannot be run, or its reference cannot be read
"""


class BuildError(Exception):
    """Base class of the errors that this package raises on purpose."""


def reason_of(error: BaseException) -> str:
    """One line of what another library's error says; with its kind where it says a word or nothing."""
    return with_kind(error, str(error).strip().partition("\n")[0])


def with_kind(error: BaseException, reason: str) -> str:
    """`reason`, with the kind of the error where that is a word or nothing."""
    return reason if " " in reason else f"{type(error).__name__} {reason}".strip()


class SnapshotError(BuildError):
    """The source of an engine, a snapshot or another engine, is incomplete or of another kind."""


class VerificationError(BuildError):
    """The logits of an engine differ from PyTorch's by more than its tolerance."""


class TargetError(BuildError):
    """The target of a verification, an ONNX file or a Triton server, or its reference cannot be used."""
