"""Fits the cost of a pair to its length, by precision: `make bench-cost`, whose result docs/tuning.md uses.

CPU seconds and not time on the clock, so that other work on the machine matters less. The model is of base size
with random weights, made by `benchmarks.peer_models`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from python_backend.engine import InferenceEngine, load_engine
from python_backend.manifest import load_manifest

ROOT = Path(__file__).parents[1]
LENGTHS = (16, 32, 64, 128, 256, 512)
TOKENS_PER_RUN, ROUNDS, FIRST_ID, LAST_ID = 1_024, 5, 1_000, 11_000


def main() -> None:
    """Print the cost of each length and the fitted one; write both as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/cost_model.json")
    options = parser.parse_args()
    folders = {name: options.models / name for name in ("fp32", "int8")}
    engines = {name: load_engine(folder, load_manifest(folder)) for name, folder in folders.items()}
    seconds: dict[str, list[list[float]]] = {name: [] for name in engines}
    for _ in range(options.rounds):
        for name, engine in engines.items():
            seconds[name].append([_cpu_s_per_pair(engine, length) for length in LENGTHS])
    results = {}
    for name, rounds in seconds.items():
        measured_ms = 1e3 * np.median(rounds, axis=0)
        fit = _fit(measured_ms)
        results[name] = {
            "cpu_ms_per_pair": dict(zip(map(str, LENGTHS), measured_ms.round(2).tolist(), strict=True)),
            **fit,
            "largest_relative_error": round(float(np.abs(_cost_ms(fit) / measured_ms - 1).max()), 3),
        }
        print(name, json.dumps(results[name]))
    content = {"rounds": options.rounds, "load_at_the_end": round(os.getloadavg()[0], 1), "precisions": results}
    options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _cpu_s_per_pair(engine: InferenceEngine, length: int) -> float:
    count = TOKENS_PER_RUN // length
    ids = np.random.default_rng(length).integers(FIRST_ID, LAST_ID, (count, length))
    rows = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    engine.run(rows)
    started_s = time.process_time()
    engine.run(rows)
    return (time.process_time() - started_s) / count


def _fit(measured_ms: NDArray[np.float64]) -> dict[str, float]:
    """The least squares of relative errors; no cost is below zero at any length."""
    lengths = np.array(LENGTHS, dtype=np.float64)
    terms = np.stack([lengths, lengths**2], axis=1) / measured_ms[:, np.newaxis]
    (per_token, per_token_squared), *_ = np.linalg.lstsq(terms, np.ones(len(lengths)), rcond=None)
    return {"ms_per_token": round(float(per_token), 4), "ms_per_token_squared": float(f"{per_token_squared:.3g}")}


def _cost_ms(fit: dict[str, float]) -> NDArray[np.float64]:
    lengths = np.array(LENGTHS, dtype=np.float64)
    return fit["ms_per_token"] * lengths + fit["ms_per_token_squared"] * lengths**2


if __name__ == "__main__":
    main()
