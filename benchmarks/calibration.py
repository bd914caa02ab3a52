"""What `wanneng calibrate` gains from eight examples of each label on labelled tasks. `make calibration`.

For each draw of examples, a correction is learned as the command learns it, and judged on other texts: accuracy on
texts as they come, mean recall over the labels, which does not depend on how frequent each is, and the expected
calibration error. With `--pretrained`, a label's logit is the cosine of its mean state and a text's in the encoder
that training starts from, which has met none of the tasks. Logits are kept in `build/`, so a second run takes
seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from python_backend.engine import run_requests
from python_backend.manifest import MODEL_FILE
from python_backend.onnx_engine import OnnxEngine
from python_backend.tokenization import PairEncoder, load_tokenizer
from training.calibration import TaskScores
from training.data.corpus import Corpus, LabelledText
from training.network import SIMILARITY_SCALE
from training.pretrained import GRAPH, TOKENIZER
from wanneng.calibration.correction import Examples, apply, best, fit, halved_means, judge

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
CACHE = ROOT / "build/calibration"
TASKS: tuple[str, ...] = ("tnews", "nlpcc2017", "emotion", "csl_category", "iflytek:20")
"""Of the development sets, or else of the training sets; after a colon, how many of the labels."""
UNSEEN = (*TASKS, "ecommerce_intent:20", "shopping_category", "cold_topic", "csldcp:20")
EXAMPLES, DRAWS = 8, 5
POOL = 2 * EXAMPLES
"""Texts of each label that examples are drawn from."""
TEXTS = 300
TEXT_CHARACTERS = 100
REQUESTS_PER_RUN = 4
MAX_ENCODER_TOKENS = 128
ENTAILMENT = 0
Logits = NDArray[np.float64]


def main() -> None:
    """Print the gain of each task, and write all draws as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--engine", type=Path, default=ROOT / "embedded")
    parser.add_argument("--pretrained", type=Path)
    parser.add_argument("--tasks", nargs="+")
    options = parser.parse_args()
    model, logits_of, tasks = options.engine / MODEL_FILE, _engine_logits, TASKS
    if options.pretrained is not None:
        model, logits_of, tasks = options.pretrained, _encoder_logits, UNSEEN
    corpus = Corpus(options.data)
    development, training = corpus.dev_tasks(), corpus.tasks()
    results: dict[str, Any] = {}
    for name in options.tasks or tasks:
        task, _, most = name.partition(":")
        texts = development.get(task) or training[task]
        labels, pool, test = _sample(texts, int(most or len(texts)))
        logits = _logits(model, logits_of, labels, [*pool, *test])
        targets = np.array([labels.index(text.label) for text in [*pool, *test]])
        results[name] = _measure(logits, targets, len(pool))
        print(name, results[name], file=sys.stderr)
    gains = [gain for result in results.values() for gain in result["gains"]]
    results["all"] = {"mean_gain": float(np.mean(gains)), "worst_gain": min(gains)}
    name = "calibration.json" if options.pretrained is None else "calibration_pretrained.json"
    (RESULTS / name).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"mean gain {100 * np.mean(gains):.1f} points, worst {100 * min(gains):.1f}")


