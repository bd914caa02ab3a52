"""Accuracy lost to INT8 and bfloat16: the tiny model in each precision on labelled texts. `make bench-rounding`.

Texts come from the development sets, each with all labels of its task, and from our own examples; none is one that
`wanneng engine build` uses. FP32 is the engine itself. `DATA` is the folder that `make train` reads.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.build import build_engine, restore_snapshot
from engine.recipe import choose_recipe
from engine.verification.compare import ROUNDED_PRECISIONS
from python_backend.engine import InferenceEngine, load_engine, run_requests
from python_backend.manifest import load_manifest
from python_backend.tokenization import PairEncoder, load_tokenizer
from training.data.corpus import Corpus

ROOT = Path(__file__).parents[1]
OWN_EXAMPLES = ROOT / "tests/data/held_out_examples.json"
RESULTS = ROOT / "benchmarks/results/rounding.json"
TASKS = ("tnews", "nlpcc2017", "csl_category", "emotion")
TEXTS_PER_TASK = 500
TEXT_CHARACTERS = 200
REQUESTS_PER_RUN = 4
ENTAILMENT = 0
Example = tuple[str, Sequence[str], str]
"""A text, the labels that it is asked about, and the right one."""


def main() -> None:
    """Print accuracy and changed answers by task, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    embedded = ROOT / "embedded/tiny"
    encoder = PairEncoder(
        load_tokenizer(embedded), truncation="longest_first", token_types=2, cached_hypotheses=1_000
    )
    with tempfile.TemporaryDirectory() as folder:
        restore_snapshot(embedded, Path(folder) / "snapshot")
        engines = {"fp32": load_engine(embedded, load_manifest(embedded))}
        for precision in ROUNDED_PRECISIONS:
            built = Path(folder) / precision
            build_engine(Path(folder) / "snapshot", built, choose_recipe(precision=precision), name="embedded")
            engines[precision] = load_engine(built, load_manifest(built))
    results: dict[str, dict[str, float]] = {}
    for task, examples in (_sample(options.data) | {"our own examples": _own_examples()}).items():
        requests = [_request(encoder, text, labels) for text, labels, _ in examples]
        expected = np.array([labels.index(label) for _, labels, label in examples])
        logits = {name: _entailments(engine, requests) for name, engine in engines.items()}
        predicted = {name: np.array([v.argmax() for v in values]) for name, values in logits.items()}
        results[task] = {
            "texts": len(examples),
            "labels": max(len(labels) for _, labels, _ in examples),
            "fp32_accuracy": float((predicted["fp32"] == expected).mean()),
        }
        for precision in ROUNDED_PRECISIONS:
            pairs = zip(logits["fp32"], logits[precision], strict=True)
            results[task] |= {
                f"{precision}_accuracy": float((predicted[precision] == expected).mean()),
                f"{precision}_changed": float((predicted["fp32"] != predicted[precision]).mean()),
                f"{precision}_max_logit_difference": max(float(np.abs(a - b).max()) for a, b in pairs),
            }
        print(task, results[task], file=sys.stderr)
    texts = sum(row["texts"] for row in results.values())
    results["all"] = {
        name: sum(row[name] * row["texts"] for row in results.values()) / texts
        for name in next(iter(results.values()))
        if name.endswith(("_accuracy", "_changed"))
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(results["all"])


def _sample(data: Path) -> dict[str, list[Example]]:
    dev, rng = Corpus(data).dev_tasks(), random.Random(2)
    chosen = {task: rng.sample(dev[task], TEXTS_PER_TASK) for task in TASKS}
    labels = {task: sorted({e.label for e in examples}) for task, examples in chosen.items()}
    return {
        task: [(e.text[:TEXT_CHARACTERS], labels[task], e.label) for e in examples]
        for task, examples in chosen.items()
    }


def _own_examples() -> list[Example]:
    content = json.loads(OWN_EXAMPLES.read_text(encoding="utf-8"))
    return [(example["text"], example["labels"], example["answer"]) for example in content]


def _request(encoder: PairEncoder, text: str, labels: Sequence[str]) -> dict[str, Any]:
    rows = encoder.encode(text, labels, 512)
    return {name: getattr(rows, name) for name in ("input_ids", "attention_mask", "token_type_ids")}


def _entailments(engine: InferenceEngine, requests: Sequence[dict[str, Any]]) -> list[NDArray[np.float32]]:
    """`[labels]` of each text."""
    return [
        logits[:, ENTAILMENT]
        for start in range(0, len(requests), REQUESTS_PER_RUN)
        for logits in run_requests(engine, requests[start : start + REQUESTS_PER_RUN])
    ]


if __name__ == "__main__":
    main()
