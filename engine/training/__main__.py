"""`python -m engine.training`: vocabulary → vectors → bi-encoder → cross-encoder, resumable at every point."""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import BertForSequenceClassification

from engine.snapshot import Snapshot, write_snapshot
from engine.training.batches import LengthSorted, TokenBatcher
from engine.training.corpus import Corpus, Labelled, SentencePair
from engine.training.entail import Teacher, entail_loss
from engine.training.loop import Stage, run_stage
from engine.training.match import match_loss
from engine.training.measure import (
    Score,
    accuracy,
    entailments,
    everyday,
    load_everyday_examples,
    matches,
)
from engine.training.network import build_network, config_of, soften_attention
from engine.training.vectors import learn_vectors, write_token_file
from engine.training.vocabulary import learn_vocabulary, load_tokenizer

SEED = 7
HIDDEN = 256
SOFTER = 0.4
NEIGHBOURS = 120_000

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
}
MATCH_WEIGHTS = TOPIC_WEIGHTS | {"neighbours": 2.0, "paraphrases": 1.5}
ENTAIL_WEIGHTS = TOPIC_WEIGHTS | {"nli": 2.0, "questions": 0.7, "neighbours": 3.0}

SHARPEN_WEIGHTS = ENTAIL_WEIGHTS | {"tnews": 3.5, "nlpcc2017": 5.0, "nli": 3.5, "neighbours": 2.0}


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
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
    network = build_network(np.load(vectors_file), layers=options.layers, seed=SEED)
    stage = Stage("match", options.match_steps, learning_rate=5e-4)
    loss = match_loss(network, batcher, tasks, MATCH_WEIGHTS)
    run_stage(stage, network, loss, options.work, report)
    _measure(matches, network, batcher, corpus, options)
    teacher = Teacher(copy.deepcopy(network).requires_grad_(False), batcher)
    soften_attention(network, SOFTER)
    stage = Stage("entail", options.entail_steps, learning_rate=2.5e-4)
    loss = entail_loss(network, teacher, batcher, tasks, ENTAIL_WEIGHTS)
    run_stage(stage, network, loss, options.work, report)
    stage = Stage("sharpen", options.sharpen_steps, learning_rate=1.5e-4)
    loss = entail_loss(network, teacher, batcher, tasks, SHARPEN_WEIGHTS, hard=2)
    run_stage(stage, network, loss, options.work, report)
    snapshot = Snapshot(
        config_of(network), network.state_dict(), vocabulary.read_text(encoding="utf-8"), lower_case=True
    )
    write_snapshot(snapshot, options.work / "snapshot")
    figures = _measure(entailments, network, batcher, corpus, options)
    (options.work / "dev.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def report(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _tasks(corpus: Corpus, batcher: TokenBatcher) -> dict[str, LengthSorted]:
    rng = random.Random(SEED)
    examples: dict[str, list[Labelled] | list[SentencePair]] = dict(corpus.tasks())
    examples["lexicon"] = corpus.lexicon()
    examples["nli"] = corpus.nli("train")
    examples["questions"] = questions = corpus.paraphrases()
    examples["paraphrases"] = [pair for pair in questions if pair.relation == "entailment"]
    examples["neighbours"] = corpus.neighbours(rng, NEIGHBOURS)
    return {
        name: LengthSorted(
            items,
            batcher.encode_all([e.text if isinstance(e, Labelled) else e.premise for e in items]),
        )
        for name, items in examples.items()
    }


def _measure(
    score: Score,
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    corpus: Corpus,
    options: argparse.Namespace,
) -> dict[str, float]:
    figures = {}
    for task, examples in corpus.dev_tasks().items():
        labels = sorted({example.label for example in examples})
        figures[task] = accuracy(score, network, batcher, examples, labels, most=options.dev_texts)
        report(f"dev {task} ({len(labels)} labels): {figures[task]:.3f}")
    if options.everyday is not None:
        outcome = everyday(score, network, batcher, load_everyday_examples(options.everyday))
        report(f"everyday examples: {sum(outcome)} of {len(outcome)}: {outcome}")
    return figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the xz-compressed training data")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and result; a second run resumes")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--match-steps", type=int, default=2_600)
    parser.add_argument("--entail-steps", type=int, default=5_000)
    parser.add_argument("--sharpen-steps", type=int, default=4_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dev-texts", type=int, default=500, help="texts measured per dev task")
    parser.add_argument("--everyday", type=Path, help="JSON file of everyday examples")
    return parser.parse_args()


if __name__ == "__main__":
    main()
