"""`python -m training`: vocabulary → vectors → bi-encoder → cross-encoder, resumable at every point."""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertForSequenceClassification

from engine.snapshot import Snapshot, network_of, read_snapshot, write_snapshot
from training.calibration import Asked, apply_temperature, best_temperature
from training.data.batches import LengthSorted, TokenBatcher
from training.data.corpus import Corpus, Labelled, SentencePair
from training.data.derived import derived_tasks
from training.data.hypotheses import say
from training.data.vocabulary import learn_vocabulary, load_tokenizer
from training.data.word_vectors import learn_vectors, write_token_file
from training.evaluation import (
    Score,
    ask_all,
    entailments,
    everyday,
    load_everyday_examples,
    matches,
    relation_accuracy,
)
from training.loop import Stage, run_stage
from training.network import build_network, config_of, keep_segments
from training.stages.bi_encoder import add_inference, match_loss
from training.stages.comparison_layer import comparing
from training.stages.cross_encoder import LONGEST_TEXT, Teacher, entail_loss
from training.stages.distillation import distil_loss
from training.stages.grids import IMITATE, RANK, grid_loss, last_layer_alone

SEED = 7
HIDDEN = 256
NEIGHBOURS = 120_000
WORDS = 300_000
MOST_PAIRS = 10_000
"""A dev task of many labels is asked with fewer texts: 500 with 98 labels each took eight minutes."""
SAMPLED = 30
"""Texts of a task that the layer which compares is built by."""

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
MATCH_WEIGHTS = TOPIC_WEIGHTS | {"neighbours": 2.0, "paraphrases": 1.5, "entailed": 2.0, "nli": 4.0}
IMITATE_WEIGHTS = TOPIC_WEIGHTS | {"nli": 10.0}
RANK_WEIGHTS = TOPIC_WEIGHTS | {
    "nlpcc2017": 4.0,
    "neighbours": 2.0,
    "paraphrases": 1.0,
    "entailed": 1.0,
    "nli": 8.0,
}
ENTAIL_WEIGHTS = TOPIC_WEIGHTS | {"nlpcc2017": 5.0, "nli": 14.0, "questions": 1.0, "neighbours": 4.0}


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)
    corpus = Corpus(options.data)
    vocabulary = options.work / "vocab.txt"
    if not vocabulary.exists():
        report("learning the vocabulary")
        learn_vocabulary(corpus.passages(), vocabulary)
    tokenizer = load_tokenizer(vocabulary)
    vectors_file = options.work / "vectors.npy"
    if not vectors_file.exists():
        report("learning token vectors")
        token_file = options.work / "tokens.txt"
        write_token_file(tokenizer, corpus.passages(), token_file)
        np.save(
            vectors_file,
            learn_vectors(token_file, tokenizer.get_vocab_size(), dimensions=HIDDEN, epochs=3, seed=SEED),
        )
    batcher = TokenBatcher(tokenizer)
    report("reading tasks")
    tasks = _tasks(corpus, batcher)
    network = build_network(np.load(vectors_file), layers=options.layers - 1, seed=SEED)
    keep_segments(network, options.layers - 1)
    add_inference(network)
    stage = Stage("match", options.match_steps, learning_rate=5e-4)
    loss = match_loss(network, batcher, tasks, MATCH_WEIGHTS)
    run_stage(stage, network, loss, options.work, report)
    _ask(matches, network, batcher, corpus, options)
    if options.teacher is None:
        network = _learn_pairs(network, batcher, tasks, options)
    else:
        network = _learn_from(options.teacher, network, batcher, tasks, options)
    network.eval()
    figures = _figures(network, batcher, corpus, options)
    apply_temperature(network, figures["temperature"])
    snapshot = Snapshot(
        config_of(network), network.cpu().state_dict(), vocabulary.read_text(encoding="utf-8"), lower_case=True
    )
    write_snapshot(snapshot, options.work / "snapshot")
    (options.work / "dev.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _learn_pairs(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSorted],
    options: argparse.Namespace,
) -> BertForSequenceClassification:
    """From the labels, softened by what the bi-encoder thinks."""
    teacher = Teacher(copy.deepcopy(network).requires_grad_(False), batcher)
    deeper = _comparing(network, batcher, tasks)
    keep_segments(deeper, options.layers - 1)
    stage = Stage("imitate", options.imitate_steps, learning_rate=1e-3)
    with last_layer_alone(deeper):
        loss = grid_loss(IMITATE, deeper, teacher, batcher, tasks, IMITATE_WEIGHTS)
        run_stage(stage, deeper, loss, options.work, report)
    stage = Stage("rank", options.rank_steps, learning_rate=2e-4)
    loss = grid_loss(RANK, deeper, teacher, batcher, tasks, RANK_WEIGHTS)
    run_stage(stage, deeper, loss, options.work, report)
    stage = Stage("entail", options.entail_steps, learning_rate=1e-4)
    loss = entail_loss(deeper, teacher, batcher, tasks, ENTAIL_WEIGHTS)
    run_stage(stage, deeper, loss, options.work, report)
    return deeper


