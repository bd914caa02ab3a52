"""Composes the model repository that Triton loads: the checkout's models with the engine's files in them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from wanneng.settings import CHECKOUT

MODELS = CHECKOUT / "model_repository"
MODELS_FOLDER = "models"
"""Below the state folder."""
VERSION = "1"
ENGINE_MODEL = "structbert"
WEIGHTS = "model.onnx"
"""What Triton's own onnxruntime backend looks for; the Python model opens the engine's folder itself."""
_STEP = re.compile(r'^\s*model_name: "(\w+)"', re.MULTILINE)


def compose(engine: Path, folder: Path, ensembles: Iterable[str]) -> Path:
    """A model repository of links in `folder`, made anew: the ensembles, and the models that they are made of.

    `engine` may hold a plan for each length bucket.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for model in sorted({MODELS / name for ensemble in ensembles for name in (ensemble, *_steps(ensemble))}):
        target = folder / model.name
        (target / VERSION).mkdir(parents=True)
        for source in model.iterdir():
            if source.name != VERSION:
                (target / source.name).symlink_to(source)
        plans = engine / model.name / VERSION
        files = [*(model / VERSION).iterdir(), *(plans.iterdir() if plans.is_dir() else ())]
        if model.name == ENGINE_MODEL:
            files.append(engine / WEIGHTS)
        for file in files:
            (target / VERSION / file.name).symlink_to(file.resolve())
    return folder


def _steps(ensemble: str) -> list[str]:
    """The models of an ensemble."""
    return _STEP.findall((MODELS / ensemble / "config.pbtxt").read_text(encoding="utf-8"))
