"""`python -m training`: trains the embedded model from a pretrained encoder; resumes a stopped run."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.graph.w8 import quantize_dequantize
from engine.network import arrays_of, network_of
from engine.snapshot import read_snapshot
from engine.split_bert import SplitBertForSequenceClassification
from training.calibration import TaskScores, apply_temperature, best_temperature
from training.data.batches import LengthSortedTask, TokenBatcher
from training.data.corpus import Corpus, LabelledText, SentencePair
from training.data.derived import derived_tasks
from training.data.vocabulary import load_tokenizer, write_vocabulary
from training.evaluation import (
    ScoreHypotheses,
    answers_correct,
    cosine_similarities,
    entailment_logits,
    load_examples,
    relation_accuracy,
    score_task,
)
from training.loop import Stage, run_stage
from training.network import build_network
from training.pretrained import SHA256, read_encoder
from training.snapshot import write_split_bert
from training.stages.bi_encoder import add_inference_head, bi_encoder_loss
from training.stages.distillation import distillation_loss
from training.stages.grids import grid_loss

SEED = 7
MAX_NEIGHBOURS = 120_000
MAX_WORDS = 300_000
MAX_DEV_PAIRS = 10_000
"""Bounds the texts of a dev task with many labels: 500 texts with 98 labels each took eight minutes."""

# Frequencies of the tasks in the steps of each stage, relative to one another.
TOPIC_WEIGHTS = {
    "tnews": 3.0,
    "nlpcc2017": 3.0,
    "shopping_sentiment": 2.0,
    "book_sentiment": 1.0,
    "shopping_category": 1.0,
    "emotion": 2.0,
    "service_intent": 2.5,
    "ecommerce_intent": 2.0,
    "iflytek": 1.0,
    "csldcp": 0.7,
    "csl_category": 1.0,
    "csl_keyword": 1.0,
    "cold_topic": 0.5,
    "offensive": 0.5,
    "lexicon": 1.0,
    "question_intent": 2.0,
    "review_aspect": 2.0,
    "words": 6.0,
}
BI_ENCODER_WEIGHTS = TOPIC_WEIGHTS | {"neighbours": 2.0, "paraphrases": 1.5, "entailed": 2.0, "nli": 2.0}
GRID_WEIGHTS = TOPIC_WEIGHTS | {
    "tnews": 5.0,
    "emotion": 4.0,
    "neighbours": 2.0,
    "paraphrases": 1.0,
    "entailed": 1.0,
    "nli": 16.0,
}
DISTILLATION_WEIGHTS = TOPIC_WEIGHTS | {"neighbours": 6.0}


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)
    encoder = read_encoder(options.pretrained, options.pretrained_sha256)
    vocabulary_file = options.work / "vocab.txt"
    write_vocabulary(encoder.tokens, vocabulary_file)
    network = build_network(encoder)
    network.bert.embeddings.requires_grad_(False)
    batcher = TokenBatcher(load_tokenizer(vocabulary_file))
    log("reading tasks")
    corpus = Corpus(options.data)
    tasks = _tasks(corpus, batcher)
    add_inference_head(network)
    stage = Stage("match", options.match_steps, learning_rate=1.5e-4)
    loss = bi_encoder_loss(network, batcher, tasks, BI_ENCODER_WEIGHTS)
    run_stage(stage, network, loss, options.work, log)
    _evaluate(cosine_similarities, network, batcher, corpus, options)
    if options.teacher is None:
        stage = Stage("compare", options.compare_steps, learning_rate=1e-4)
        loss = grid_loss(network, batcher, tasks, GRID_WEIGHTS)
    else:
        stage = Stage("distil", options.distil_steps, learning_rate=1e-4)
        loss = _distillation(options.teacher, network, batcher, tasks)
    run_stage(stage, network, loss, options.work, log)
    # The figures are of the weights that are served.
    rounded = quantize_dequantize(arrays_of(network))
    network.load_state_dict({name: torch.from_numpy(value) for name, value in rounded.items()}, strict=False)
    figures = _dev_figures(network, batcher, corpus, options)
    apply_temperature(network, figures["temperature"])
    write_split_bert(network.cpu(), encoder.tokens, options.work / "snapshot")
    (options.work / "dev.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _distillation(
    teacher_folder: Path,
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSortedTask],
) -> Callable[[int], Tensor]:
    """The loss that imitates the StructBERT in `teacher_folder`, a ModelScope snapshot."""
    snapshot = read_snapshot(teacher_folder)
    teacher = network_of(snapshot).eval().requires_grad_(False)
    teacher_batcher = TokenBatcher(load_tokenizer(teacher_folder / "vocab.txt", lower_case=snapshot.lower_case))
    return distillation_loss(network, teacher, batcher, teacher_batcher, tasks, DISTILLATION_WEIGHTS)


def log(line: str) -> None:
    """Print a line with the time to standard error."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _tasks(corpus: Corpus, batcher: TokenBatcher) -> dict[str, LengthSortedTask]:
    rng = random.Random(SEED)
    labelled = corpus.tasks()
    examples: dict[str, list[LabelledText] | list[SentencePair]] = dict(labelled)
    examples |= derived_tasks(corpus, labelled, rng, max_words=MAX_WORDS)
    examples["lexicon"] = corpus.lexicon()
    examples["nli"] = nli = corpus.nli("train")
    examples["questions"] = questions = corpus.paraphrases()
    for name, pairs in (("entailed", nli), ("paraphrases", questions)):
        examples[name] = [pair for pair in pairs if pair.relation == "entailment"]
    examples["neighbours"] = corpus.neighbours(rng, MAX_NEIGHBOURS)
    return {
        name: LengthSortedTask(
            items,
            batcher.encode_all([e.text if isinstance(e, LabelledText) else e.premise for e in items]),
        )
        for name, items in examples.items()
    }


