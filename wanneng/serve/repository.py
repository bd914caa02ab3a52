"""Composes the model repository that Triton loads: the checkout's models with the engine's files in them."""

from __future__ import annotations

import shutil
from pathlib import Path

from wanneng.settings import CHECKOUT

MODELS = CHECKOUT / "model_repository"
VERSION = "1"
ENGINE_MODEL = "structbert"
WEIGHTS = "model.onnx"
"""What Triton's own onnxruntime backend looks for; the Python model opens the engine's folder itself."""


def compose(engine: Path, folder: Path) -> Path:
    """A model repository of links in `folder`, made anew; `engine` may hold a plan for each length bucket."""
    shutil.rmtree(folder, ignore_errors=True)
    for model in sorted(path for path in MODELS.iterdir() if path.is_dir()):
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