def _sample(texts: Sequence[LabelledText], most: int) -> tuple[list[str], list[LabelledText], list[LabelledText]]:
    """The most frequent labels, a pool with `POOL` texts of each, and texts as they come, which are not in it."""
    counts = Counter(text.label for text in texts)
    labels = sorted(label for label, count in counts.most_common(most) if count >= POOL + EXAMPLES // 2)
    shuffled = [text for text in texts if text.label in labels]
    random.Random(0).shuffle(shuffled)
    pool: list[LabelledText] = []
    rest: list[LabelledText] = []
    pooled: Counter[str] = Counter()
    for text in shuffled:
        (pool if pooled[text.label] < POOL else rest).append(text)
        pooled[text.label] += 1
    return labels, pool, rest[:TEXTS]


def _logits(
    model: Path,
    logits_of: Callable[[Path, Sequence[str], Sequence[str]], Logits],
    labels: Sequence[str],
    texts: Sequence[LabelledText],
) -> Logits:
    """`[texts, labels]`: of entailment."""
    cut = [text.text[:TEXT_CHARACTERS] for text in texts]
    key = hashlib.sha256(model.read_bytes())
    key.update(json.dumps([labels, cut]).encode())
    kept = CACHE / f"{key.hexdigest()[:24]}.npy"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        np.save(kept, logits_of(model, labels, cut))
    return np.asarray(np.load(kept), dtype=np.float64)


def _engine_logits(model: Path, labels: Sequence[str], texts: Sequence[str]) -> Logits:
    engine = model.parent
    encoder = PairEncoder(
        load_tokenizer(engine), truncation="longest_first", token_types=2, cached_hypotheses=1_000
    )
    names = ("input_ids", "attention_mask", "token_type_ids")
    rows = [encoder.encode(text, labels, 512) for text in texts]
    requests = [{name: getattr(row, name) for name in names} for row in rows]
    onnx = OnnxEngine(engine)
    parts = [
        logits[:, ENTAILMENT]
        for start in range(0, len(requests), REQUESTS_PER_RUN)
        for logits in run_requests(onnx, requests[start : start + REQUESTS_PER_RUN])
    ]
    return np.stack(parts)


def _encoder_logits(model: Path, labels: Sequence[str], texts: Sequence[str]) -> Logits:
    with zipfile.ZipFile(model) as archive:
        session = onnxruntime.InferenceSession(archive.read(GRAPH))
        tokenizer = Tokenizer.from_str(archive.read(TOKENIZER).decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_ENCODER_TOKENS)

    def direction(text: str) -> NDArray[np.float32]:
        ids = np.array([tokenizer.encode(text).ids])
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean = session.run(None, feed)[0][0].mean(0)
        return np.asarray(mean / np.linalg.norm(mean))

    vectors = [np.stack([direction(text) for text in group]) for group in (texts, labels)]
    return np.asarray(SIMILARITY_SCALE * vectors[0] @ vectors[1].T)


def _measure(logits: Logits, targets: NDArray[np.int64], pool: int) -> dict[str, Any]:
    tested, answers = logits[pool:], targets[pool:]
    found: dict[str, Any] = {
        "labels": logits.shape[1],
        "texts": len(answers),
        "accuracy": _accuracy(tested, answers),
        "mean_recall": _mean_recall(tested, answers),
        "calibration_error": TaskScores(tested, answers).calibration_error(),
        "gains": [],
        "mean_recall_gains": [],
        "calibration_errors": [],
        "kept": [],
    }
    unlabelled = apply(halved_means(logits[:pool]), tested, one_by_one=False)
    found["without_labels"] = _accuracy(unlabelled, answers) - found["accuracy"]
    gains: dict[str, list[float]] = {}
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        chosen = np.concatenate(
            [rng.permutation(np.flatnonzero(targets[:pool] == label))[:EXAMPLES] for label in np.unique(targets)]
        )
        applies = np.eye(logits.shape[1], dtype=bool)[targets[chosen]]
        examples = Examples(logits[chosen], applies, one_by_one=False)
        judgements = judge(examples)
        for judgement in judgements:
            corrected = apply(fit(judgement.candidate, examples), tested, one_by_one=False)
            gain = _accuracy(corrected, answers) - found["accuracy"]
            gains.setdefault(judgement.candidate.name, []).append(gain)
        kept = best(judgements)
        corrected = tested
        if kept is not None:
            corrected = apply(fit(kept.candidate, examples), tested, one_by_one=False)
        found["kept"].append("none" if kept is None else kept.candidate.name)
        found["gains"].append(_accuracy(corrected, answers) - found["accuracy"])
        found["mean_recall_gains"].append(_mean_recall(corrected, answers) - found["mean_recall"])
        found["calibration_errors"].append(TaskScores(corrected, answers).calibration_error())
    found["unguarded"] = {name: float(np.mean(values)) for name, values in gains.items()}
    return found


def _accuracy(logits: Logits, targets: NDArray[np.int64]) -> float:
    return float((logits.argmax(1) == targets).mean())


def _mean_recall(logits: Logits, targets: NDArray[np.int64]) -> float:
    hits = logits.argmax(1) == targets
    return float(np.mean([hits[targets == label].mean() for label in np.unique(targets)]))


if __name__ == "__main__":
    main()
