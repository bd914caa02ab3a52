"""Throughput of engines whose last layer computes the first token alone, relative to those that compute all.

`make bench-first-token`. The model has random weights, in the shape of the embedded model and in base size; both
graphs run in turn, since cores are shared and only ratios within one run are meaningful.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from engine.derive import MODEL_FILE
from engine.graph.export import export_onnx
from engine.graph.first_token import read_first_token_alone
from engine.graph.int8 import quantize
from engine.network import network_of
from engine.snapshot import Snapshot
from python_backend.engine import InferenceEngine
from python_backend.onnx_engine import OnnxEngine
from python_backend.openvino_engine import OpenVinoEngine

ROOT = Path(__file__).parents[1]
EMBEDDED = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1_024}
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3_072}
SHAPES = {"embedded": EMBEDDED, "base": BASE}
REST = {"vocab_size": 12_000, "max_position_embeddings": 512, "type_vocab_size": 2}
ROWS, TOKENS, ROUNDS = 32, 37, 15

Rows = dict[str, NDArray[np.int64]]


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/first_token.json")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    results = []
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            results += _measure(name, shape, Path(folder), options.rounds)
    content = {"rows": ROWS, "tokens": TOKENS, "rounds": options.rounds, "load": os.getloadavg()[0]}
    options.output.write_text(json.dumps(content | {"results": results}, indent=1) + "\n", encoding="utf-8")
    print(f"{'shape':>10} {'precision':>9} {'pairs/s':>8} {'before':>8} {'ratio':>6} {'difference':>10}")
    for row in results:
        print(
            f"{row['shape']:>10} {row['precision']:>9} {row['pairs_per_s']:>8} {row['pairs_per_s_before']:>8} "
            f"{row['ratio']:>6} {row['largest_difference']:>10.1e}"
        )


def _measure(name: str, shape: dict[str, int], folder: Path, rounds: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    rows, results = _rows(rng, ROWS), []
    for precision, engines in _engines(shape, folder).items():
        logits = [engine.run(rows) for engine in engines]
        seconds = np.array([[_seconds(engine, rows) for engine in engines] for _ in range(rounds)])
        before, after = np.median(seconds, axis=0)
        results.append(
            {
                "shape": name,
                "precision": precision,
                "pairs_per_s_before": round(ROWS / before, 1),
                "pairs_per_s": round(ROWS / after, 1),
                "ratio": round(float(np.median(seconds[:, 0] / seconds[:, 1])), 3),
                "largest_difference": float(np.abs(logits[0] - logits[1]).max()),
            }
        )
    return results


def _engines(shape: dict[str, int], folder: Path) -> dict[str, list[InferenceEngine]]:
    """By precision: the engine that computes all tokens, and the one that does not."""
    torch.manual_seed(1)
    config = shape | REST

    network = network_of(_random_snapshot(config))
    export_onnx(network, folder / "exported.onnx")
    whole = onnx.load(folder / "exported.onnx")
    engines: dict[str, list[InferenceEngine]] = {"fp32": [], "int8": []}
    for name, graph in (("whole", whole), ("first", read_first_token_alone(whole))):
        for precision, kind in (("fp32", graph), ("int8", quantize(graph))):
            engine = folder / f"{name}-{precision}"
            engine.mkdir()
            onnx.save(kind, engine / MODEL_FILE)
            is_int8 = precision == "int8"
            engines[precision].append(
                OpenVinoEngine(engine, precision, max_tokens=TOKENS) if is_int8 else OnnxEngine(engine)
            )
    return engines


def _random_snapshot(config: dict[str, int]) -> Snapshot:
    from transformers import BertConfig, BertForSequenceClassification  # noqa: PLC0415 - takes seconds

    weights = BertForSequenceClassification(BertConfig(**config, num_labels=3)).state_dict()
    return Snapshot(config, weights, "")


def _rows(rng: np.random.Generator, count: int) -> Rows:
    ids = rng.integers(5, REST["vocab_size"], (count, TOKENS))
    types = np.broadcast_to(np.arange(TOKENS) >= TOKENS - 6, ids.shape).astype(np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}


def _seconds(engine: InferenceEngine, rows: Rows) -> float:
    started_at = time.perf_counter()
    engine.run(rows)
    return time.perf_counter() - started_at


if __name__ == "__main__":
    main()
