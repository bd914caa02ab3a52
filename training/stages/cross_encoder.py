"""The last stage, cross-encoder: text and hypothesis are read together, three logits in NLI order come out.

The bi-encoder of stage one teaches: its view of all candidates softens the targets, and it labels raw passages.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from training.data.batches import LengthSorted, TokenBatcher, draw_task
from training.data.corpus import Labelled, SentencePair
from training.data.hypotheses import ANY_NAME, say
from training.network import CONTRADICTION, ENTAILMENT, RELATIONS, mean_of_tokens
from training.stages.bi_encoder import SCALE

CANDIDATES = 4
TOKEN_BUDGET = 900
LONGEST_TEXT = 72
LONGER_TEXT, LONGER_SHARE = 240, 0.04
"""Some batches read far into long texts, so that late positions are not strangers."""
TEACHER_SHARE = 0.5
"""Weight of the teacher's view in the target; the rest is the label."""
MARGIN_WEIGHT = 0.5
"""Of entailment against contradiction, beside which candidate is right."""
PASSAGES, WORDS = "neighbours", "words"
"""The task whose texts have no label: the teacher alone says which of some drawn names or words fits."""
STRANGERS_SHARE = 0.3
"""Of the other tasks' batches: so many ask for names and words of anywhere, and the teacher alone answers."""


class Teacher:
    """The bi-encoder of stage one, and what it thinks of texts and hypotheses."""

    def __init__(self, network: BertForSequenceClassification, batcher: TokenBatcher) -> None:
        self._network = network
        self._batcher = batcher

    @torch.no_grad()
    def vectors(self, rows: list[list[int]]) -> Tensor:
        """Unit vectors `[rows, hidden]` of texts."""
        return mean_of_tokens(self._network, *self._batcher.texts(rows, LONGEST_TEXT))

    def scores(self, texts: Tensor, said: list[str]) -> Tensor:
        """Cosines `[texts, hypotheses]` of each with each, spread as in stage one."""
        ids = [self._batcher.ids(h) for h in said]
        return SCALE * texts @ mean_of_tokens(self._network, *self._batcher.hypotheses(ids, LONGEST_TEXT)).T

    def opinion(self, texts: Tensor, said: list[list[str]]) -> Tensor:
        """Probabilities `[texts, candidates]` of the hypotheses that were said of each text."""
        distinct = sorted({h for row in said for h in row})
        place = {h: column for column, h in enumerate(distinct)}
        columns = torch.tensor([[place[h] for h in row] for row in said])
        return self.scores(texts, distinct).gather(1, columns).softmax(dim=1)


def entail_loss(
    network: BertForSequenceClassification,
    teacher: Teacher,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSorted],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step: the right candidate among four, and entailment against contradiction for each pair."""
    pools = strangers(tasks, CANDIDATES)

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(1_000_003 * step)
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        longest = LONGER_TEXT if rng.random() < LONGER_SHARE else LONGEST_TEXT
        if task != PASSAGES and isinstance(data.examples[0], SentencePair):
            return relations_loss(
                network, batcher, data, data.draw(rng, CANDIDATES * TOKEN_BUDGET, longest), longest
            )
        rows = data.draw(rng, TOKEN_BUDGET, longest)
        texts = [data.tokens[i].tolist() for i in rows]
        vectors = teacher.vectors(texts)
        if task == PASSAGES or rng.random() < STRANGERS_SHARE:
            said = [rng.sample(rng.choice(pools), CANDIDATES) for _ in rows]
            logits = candidate_logits(network, batcher, texts, said, LONGEST_TEXT)
            return nn.functional.cross_entropy(logits[..., ENTAILMENT], teacher.opinion(vectors, said))
        said = [_candidates(task, data, row, rng) for row in rows]
        logits = candidate_logits(network, batcher, texts, said, longest)
        truth = torch.zeros(logits.shape[:2])
        truth[:, 0] = 1.0
        ranking = ranking_loss(logits, truth, teacher.opinion(vectors, said))
        return ranking + MARGIN_WEIGHT * margin_loss(logits, truth)

    return loss_of_step


def strangers(tasks: dict[str, LengthSorted], least: int) -> list[list[str]]:
    """The names and the words of anywhere, each if there are at least so many."""
    return [pool for pool in (ANY_NAME, tasks[WORDS].labels) if len(pool) >= least]


def _logits(network: BertForSequenceClassification, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    ids, types, mask = inputs
    logits: Tensor = network(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
    return logits


def relations_loss(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    data: LengthSorted,
    rows: list[int],
    longest: int,
) -> Tensor:
    """Cross-entropy of the three logits of sentences that are read together."""
    pairs = [pair for i in rows if isinstance(pair := data.examples[i], SentencePair)]
    inputs = batcher.pairs(
        [data.tokens[i].tolist() for i in rows],
        [batcher.ids(pair.hypothesis) for pair in pairs],
        longest,
    )
    target = torch.tensor([RELATIONS[pair.relation] for pair in pairs])
    return nn.functional.cross_entropy(_logits(network, inputs), target)


def _candidates(task: str, data: LengthSorted, row: int, rng: random.Random) -> list[str]:
    """Hypotheses of one text: the right one first, then wrong ones of its task."""
    example = data.examples[row]
    assert isinstance(example, Labelled)
    labels = [example.label]
    count = min(CANDIDATES, len(data.labels))
    while len(labels) < count:
        label = rng.choice(data.labels)
        if label not in labels:
            labels.append(label)
    return say(task, labels, rng)


def ranking_loss(logits: Tensor, truth: Tensor, opinion: Tensor) -> Tensor:
    """Cross-entropy of which candidate is entailed, `logits` `[texts, candidates, 3]`.

    `truth` and the teacher's `opinion`, which softens it, are probabilities `[texts, candidates]`.
    """
    target = (1 - TEACHER_SHARE) * truth + TEACHER_SHARE * opinion
    return nn.functional.cross_entropy(logits[..., ENTAILMENT], target)


def margin_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Entailment against contradiction, `logits` `[texts, candidates, 3]`, where one candidate a text is true.

    As many contradictions as entailments, by weight.
    """
    weight = torch.where(truth > 0, 1.0, 1.0 / max(1, truth.shape[1] - 1))
    margin = logits[..., ENTAILMENT] - logits[..., CONTRADICTION]
    return nn.functional.binary_cross_entropy_with_logits(margin, truth, weight=weight)


def candidate_logits(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    texts: list[list[int]],
    said: list[list[str]],
    longest: int,
) -> Tensor:
    """Logits `[texts, candidates, 3]`."""
    count = len(said[0])
    premises = [text for text in texts for _ in range(count)]
    inputs = batcher.pairs(premises, [batcher.ids(h) for row in said for h in row], longest)
    return _logits(network, inputs).view(len(texts), count, 3)
