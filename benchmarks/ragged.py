"""Rows of mixed lengths in every hardware config for CPUs, beside `local`: `make bench-ragged`.

Triton's onnxruntime backend is not installed here, so ONNX Runtime runs what it would be given: requests are
merged in the order of their arrival up to a batch's rows, as by Triton's dynamic batcher, and answered together.
Three ways that `onnx-cpu` could have gone are measured too. Each client sends one request after another. Every way
runs in each round. Seconds are those of the processor, divided by the threads of a run, since others use the cores
meanwhile; so no thread spins.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from engine.derive import RAGGED_LIMITS
from engine.graph.ragged_inputs import add_ragged_inputs
from engine.recipe import MAX_PAIRS
from python_backend.engine import run_requests
from python_backend.manifest import MODEL_FILE, load_manifest
from python_backend.onnx_engine import OnnxEngine, flatten
from python_backend.rows import Rows

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/ragged.json"
MIXES = ("3% long", "reviews", "uniform")
CLIENTS = 32
REQUESTS = {"3% long": 66, "reviews": 60, "uniform": 40}
ROUNDS = 3
THREADS = 2
MAX_ROWS = 64
MAX_CELLS = 4_096
SPECIAL_TOKENS, LABEL_TOKENS, MAX_TOKENS = 3, 4, 512

Execute = Callable[[Sequence[Rows]], None]


@dataclass(frozen=True, slots=True)
class Way:
    """How waiting requests are merged, and how a batch is run."""

    fits: Callable[[Sequence[Rows]], bool]
    execute: Execute


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, default=ROOT / "embedded", help="with padded inputs")
    parser.add_argument("--requests", type=float, default=1.0, help="as a multiple of the usual number")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        manifest = load_manifest(options.engine)
        ragged = add_ragged_inputs(
            onnx.load(options.engine / MODEL_FILE),
            vocabulary=manifest.vocabulary,
            token_types=manifest.token_types,
            max_tokens=manifest.max_tokens,
            limits=RAGGED_LIMITS["cpu"],
        )
        onnx.save(ragged, Path(folder) / MODEL_FILE)
        ways = _ways(OnnxEngine(options.engine, threads=THREADS), _native_backend(Path(folder)))
    results = {mix: _measure(ways, mix, round(REQUESTS[mix] * options.requests)) for mix in MIXES}
    options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _native_backend(engine: Path) -> Execute:
    """A run with the options of the config `onnx-cpu`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    run_options = ort.RunOptions()
    run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session = ort.InferenceSession(engine / MODEL_FILE, options, providers=["CPUExecutionProvider"])
    return lambda requests: _discard(session.run(["logits"], flatten(requests), run_options))


def _ways(padded: OnnxEngine, native: Execute) -> dict[str, Way]:
    """`local` first, which the others are compared with."""
    return {
        "local": Way(_few_rows, lambda requests: _discard(run_requests(padded, requests))),
        "local-padded": Way(_same_bucket, lambda requests: _discard(run_requests(padded, _in_bucket(requests)))),
        "onnx-cpu": Way(_few_rows, native),
        "one padded batch": Way(_few_rows, lambda requests: _discard(padded.run(_padded(requests)))),
        "bounded cells": Way(_few_cells, lambda requests: _discard(padded.run(_padded(requests)))),
        "length buckets": Way(_same_bucket, lambda requests: _discard(padded.run(_padded(_in_bucket(requests))))),
    }


def _measure(ways: dict[str, Way], mix: str, requests: int) -> dict[str, dict[str, float]]:
    rates: dict[str, list[float]] = {name: [] for name in ways}
    p99s: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(ROUNDS):
        for name, way in ways.items():
            rate, p99 = _closed_loop(way, _requests(mix, requests, seed=round_))
            rates[name].append(rate)
            p99s[name].append(p99)
    local = float(np.median(rates["local"]))
    results = {
        name: {
            "pairs_per_s": round(float(np.median(rates[name])), 1),
            "p99_s": round(float(np.median(p99s[name])), 2),
            "of_local": round(float(np.median(rates[name])) / local, 2),
        }
        for name in ways
    }
    print(f"{mix:<22}{'pairs/s':>9}{'p99':>9}{'of local':>10}", file=sys.stderr)
    for name, row in results.items():
        print(f"  {name:<20}{row['pairs_per_s']:>9}{row['p99_s']:>8}s{row['of_local']:>10}", file=sys.stderr)
    return results


