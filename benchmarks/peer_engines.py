"""Runs a bare engine or the transformers pipeline in its own environment, for `benchmarks/peers.py`.

Each line of standard input is JSON with `batch` and `seconds`; the answer is a line with `pairs` and `seconds`. It
imports nothing of this repository, whose packages these environments lack.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[int], int]
"""Computes a batch of so many pairs (of texts, for the pipeline), and says how many pairs those were."""


def main() -> None:
    """`peer_engines.py KIND FOLDER`, until standard input ends."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    answers = sys.stdout
    # What libraries print is no answer.
    sys.stdout = sys.stderr
    run = ENGINES[kind](folder)
    run(1)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        run(asked["batch"])
        pairs, started_at = 0, time.perf_counter()
        while (seconds := time.perf_counter() - started_at) < asked["seconds"]:
            pairs += run(asked["batch"])
        print(json.dumps({"pairs": pairs, "seconds": seconds}), file=answers, flush=True)


class _Rows:
    """The rows of `rows.npz`, sorted by length, in batches without more padding than that needs."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "rows.npz") as stored:
            rows = {name: stored[name] for name in stored.files}
        self._lengths = rows["attention_mask"].sum(axis=1)
        order = np.argsort(self._lengths)
        self._rows = {name: values[order] for name, values in rows.items()}
        self._lengths = self._lengths[order]
        self._start = 0

    def batch(self, count: int) -> dict[str, Any]:
        """The next rows."""
        start = self._start if self._start + count <= len(self._lengths) else 0
        self._start = start + count
        longest = int(self._lengths[start : start + count].max())
        return {name: values[start : start + count, :longest] for name, values in self._rows.items()}


def _onnxruntime(model: str) -> Callable[[Path], Run]:
    def load(folder: Path) -> Run:
        onnxruntime = importlib.import_module("onnxruntime")
        session = onnxruntime.InferenceSession(folder / model, providers=["CPUExecutionProvider"])
        rows = _Rows(folder)
        return lambda batch: len(session.run(["logits"], rows.batch(batch))[0])

    return load


def _openvino(precision: str) -> Callable[[Path], Run]:
    def load(folder: Path) -> Run:
        openvino = importlib.import_module("openvino")
        core, rows = openvino.Core(), _Rows(folder)
        model = core.read_model(folder / "bare-fp32.onnx")
        if precision == "int8":
            nncf = importlib.import_module("nncf")
            samples = nncf.Dataset([rows.batch(4) for _ in range(32)])
            model = nncf.quantize(model, samples, model_type=nncf.ModelType.TRANSFORMER)
        hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"}
        compiled = core.compile_model(model, "CPU", hints | {"PERFORMANCE_HINT": "LATENCY"})
        return lambda batch: len(compiled(rows.batch(batch))[0])

    return load


def _transformers(folder: Path) -> Run:
    pipelines = importlib.import_module("transformers")
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    classify = pipelines.pipeline("zero-shot-classification", model=str(folder / "nli"), device="cpu")

    def run(batch: int) -> int:
        answers = classify(
            texts["texts"][:batch],
            texts["labels"],
            hypothesis_template="{}",
            batch_size=batch * len(texts["labels"]),
        )
        return len(answers) * len(texts["labels"])

    return run


ENGINES: dict[str, Callable[[Path], Run]] = {
    "onnxruntime-fp32": _onnxruntime("bare-fp32.onnx"),
    "onnxruntime-int8": _onnxruntime("bare-int8.onnx"),
    "openvino-fp32": _openvino("fp32"),
    "openvino-bf16": _openvino("bf16"),
    "openvino-int8": _openvino("int8"),
    "transformers": _transformers,
}

if __name__ == "__main__":
    main()
