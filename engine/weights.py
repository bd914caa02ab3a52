"""Reads the weights of a snapshot, in whichever files and under whichever names they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.errors import SnapshotError
from engine.snapshot_files import check_content, read_json

FILES = ("model.safetensors", "pytorch_model.bin")
"""Transformers, and so ModelScope, prefers the first; each may be split, with an index beside it."""
INDEX_SUFFIX = ".index.json"
NESTED = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs store the weights beside an optimizer's state."""
MAX_BYTES = 2_000_000_000
"""Of all weights in FP32: an ONNX file holds less than 2 GiB, the graph included."""
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
PARAMETERS = ("weight", "bias", "gamma", "beta", "segment")
"""Ends of the names of a network's weights; whole numbers of other names are buffers, such as `position_ids`."""
WRAPPER = "module."
"""Prefix of the names in a network that was wrapped for several GPUs."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a snapshot, float32, by name."""

    tensors: dict[str, Tensor]
    files: tuple[Path, ...]
    is_plain: bool
    """Whether transformers reads the files as they are: nothing was nested, and no name had a wrapper's prefix."""


def read_weights(folder: Path) -> Weights:
    """Read all weights of a snapshot's folder; `SnapshotError` names the file and what is wrong with it."""
    files = weight_files(folder)
    stored: dict[str, object] = {}
    for file in files:
        stored |= _load(file)
    tensors: Mapping[str, object] = stored
    for key in NESTED:
        inner = stored.get(key)
        if isinstance(inner, Mapping):
            tensors = inner
            break
    where = files[0] if len(files) == 1 else folder
    named: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if isinstance(value, Tensor):
            _check(where, name, value)
            named[str(name)] = value
    if not named:
        raise SnapshotError(f"{where} contains no weights")
    is_plain = tensors is stored
    while all(name.startswith(WRAPPER) for name in named):
        named, is_plain = {name.removeprefix(WRAPPER): value for name, value in named.items()}, False
    size = sum(4 * value.numel() for value in named.values() if value.is_floating_point())
    if size > MAX_BYTES:
        raise SnapshotError(
            f"{folder}: the weights have {size / 1e9:.1f} GB in FP32, and an ONNX file holds "
            f"{MAX_BYTES / 1e9:.0f} GB; build a smaller model"
        )
    weights = {name: _as_float32(where, name, value) for name, value in named.items()}
    return Weights(weights, files, is_plain)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold the weights: one, or the parts that an index lists."""
    for name in FILES:
        if (folder / name).exists():
            return (folder / name,)
        index = folder / f"{name}{INDEX_SUFFIX}"
        if index.exists():
            return _parts(index)
    raise SnapshotError(
        f"{folder / FILES[1]} is missing, and so is {FILES[0]}: weights are read from one of them, "
        f"or from parts that {FILES[1]}{INDEX_SUFFIX} or {FILES[0]}{INDEX_SUFFIX} lists"
    )


def _parts(index: Path) -> tuple[Path, ...]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise SnapshotError(f'{index} is not an index of weights: it needs {{"weight_map": {{"NAME": "FILE"}}}}')
    names = sorted(set(weight_map.values()))
    if not names or not all(Path(name).name == name for name in names):
        raise SnapshotError(f"{index} names parts that are not files beside it")
    missing = [name for name in names if not (index.parent / name).exists()]
    if missing:
        raise SnapshotError(f"{index.parent / missing[0]} is missing, which {index.name} lists")
    return tuple(index.parent / name for name in names)


def _load(file: Path) -> dict[str, object]:
    check_content(file)
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        raise SnapshotError(f"{file} cannot be read: {error}") from None
    except Exception:  # noqa: BLE001 - torch raises many kinds of errors for an invalid file
        # Not with torch's reason, which advises to execute what the file says.
        raise SnapshotError(
            f"{file} cannot be read as weights: it is damaged or incomplete, or holds other objects than tensors; "
            "download it again, or store the state_dict() alone"
        ) from None
    if not isinstance(content, Mapping):
        raise SnapshotError(f"{file} holds a {type(content).__name__}, not weights by name")
    return dict(content)


def _check(where: Path, name: object, value: Tensor) -> None:
    """Before anything is computed of a tensor, which many kinds of tensors do not support."""
    if not isinstance(name, str):
        raise SnapshotError(f"{where}: a weight has the name {name!r}; names must be text, as in state_dict()")
    if value.layout != torch.strided or value.is_nested:
        raise SnapshotError(f"{where}: {name} is not a dense tensor; store it as one, with to_dense()")
    if value.is_meta:
        raise SnapshotError(
            f"{where}: {name} has a shape but no values (device meta); load the model before saving"
        )
    is_number = value.is_floating_point() or value.is_complex() or value.is_quantized
    if value.dtype not in DTYPES and (is_number or name.endswith(PARAMETERS)):
        raise SnapshotError(
            f"{where}: {name} is {value.dtype}; weights must be FP64, FP32, FP16 or bfloat16, "
            "so use the model before quantization"
        )


def _as_float32(where: Path, name: str, value: Tensor) -> Tensor:
    """Of a tensor that was checked; buffers of whole numbers stay as they are."""
    if not value.is_floating_point():
        return value
    converted = value.to(torch.float32)
    if not torch.isfinite(converted).all():
        raise SnapshotError(f"{where}: {name} has values that are not finite numbers in FP32")
    return converted