def _learn_from(
    folder: Path,
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSorted],
    options: argparse.Namespace,
) -> BertForSequenceClassification:
    """From a real StructBERT in `folder`, a ModelScope snapshot."""
    snapshot = read_snapshot(folder)
    teacher = network_of(snapshot).eval().requires_grad_(False)
    own = TokenBatcher(load_tokenizer(folder / "vocab.txt", lower_case=snapshot.lower_case))
    deeper = _comparing(network, batcher, tasks)
    stage = Stage("distil", options.distil_steps, learning_rate=2.5e-4)
    loss = distil_loss(deeper, teacher, batcher, own, tasks, TOPIC_WEIGHTS | {"neighbours": 6.0})
    run_stage(stage, deeper, loss, options.work, report)
    return deeper


def _comparing(
    network: BertForSequenceClassification, batcher: TokenBatcher, tasks: dict[str, LengthSorted]
) -> BertForSequenceClassification:
    """Begun by what is asked of each task: some of its texts, each with one of its labels."""
    rng = random.Random(SEED)
    rows, said = [], []
    for name, task in tasks.items():
        if not task.labels:
            continue
        for row in rng.sample(range(len(task)), min(SAMPLED, len(task))):
            rows.append(task.tokens[row].tolist())
            said.append(batcher.ids(say(name, [rng.choice(task.labels)], rng)[0]))
    network.eval()
    return comparing(
        network,
        batcher.texts(rows, LONGEST_TEXT),
        batcher.hypotheses(said, LONGEST_TEXT),
        batcher.pairs(rows, said, LONGEST_TEXT),
    )


def report(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _tasks(corpus: Corpus, batcher: TokenBatcher) -> dict[str, LengthSorted]:
    rng = random.Random(SEED)
    labelled = corpus.tasks()
    examples: dict[str, list[Labelled] | list[SentencePair]] = dict(labelled)
    examples |= derived_tasks(corpus, labelled, rng, words=WORDS)
    examples["lexicon"] = corpus.lexicon()
    examples["nli"] = inference = corpus.nli("train")
    examples["questions"] = questions = corpus.paraphrases()
    for name, pairs in (("entailed", inference), ("paraphrases", questions)):
        examples[name] = [pair for pair in pairs if pair.relation == "entailment"]
    examples["neighbours"] = corpus.neighbours(rng, NEIGHBOURS)
    return {
        name: LengthSorted(
            items,
            batcher.encode_all([e.text if isinstance(e, Labelled) else e.premise for e in items]),
        )
        for name, items in examples.items()
    }


def _ask(
    score: Score,
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    corpus: Corpus,
    options: argparse.Namespace,
) -> dict[str, Asked]:
    """Every dev task with its whole label set."""
    asked = {}
    for task, examples in corpus.dev_tasks().items():
        labels = sorted({example.label for example in examples})
        most = min(options.dev_texts, MOST_PAIRS // len(labels))
        asked[task] = ask_all(score, network, batcher, examples, labels, most=most)
        report(f"dev {task} ({len(labels)} labels): {asked[task].accuracy:.3f}")
    for name, path in (("everyday", options.everyday), ("held-out", options.held_out)):
        if path is not None:
            outcome = everyday(score, network, batcher, load_everyday_examples(path))
            report(f"{name} examples: {sum(outcome)} of {len(outcome)}")
    return asked


def _figures(
    network: BertForSequenceClassification, batcher: TokenBatcher, corpus: Corpus, options: argparse.Namespace
) -> dict[str, Any]:
    """What the model card says; the temperature is chosen on every second dev text and judged on the others."""
    asked = _ask(entailments, network, batcher, corpus, options)
    temperature = best_temperature([task.part(0) for task in asked.values()])
    judged = {name: task.part(1) for name, task in asked.items()}
    return {
        "accuracy": {name: task.accuracy for name, task in asked.items()},
        "inference_accuracy": relation_accuracy(network, batcher, corpus.nli("dev"), most=3 * options.dev_texts),
        "temperature": temperature,
        "calibration_error_before": {name: task.calibration_error() for name, task in judged.items()},
        "calibration_error": {name: task.calibration_error(temperature) for name, task in judged.items()},
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the xz-compressed training data")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and result; a second run resumes")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--match-steps", type=int, default=40_000)
    parser.add_argument("--imitate-steps", type=int, default=2_000)
    parser.add_argument("--rank-steps", type=int, default=3_000)
    parser.add_argument("--entail-steps", type=int, default=1_000)
    parser.add_argument("--teacher", type=Path, help="snapshot of a StructBERT to learn from, instead of labels")
    parser.add_argument("--distil-steps", type=int, default=8_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dev-texts", type=int, default=500, help="texts measured per dev task, at most")
    parser.add_argument("--everyday", type=Path, help="JSON file of everyday examples")
    parser.add_argument("--held-out", type=Path, help="JSON file of examples that nothing is chosen by")
    return parser.parse_args()


if __name__ == "__main__":
    main()
