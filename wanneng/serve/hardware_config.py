"""The hardware config that Triton is asked for, and whether an engine and the installed backends fit it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from wanneng.errors import StartError
from wanneng.serve.repository import MODELS

ENGINE_FILES = ("engine.json", "model.onnx", "tokenizer.json")
PYTHON, ONNXRUNTIME, TENSORRT = "python", "onnxruntime", "tensorrt"
FLAGS = {"ragged": "--ragged", "padded": "--padded"}


@dataclass(frozen=True, slots=True)
class HardwareConfig:
    """What `model_repository/*/configs/<name>.pbtxt` says."""

    name: str
    backend: str
    """Triton's: `python`, `onnxruntime` or `tensorrt`."""
    buckets: tuple[int, ...]
    """Length buckets, in tokens; none where `structbert` takes every length."""
    target: str
    """Of the engines that it runs, as in `wanneng engine build --target`."""

    @property
    def fronts(self) -> tuple[str, ...]:
        """Of the engines that it runs; the Python model takes both."""
        return {PYTHON: ("padded", "ragged"), ONNXRUNTIME: ("ragged",)}.get(self.backend, ("padded",))


def read_config(name: str) -> HardwareConfig:
    """`StartError` if there is none of this name."""
    paths = sorted(MODELS.glob(f"structbert*/configs/{name}.pbtxt"))
    if not paths:
        known = sorted({path.stem for path in MODELS.glob("structbert*/configs/*.pbtxt")})
        raise StartError(f"--model-config-name {name} does not exist; there are {', '.join(known)}")
    text = paths[0].read_text(encoding="utf-8")
    backend = re.findall(r'^backend: "(\w+)"', text, re.MULTILINE)[0]
    numbers = (path.parts[-3].removeprefix("structbert").removeprefix("_s") for path in paths)
    buckets = tuple(sorted(int(number) for number in numbers if number))
    target = TENSORRT if backend == TENSORRT else "cuda" if "kind: KIND_GPU" in text else "cpu"
    return HardwareConfig(name, backend, buckets, target)


def check_engine(folder: Path, config: HardwareConfig) -> None:
    """`StartError` if a file of the engine is missing, or if the config runs engines of another kind."""
    for name in ENGINE_FILES:
        if not (folder / name).is_file():
            raise StartError(f"the engine file {folder / name} is missing; --engine names another engine")
    try:
        manifest = json.loads((folder / "engine.json").read_text(encoding="utf-8"))
        target, front = manifest["target"], manifest["front"]
    except (ValueError, KeyError, TypeError) as error:
        raise StartError(f"{folder / 'engine.json'} is no manifest: {error!r}; build the engine again") from None
    if target != config.target or front not in config.fronts:
        flag = "" if config.target == TENSORRT else f" {FLAGS[config.fronts[0]]}"
        raise StartError(
            f"the engine {folder} is for --target {target} with {front} inputs, which --model-config-name "
            f"{config.name} does not run; build it with `wanneng engine build --target {config.target}{flag}`, "
            "or choose another config"
        )


def check_backend(config: HardwareConfig, backends: Path) -> None:
    """`StartError` if Triton's folder of backends lacks the one of the config."""
    if not (backends / config.backend).is_dir():
        raise StartError(
            f"--model-config-name {config.name} needs Triton's {config.backend} backend, which {backends} lacks; "
            "run it in NVIDIA's Triton image, or choose local, which needs no other backend"
        )
