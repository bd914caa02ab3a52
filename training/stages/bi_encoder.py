"""Stage 1, bi-encoder: encodes texts and labels separately, so that a text is near its label.

The pretrained encoder stays the teacher for labels that no task has, so what it knows of them is not forgotten.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from engine.split_bert import SplitBertForSequenceClassification
from training.data.batches import LengthSortedTask, TokenBatcher, draw_task
from training.data.corpus import LabelledText, SentencePair
from training.data.hypotheses import draw_template, fill_template, verbalize
from training.network import RELATIONS, SIMILARITY_SCALE, frozen_copy, segment_vectors
from training.stages.open_labels import divergence, open_label_pools

TOKEN_BUDGET = 2_600
"""Text tokens of a batch."""
MAX_TEXT_TOKENS = 96
MAX_LABELS = 32
"""Labels that the texts of a batch are compared with; more if the texts have more."""
OPEN_LABELS = 32
"""Labels of no task, on which the network follows the pretrained encoder."""
OPEN_LABEL_SHARE = 0.5
"""Share of the steps on labels that have them."""
OPEN_LABEL_WEIGHT = 1.0
"""Weight of their loss; as much as the task's own."""
NLI_TASK = "nli"
"""The task whose pairs are classified by the inference head."""


def add_inference_head(network: SplitBertForSequenceClassification) -> None:
    """Add a head that classifies a pair of vectors as entailment, neutral or contradiction, for this stage only.

    Its input is both vectors, their absolute difference and their product (Conneau et al. 2017, InferSent), so the
    vectors learn what inference needs.
    """
    hidden = network.config.hidden_size
    network.inference = nn.Sequential(nn.Linear(4 * hidden, hidden), nn.GELU(), nn.Linear(hidden, len(RELATIONS)))


def bi_encoder_loss(
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSortedTask],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step: cross-entropy over labels, over the sentences of the batch, or over NLI relations.

    `network` is the pretrained one, and its teacher for open labels.
    """
    teacher = frozen_copy(network)
    names, *words = open_label_pools(tasks, OPEN_LABELS)
    pools = [names, *words, *words]

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(step)
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        rows = data.draw(rng, TOKEN_BUDGET, MAX_TEXT_TOKENS)
        if isinstance(data.examples[0], SentencePair):
            pair_loss = _relation_loss if task == NLI_TASK else _in_batch_loss
            return pair_loss(network, batcher, data, rows)
        open_labels = rng.sample(rng.choice(pools), OPEN_LABELS) if rng.random() < OPEN_LABEL_SHARE else []
        return _label_loss(network, teacher, batcher, task, data, rows, open_labels, rng)

    return loss_of_step


def _in_batch_loss(
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    data: LengthSortedTask,
    rows: list[int],
) -> Tensor:
    """Which sentence of the batch belongs to which: cross-entropy over the batch, in both directions."""
    first, second, _ = _pair_vectors(network, batcher, data, rows)
    scores = SIMILARITY_SCALE * first @ second.T
    targets = torch.arange(len(rows))
    return (nn.functional.cross_entropy(scores, targets) + nn.functional.cross_entropy(scores.T, targets)) / 2


def _relation_loss(
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    data: LengthSortedTask,
    rows: list[int],
) -> Tensor:
    first, second, relations = _pair_vectors(network, batcher, data, rows)
    # The vectors have length 1: scaled to components of about 1.
    size = network.config.hidden_size
    features = [first * size**0.5, second * size**0.5, (first - second).abs() * size**0.5, first * second * size]
    logits = network.inference(torch.cat(features, dim=1))
    return nn.functional.cross_entropy(logits, torch.tensor([RELATIONS[relation] for relation in relations]))


def _pair_vectors(
    network: SplitBertForSequenceClassification, batcher: TokenBatcher, data: LengthSortedTask, rows: list[int]
) -> tuple[Tensor, Tensor, list[str]]:
    """Vectors `[n, hidden]` of the first and of the second sentences, and their relations."""
    pairs = [pair for i in rows if isinstance(pair := data.examples[i], SentencePair)]
    first = batcher.texts([data.tokens[i].tolist() for i in rows], MAX_TEXT_TOKENS)
    second = batcher.hypotheses([batcher.ids(pair.hypothesis) for pair in pairs], MAX_TEXT_TOKENS)
    relations = [pair.relation for pair in pairs]
    return segment_vectors(network, first), segment_vectors(network, second), relations


def _label_loss(
    network: SplitBertForSequenceClassification,
    teacher: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    task: str,
    data: LengthSortedTask,
    rows: list[int],
    open_labels: list[str],
    rng: random.Random,
) -> Tensor:
    hypotheses, targets = sample_hypotheses(task, data, rows, MAX_LABELS, rng)
    texts = batcher.texts([data.tokens[i].tolist() for i in rows], MAX_TEXT_TOKENS)
    hypothesis_batch = batcher.hypotheses([batcher.ids(hypothesis) for hypothesis in hypotheses], MAX_TEXT_TOKENS)
    text_vectors = segment_vectors(network, texts)
    scores = SIMILARITY_SCALE * text_vectors @ segment_vectors(network, hypothesis_batch).T
    loss = nn.functional.cross_entropy(scores, torch.tensor(targets))
    if not open_labels:
        return loss
    template = draw_template(task, rng)
    rows_of_labels = [batcher.ids(fill_template(template, label)) for label in open_labels]
    open_batch = batcher.hypotheses(rows_of_labels, MAX_TEXT_TOKENS)
    open_scores = SIMILARITY_SCALE * text_vectors @ segment_vectors(network, open_batch).T
    with torch.no_grad():
        taught = SIMILARITY_SCALE * segment_vectors(teacher, texts) @ segment_vectors(teacher, open_batch).T
    return loss + OPEN_LABEL_WEIGHT * divergence(open_scores, taught)


def sample_hypotheses(
    task: str, data: LengthSortedTask, rows: list[int], max_labels: int, rng: random.Random
) -> tuple[list[str], list[int]]:
    """Hypotheses for the labels of `rows` and others of their task, up to `max_labels` in total.

    Returns them, and for each row the index of the correct one.
    """
    correct_labels = [example.label for i in rows if isinstance(example := data.examples[i], LabelledText)]
    labels = sorted(set(correct_labels))
    others = rng.sample(data.labels, min(len(data.labels), max_labels))
    labels += [label for label in others if label not in correct_labels][: max(0, max_labels - len(labels))]
    return verbalize(task, labels, rng), [labels.index(label) for label in correct_labels]