def _evaluate(
    score: ScoreHypotheses,
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    corpus: Corpus,
    options: argparse.Namespace,
) -> dict[str, TaskScores]:
    """The scores of every dev task with its whole label set; also logs the hand-written examples."""
    scores = {}
    for task, examples in corpus.dev_tasks().items():
        labels = sorted({example.label for example in examples})
        max_texts = min(options.dev_texts, MAX_DEV_PAIRS // len(labels))
        scores[task] = score_task(score, network, batcher, examples, labels, max_texts=max_texts)
        log(f"dev {task} ({len(labels)} labels): {scores[task].accuracy:.3f}")
    for name, path in (("everyday", options.everyday), ("held-out", options.held_out)):
        if path is not None:
            correct = answers_correct(score, network, batcher, load_examples(path))
            log(f"{name} examples: {sum(correct)} of {len(correct)}")
    return scores


def _dev_figures(
    network: SplitBertForSequenceClassification, batcher: TokenBatcher, corpus: Corpus, options: argparse.Namespace
) -> dict[str, Any]:
    """The figures of the model card.

    The temperature is chosen on every second dev text, and the calibration error measured on the others.
    """
    scores = _evaluate(entailment_logits, network, batcher, corpus, options)
    temperature = best_temperature([task.half(0) for task in scores.values()])
    others = {name: task.half(1) for name, task in scores.items()}
    nli_pairs = corpus.nli("dev")
    return {
        "accuracy": {name: task.accuracy for name, task in scores.items()},
        "inference_accuracy": relation_accuracy(network, batcher, nli_pairs, max_pairs=3 * options.dev_texts),
        "temperature": temperature,
        "calibration_error_before": {name: task.calibration_error() for name, task in others.items()},
        "calibration_error": {name: task.calibration_error(temperature) for name, task in others.items()},
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the xz-compressed training data")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for checkpoints and results; resumes there"
    )
    parser.add_argument("--pretrained", type=Path, required=True, help="artifact with the pretrained encoder")
    parser.add_argument("--pretrained-sha256", default=SHA256, help="digest of that artifact")
    parser.add_argument("--match-steps", type=int, default=600)
    parser.add_argument("--compare-steps", type=int, default=850)
    parser.add_argument("--teacher", type=Path, help="snapshot of a StructBERT to distil, instead of using labels")
    parser.add_argument("--distil-steps", type=int, default=3_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dev-texts", type=int, default=500, help="maximum of measured texts per dev task")
    parser.add_argument("--everyday", type=Path, help="JSON file of everyday examples")
    parser.add_argument("--held-out", type=Path, help="JSON file of examples that are never used for a choice")
    return parser.parse_args()


if __name__ == "__main__":
    main()
