"""Throughput of the tiny model at 32 tokens, by precision and number of layers.

`make bench-embedded`. The engines have all layers or the first three; accuracy does not matter here. They run in
turn, since cores are shared and only ratios within one run are meaningful.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.build import build_engine, restore_snapshot
from engine.derive import MODEL_FILE
from engine.recipe import choose_recipe
from engine.snapshot import Snapshot, read_snapshot, write_snapshot
from python_backend.engine import load_engine
from python_backend.manifest import load_manifest

ROOT = Path(__file__).parents[1]
ROWS, TOKENS, ROUNDS = 64, 32, 40
PRECISIONS = ("fp32", "w8", "int8")
FIRST_LAYERS = 3


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/embedded.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = _measure(Path(folder))
    options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"{'layers':>6} {'precision':>9} {'pairs/s':>8} {'over first':>10} {'MB':>5}")
    for row in rows:
        ratio = row["pairs_per_s"] / rows[0]["pairs_per_s"]
        print(
            f"{row['layers']:>6} {row['precision']:>9} {row['pairs_per_s']:>8.0f} {ratio:>10.2f} {row['mb']:>5.1f}"
        )


def _measure(folder: Path) -> list[dict[str, Any]]:
    restore_snapshot(ROOT / "embedded/tiny", folder / "all")
    snapshot = read_snapshot(folder / "all")
    layers = int(snapshot.config["num_hidden_layers"])
    write_snapshot(_with_first_layers(snapshot, FIRST_LAYERS), folder / "first")
    engines = {}
    for name, count in (("all", layers), ("first", FIRST_LAYERS)):
        for precision in PRECISIONS:
            engine = folder / f"{name}-{precision}"
            recipe = choose_recipe("cpu", precision)
            if count < layers:
                # A model without its last layer answers noise, of which rounding may change any label.
                recipe = replace(recipe, tolerance=replace(recipe.tolerance, decided_agreement=0.0))
            build_engine(folder / name, engine, recipe, name="bench")
            engines[count, precision] = engine
    loaded = {key: load_engine(built, load_manifest(built)) for key, built in engines.items()}
    rng = np.random.default_rng(1)
    ids = rng.integers(5, int(snapshot.config["vocab_size"]), (ROWS, TOKENS))
    feed = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": (np.arange(TOKENS) >= TOKENS - 4).astype(np.int64)[np.newaxis].repeat(ROWS, axis=0),
    }
    seconds: dict[tuple[int, str], list[float]] = {key: [] for key in loaded}
    for _ in range(ROUNDS):
        for key, runner in loaded.items():
            started_at = time.perf_counter()
            runner.run(feed)
            seconds[key].append(time.perf_counter() - started_at)
    return [
        {
            "layers": count,
            "precision": precision,
            "pairs_per_s": ROWS / float(np.median(seconds[count, precision])),
            "mb": (engines[count, precision] / MODEL_FILE).stat().st_size / 1e6,
        }
        for count, precision in loaded
    ]


def _with_first_layers(snapshot: Snapshot, count: int) -> Snapshot:
    def kept(name: str) -> bool:
        _, in_layer, number = name.partition("encoder.layer.")
        return not in_layer or int(number.split(".")[0]) < count

    weights = {name: value for name, value in snapshot.weights.items() if kept(name)}
    return Snapshot(
        snapshot.config | {"num_hidden_layers": count}, weights, snapshot.vocabulary, snapshot.lower_case
    )


if __name__ == "__main__":
    main()
