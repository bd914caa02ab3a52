"""Last stage, cross-encoder: text and hypothesis are read together, and classified with three NLI logits.

The bi-encoder of stage 1 is the teacher: its probabilities of the candidates soften the targets, and are the only
targets for candidates that are no labels of the text's task.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from training.data.batches import LengthSortedTask, TokenBatch, TokenBatcher, draw_task
from training.data.corpus import LabelledText, SentencePair
from training.data.hypotheses import ALL_LABEL_NAMES, verbalize
from training.network import CONTRADICTION, ENTAILMENT, RELATIONS, sentence_vectors
from training.stages.bi_encoder import SIMILARITY_SCALE

CANDIDATES = 4
"""Hypotheses per text."""
TOKEN_BUDGET = 900
"""Text tokens of a batch."""
MAX_TEXT_TOKENS = 72
MAX_LONG_TEXT_TOKENS, LONG_TEXT_SHARE = 240, 0.04
"""Limit and share of batches with long texts, which train the late positions."""
TEACHER_SHARE = 0.5
"""Weight of the teacher's probabilities in the target; the rest is the label."""
MARGIN_WEIGHT = 0.5
"""Weight of the margin loss; the ranking loss has 1."""
PASSAGES_TASK, WORDS_TASK = "neighbours", "words"
"""The task whose texts have no labels, and the task whose labels are words."""
OPEN_LABEL_SHARE = 0.3
"""Share of other batches with open labels, for which the teacher's probabilities are the only target."""


class Teacher:
    """The bi-encoder of stage 1, which scores texts and hypotheses."""

    def __init__(self, network: BertForSequenceClassification, batcher: TokenBatcher) -> None:
        self._network = network
        self._batcher = batcher

    @torch.no_grad()
    def encode_texts(self, rows: list[list[int]]) -> Tensor:
        """Unit vectors `[texts, hidden]` of texts, given by their token ids."""
        return sentence_vectors(self._network, self._batcher.texts(rows, MAX_TEXT_TOKENS))

    def scores(self, text_vectors: Tensor, hypotheses: list[str]) -> Tensor:
        """Scaled cosines `[texts, hypotheses]` of each text with each hypothesis."""
        ids = [self._batcher.ids(hypothesis) for hypothesis in hypotheses]
        hypothesis_batch = self._batcher.hypotheses(ids, MAX_TEXT_TOKENS)
        return SIMILARITY_SCALE * text_vectors @ sentence_vectors(self._network, hypothesis_batch).T

    def probabilities(self, text_vectors: Tensor, hypotheses: list[list[str]]) -> Tensor:
        """Probabilities `[texts, candidates]` of each text's own candidates."""
        distinct = sorted({hypothesis for candidates in hypotheses for hypothesis in candidates})
        column_of = {hypothesis: column for column, hypothesis in enumerate(distinct)}
        columns = torch.tensor([[column_of[hypothesis] for hypothesis in candidates] for candidates in hypotheses])
        return self.scores(text_vectors, distinct).gather(1, columns).softmax(dim=1)


def cross_encoder_loss(
    network: BertForSequenceClassification,
    teacher: Teacher,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSortedTask],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step: NLI relations, the teacher's ranking of open labels, or ranking and margin of labels."""
    pools = open_label_pools(tasks, CANDIDATES)

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(1_000_003 * step)
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        max_tokens = MAX_LONG_TEXT_TOKENS if rng.random() < LONG_TEXT_SHARE else MAX_TEXT_TOKENS
        if task != PASSAGES_TASK and isinstance(data.examples[0], SentencePair):
            rows = data.draw(rng, CANDIDATES * TOKEN_BUDGET, max_tokens)
            return relation_loss(network, batcher, data, rows, max_tokens)
        rows = data.draw(rng, TOKEN_BUDGET, max_tokens)
        texts = [data.tokens[i].tolist() for i in rows]
        text_vectors = teacher.encode_texts(texts)
        if task == PASSAGES_TASK or rng.random() < OPEN_LABEL_SHARE:
            hypotheses = [rng.sample(rng.choice(pools), CANDIDATES) for _ in rows]
            logits = candidate_logits(network, batcher, texts, hypotheses, MAX_TEXT_TOKENS)
            probabilities = teacher.probabilities(text_vectors, hypotheses)
            return nn.functional.cross_entropy(logits[..., ENTAILMENT], probabilities)
        hypotheses = [_candidates(task, data, row, rng) for row in rows]
        logits = candidate_logits(network, batcher, texts, hypotheses, max_tokens)
        targets = torch.zeros(logits.shape[:2])
        targets[:, 0] = 1.0
        ranking = ranking_loss(logits, targets, teacher.probabilities(text_vectors, hypotheses))
        return ranking + MARGIN_WEIGHT * margin_loss(logits, targets)

    return loss_of_step