def _closed_loop(way: Way, requests: Sequence[Rows]) -> tuple[float, float]:
    """Pairs per second, and the 99th percentile of the seconds from a request's arrival to its answer."""
    coming = deque(requests)
    started_at = _now()
    waiting = deque((coming.popleft(), started_at) for _ in range(min(CLIENTS, len(coming))))
    latencies: list[float] = []
    while waiting:
        batch = [waiting.popleft()]
        kept: deque[tuple[Rows, float]] = deque()
        while waiting:
            entry = waiting.popleft()
            if way.fits([rows for rows, _ in [*batch, entry]]):
                batch.append(entry)
            else:
                kept.append(entry)
                if way.fits is not _same_bucket:
                    break
        waiting = kept + waiting
        way.execute([rows for rows, _ in batch])
        now = _now()
        latencies += [now - arrived_at for _, arrived_at in batch]
        waiting.extend((coming.popleft(), now) for _ in range(min(len(batch), len(coming))))
    pairs = sum(len(rows["input_ids"]) for rows in requests)
    return pairs / (_now() - started_at), float(np.quantile(latencies, 0.99))


def _now() -> float:
    return time.process_time() / THREADS


def _requests(mix: str, count: int, seed: int) -> list[Rows]:
    """A text with 1 to 8 labels each, as `expand` makes rows of it."""
    rng = np.random.default_rng(seed)
    requests = []
    for index in range(count):
        characters = {
            "3% long": rng.integers(5, 40) if index % 33 != 32 else 600,
            "reviews": np.clip(rng.lognormal(np.log(60), 0.8), 5, 600),
            "uniform": rng.integers(1, 601),
        }[mix]
        lengths = [
            min(int(characters) + SPECIAL_TOKENS + int(rng.integers(1, 2 * LABEL_TOKENS)), MAX_TOKENS)
            for _ in range(rng.integers(1, 9))
        ]
        ids = rng.integers(700, 8_000, (len(lengths), max(lengths)))
        mask = (np.arange(max(lengths)) < np.array(lengths)[:, np.newaxis]).astype(np.int64)
        requests.append({"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)})
    return requests


def _rows(requests: Sequence[Rows]) -> int:
    return sum(len(rows["input_ids"]) for rows in requests)


def _width(requests: Sequence[Rows]) -> int:
    return max(rows["input_ids"].shape[1] for rows in requests)


def _few_rows(requests: Sequence[Rows]) -> bool:
    return _rows(requests) <= MAX_ROWS


def _few_cells(requests: Sequence[Rows]) -> bool:
    return _few_rows(requests) and _rows(requests) * _width(requests) <= MAX_CELLS


def _bucket(requests: Sequence[Rows]) -> int:
    return min(tokens for tokens in MAX_PAIRS if tokens >= _width(requests))


def _same_bucket(requests: Sequence[Rows]) -> bool:
    bucket = _bucket(requests)
    return all(_bucket([rows]) == bucket for rows in requests) and _rows(requests) <= MAX_PAIRS[bucket]


def _padded(requests: Sequence[Rows]) -> Rows:
    """All rows as one batch, as wide as the longest."""
    width = _width(requests)
    widened = [_widened(rows, width) for rows in requests]
    return {name: np.concatenate([rows[name] for rows in widened]) for name in requests[0]}


def _in_bucket(requests: Sequence[Rows]) -> list[Rows]:
    """Each request as `expand` pads it for a model of a length bucket."""
    width = _bucket(requests)
    return [_widened(rows, width) for rows in requests]


def _widened(rows: Rows, width: int) -> Rows:
    return {name: np.pad(values, ((0, 0), (0, width - values.shape[1]))) for name, values in rows.items()}


def _discard(_logits: object) -> None:
    """What is measured is the time of a run."""


if __name__ == "__main__":
    main()
