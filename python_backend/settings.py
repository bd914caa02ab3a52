"""Reads the settings of the Python models from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from python_backend.errors import EngineError


@dataclass(frozen=True, slots=True)
class Settings:
    engine_folder: Path
    """`WANNENG_ENGINE`: the engine folder, with weights, vocabulary and manifest."""
    engine_threads: int
    """`WANNENG_ENGINE_THREADS`: threads that run the engine; 0 for one per core."""


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environment`, by default `os.environ`; `EngineError` names an invalid variable."""
    values = os.environ if environment is None else environment
    try:
        folder = Path(values["WANNENG_ENGINE"])
    except KeyError:
        raise EngineError("WANNENG_ENGINE is not set: it must name the engine folder") from None
    threads = values.get("WANNENG_ENGINE_THREADS", "0")
    if not threads.isdigit():
        raise EngineError(f"WANNENG_ENGINE_THREADS is {threads!r}, it must be a whole number")
    return Settings(folder, int(threads))