def open_label_pools(tasks: dict[str, LengthSortedTask], min_labels: int) -> list[list[str]]:
    """Open labels, which belong to no task: all label names, and the words, if there are `min_labels` of them."""
    return [pool for pool in (ALL_LABEL_NAMES, tasks[WORDS_TASK].labels) if len(pool) >= min_labels]


def _logits(network: BertForSequenceClassification, batch: TokenBatch) -> Tensor:
    logits: Tensor = network(input_ids=batch.ids, token_type_ids=batch.types, attention_mask=batch.mask).logits
    return logits


def relation_loss(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    data: LengthSortedTask,
    rows: list[int],
    max_tokens: int,
) -> Tensor:
    """Cross-entropy of the three logits of the sentence pairs `rows`, each sentence truncated to `max_tokens`."""
    pairs = [pair for i in rows if isinstance(pair := data.examples[i], SentencePair)]
    batch = batcher.pairs(
        [data.tokens[i].tolist() for i in rows],
        [batcher.ids(pair.hypothesis) for pair in pairs],
        max_tokens,
    )
    targets = torch.tensor([RELATIONS[pair.relation] for pair in pairs])
    return nn.functional.cross_entropy(_logits(network, batch), targets)


def _candidates(task: str, data: LengthSortedTask, row: int, rng: random.Random) -> list[str]:
    """Hypotheses for a text: first the correct one, then wrong ones of its task."""
    example = data.examples[row]
    assert isinstance(example, LabelledText)
    labels = [example.label]
    count = min(CANDIDATES, len(data.labels))
    while len(labels) < count:
        label = rng.choice(data.labels)
        if label not in labels:
            labels.append(label)
    return verbalize(task, labels, rng)


def ranking_loss(logits: Tensor, targets: Tensor, teacher_probabilities: Tensor) -> Tensor:
    """Cross-entropy of the candidates' entailment logits; `logits` is `[texts, candidates, 3]`.

    `targets` and `teacher_probabilities`, which soften them, are probabilities `[texts, candidates]`.
    """
    softened = (1 - TEACHER_SHARE) * targets + TEACHER_SHARE * teacher_probabilities
    return nn.functional.cross_entropy(logits[..., ENTAILMENT], softened)


def margin_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of entailment against contradiction; `logits` is `[texts, candidates, 3]`.

    `targets` (`[texts, candidates]`) has a single 1 per text. The wrong candidates of a text together weigh as
    much as the correct one.
    """
    weight = torch.where(targets > 0, 1.0, 1.0 / max(1, targets.shape[1] - 1))
    margin = logits[..., ENTAILMENT] - logits[..., CONTRADICTION]
    return nn.functional.binary_cross_entropy_with_logits(margin, targets, weight=weight)


def candidate_logits(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    texts: list[list[int]],
    hypotheses: list[list[str]],
    max_tokens: int,
) -> Tensor:
    """Logits `[texts, candidates, 3]` of each text with its own hypotheses, as many for every text."""
    count = len(hypotheses[0])
    premises = [text for text in texts for _ in range(count)]
    hypothesis_ids = [batcher.ids(hypothesis) for candidates in hypotheses for hypothesis in candidates]
    return _logits(network, batcher.pairs(premises, hypothesis_ids, max_tokens)).view(len(texts), count, 3)
