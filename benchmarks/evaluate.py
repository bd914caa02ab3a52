"""Judges the embedded engine on the sets that its card quotes. `make evaluate`.

Development sets of the training data, each with all labels of its task; OCNLI, by the relation with the highest
logit; and the hand-written examples of the tests. `DATA` is the folder that `make train` reads; without it the
hand-written examples are all. Everything goes through the library of `wanneng evaluate`. Samples are always the
same texts, so the same engine gives the same file.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.verification.reference import Case
from engine.verification.served_engine import ServedEngine
from python_backend.manifest import load_manifest
from training.data.corpus import Corpus
from wanneng.evaluation.engine_target import EngineTarget
from wanneng.evaluation.intervals import Interval, wilson
from wanneng.evaluation.run import Result, evaluate, variants
from wanneng.examples import Example, Examples

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "embedded"
RESULTS = "evaluation.json"
"""In the engine's folder."""
EXAMPLES = ROOT / "tests/data"
TEXTS, PAIRS = 300, 4_000
"""Of each task at most; so many pairs take a minute or less on two cores."""
RELATION_PAIRS = 300
RELATIONS = ("entailment", "neutral", "contradiction")
DIGITS = 4


def main() -> None:
    """Print the tables and write the figures into the engine's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--engine", type=Path, default=ENGINE)
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    target = EngineTarget(options.engine)
    report: dict[str, Any] = {"engine_id": load_manifest(options.engine).engine_id, "development": {}}
    if options.data.is_dir():
        corpus = Corpus(options.data)
        for task, texts in sorted(corpus.dev_tasks().items()):
            labels = sorted({text.label for text in texts})
            examples = Examples(Path(task), [Example(text.text, text.label) for text in texts], task)
            sample = examples.sample(max(min(options.texts, options.pairs // len(labels)), 1))
            report["development"][task] = _task(_ask(target, sample, labels))
            _say(task, report["development"][task])
        report["ocnli"] = _relations(options.engine, corpus, min(options.texts, RELATION_PAIRS))
        _say("ocnli", report["ocnli"])
    else:
        print(f"{options.data} is not there: DATA=… names the development sets", file=sys.stderr)
    for name in ("held_out", "everyday"):
        report[name] = _hand_written(target, EXAMPLES / f"{name}_examples.json")
        _say(name, report[name])
    content = json.dumps(report, ensure_ascii=False, indent=1, sort_keys=True)
    (options.engine / RESULTS).write_text(content + "\n", encoding="utf-8")
    _print_tables(report)


def _ask(target: EngineTarget, examples: Examples, labels: Sequence[str]) -> Result:
    (result,) = evaluate(examples, labels, variants([target], labels)).results
    return result


def _task(result: Result) -> dict[str, Any]:
    scores = result.scores
    return {
        "labels": len(result.variant.question.wordings),
        "texts": scores.texts,
        "accuracy": _interval(scores.accuracy),
        "macro_f1": _interval(scores.macro_f1),
        "calibration_error": round(scores.calibration_error, DIGITS),
    }


def _relations(folder: Path, corpus: Corpus, count: int) -> dict[str, Any]:
    pairs = random.Random(0).sample(corpus.nli("dev"), count)
    answers = ServedEngine(folder).answers([Case(pair.premise, (pair.hypothesis,), "{}") for pair in pairs])
    predicted = [RELATIONS[int(np.argmax(answer.logits[0]))] for answer in answers]
    correct = sum(relation == pair.relation for relation, pair in zip(predicted, pairs, strict=True))
    return {"labels": len(RELATIONS), "texts": len(pairs), "accuracy": _interval(wilson(correct, len(pairs)))}


def _hand_written(target: EngineTarget, path: Path) -> dict[str, Any]:
    """How many are right, by task where they have one. Every text has labels of its own."""
    groups: dict[tuple[str, tuple[str, ...]], list[Example]] = defaultdict(list)
    for item in json.loads(path.read_text(encoding="utf-8")):
        groups[item.get("task", ""), tuple(item["labels"])].append(Example(item["text"], item["answer"]))
    tasks: dict[str, dict[str, int]] = {}
    for (task, labels), items in groups.items():
        scores = _ask(target, Examples(path, items, task), labels).scores
        counted = tasks.setdefault(task, {"labels": len(labels), "texts": 0, "correct": 0})
        counted["texts"] += scores.texts
        counted["correct"] += round(scores.accuracy.value * scores.texts)
    total: dict[str, Any] = {name: sum(task[name] for task in tasks.values()) for name in ("texts", "correct")}
    return total | ({"tasks": tasks} if len(tasks) > 1 else {})


def _interval(interval: Interval) -> dict[str, float]:
    return {
        "value": round(interval.value, DIGITS),
        "low": round(interval.low, DIGITS),
        "high": round(interval.high, DIGITS),
    }


def _say(task: str, figures: dict[str, Any]) -> None:
    print(task, json.dumps(figures, ensure_ascii=False), file=sys.stderr, flush=True)


def _print_tables(report: dict[str, Any]) -> None:
    """As the card has them."""
    print("| task | labels | texts | accuracy (95% CI) | macro F1 | calibration error |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows = report["development"] | ({"ocnli": report["ocnli"]} if "ocnli" in report else {})
    for task, row in rows.items():
        accuracy = "{value:.3f} ({low:.3f}–{high:.3f})".format(**row["accuracy"])
        f1 = f"{row['macro_f1']['value']:.3f}" if "macro_f1" in row else ""
        error = f"{row['calibration_error']:.3f}" if "calibration_error" in row else ""
        print(f"| {task} | {row['labels']} | {row['texts']} | {accuracy} | {f1} | {error} |")
    print("\n| question | labels | correct |\n| --- | --- | --- |")
    for task, row in report["held_out"]["tasks"].items():
        print(f"| {task} | {row['labels']} | {row['correct']} of {row['texts']} |")
    print("\nunseen subjects: {correct} of {texts}".format(**report["held_out"]))
    print("everyday examples: {correct} of {texts}".format(**report["everyday"]))


if __name__ == "__main__":
    main()
