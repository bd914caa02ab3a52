"""The refusals of this package.

BuildError            every error raised here on purpose; its message names the file and the way out
└── SnapshotError     the snapshot cannot become an engine
"""


class BuildError(Exception):
    """An engine cannot be built."""


class SnapshotError(BuildError):
    """A ModelScope snapshot is incomplete or of another kind."""
