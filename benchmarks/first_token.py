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
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from engine.graph.export import export_onnx
from engine.graph.first_token import read_first_token_alone
from engine.graph.fusion import fuse
from engine.graph.int8 import quantize
from engine.network import network_of
from engine.snapshot import Snapshot

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
    for precision, graphs in _graphs(shape, folder, [_rows(rng, 2) for _ in range(4)]).items():
        sessions = [
            ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]) for graph in graphs
        ]
        logits = [session.run(["logits"], rows)[0] for session in sessions]
        seconds = np.array([[_seconds(session, rows) for session in sessions] for _ in range(rounds)])
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


def _graphs(
    shape: dict[str, int], folder: Path, samples: list[Rows]
) -> dict[str, tuple[onnx.ModelProto, onnx.ModelProto]]:
    """By precision: the graph that computes all tokens, and the one that does not."""
    torch.manual_seed(1)
    config = shape | REST

    network = network_of(_random_snapshot(config))
    paths = folder / "whole.onnx", folder / "first.onnx"
    export_onnx(network, paths[0])
    onnx.save(read_first_token_alone(onnx.load(paths[0])), paths[1])
    whole, first = (onnx.load(path) for path in paths)
    return {
        "fp32": (whole, first),
        "int8": (quantize(fuse(paths[0], config), samples).graph, quantize(fuse(paths[1], config), samples).graph),
    }


def _random_snapshot(config: dict[str, int]) -> Snapshot:
    from transformers import BertConfig, BertForSequenceClassification  # noqa: PLC0415 - takes seconds

    weights = BertForSequenceClassification(BertConfig(**config, num_labels=3)).state_dict()
    return Snapshot(config, weights, "")


def _rows(rng: np.random.Generator, count: int) -> Rows:
    ids = rng.integers(5, REST["vocab_size"], (count, TOKENS))
    types = np.broadcast_to(np.arange(TOKENS) >= TOKENS - 6, ids.shape).astype(np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}


def _seconds(session: ort.InferenceSession, rows: Rows) -> float:
    started_at = time.perf_counter()
    session.run(["logits"], rows)
    return time.perf_counter() - started_at


if __name__ == "__main__":
    main()
