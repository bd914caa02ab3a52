"""The only reader of the environment in Triton's Python models. Knows names and defaults, nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from python_backend.errors import EngineError


@dataclass(frozen=True, slots=True)
class Settings:
    engine_folder: Path
    """`WANNENG_ENGINE`: the folder of the engine, with weights, vocabulary and manifest."""
    engine_threads: int
    """`WANNENG_ENGINE_THREADS`: threads of one run of the engine; 0 means all cores."""


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environment` (the process's own by default); a missing or bad one is named."""
    values = os.environ if environment is None else environment
    try:
        folder = Path(values["WANNENG_ENGINE"])
    except KeyError:
        raise EngineError("WANNENG_ENGINE is not set: it names the engine folder") from None
    threads = values.get("WANNENG_ENGINE_THREADS", "0")
    if not threads.isdigit():
        raise EngineError(f"WANNENG_ENGINE_THREADS is {threads!r}, a whole number is needed")
    return Settings(folder, int(threads))
