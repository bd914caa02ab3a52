"""What only a checkout has: the package `engine` and the packages that its lock files bring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wanneng.errors import CommandError


@contextmanager
def needing(lock: str) -> Iterator[None]:
    """Turns the builder's errors into one line, and a missing package into the way to get it."""
    try:
        from engine.errors import BuildError  # noqa: PLC0415 - absent where the client alone is installed
    except ModuleNotFoundError:
        raise CommandError(
            "engines are read and built in a checkout of wanneng, not by the installed client"
        ) from None
    try:
        yield
    except BuildError as error:
        raise CommandError(str(error)) from None
    except ModuleNotFoundError as error:
        if error.name == "tensorrt":
            raise CommandError(
                "TensorRT is not installed here: plans are built inside NVIDIA's Triton image, on their own GPU"
            ) from None
        raise CommandError(
            f"the package {error.name} is missing here; `pip install -r requirements/{lock}` brings it, "
            "or run `make engine SOURCE=… OUTPUT=…`"
        ) from None
