"""The refusals of this package.

BuildError                every error raised here on purpose; its message names the thing and the way out
├── SnapshotError         the source cannot become an engine
├── VerificationError     the engine's answers are not the reference's; nothing is published
└── TargetError           what should be verified cannot be asked
"""


class BuildError(Exception):
    """An engine cannot be built."""


class SnapshotError(BuildError):
    """A ModelScope snapshot is incomplete or of another kind."""


class VerificationError(BuildError):
    """An engine answers otherwise than PyTorch does."""


class TargetError(BuildError):
    """An ONNX file or a Triton server does not answer."""
