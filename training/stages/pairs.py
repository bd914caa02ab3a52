"""Logits of pairs read one by one, and the losses on logits of pairs and grids."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.data.batches import LengthSortedTask, TokenBatch, TokenBatcher
from training.data.corpus import SentencePair
from training.network import CONTRADICTION, ENTAILMENT, RELATIONS


def candidate_logits(
    network: PreTrainedModel,
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


def relation_loss(
    network: PreTrainedModel, batcher: TokenBatcher, data: LengthSortedTask, rows: list[int], max_tokens: int
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


def ranking_loss(logits: Tensor, targets: Tensor, taught: Tensor, taught_share: float) -> Tensor:
    """Cross-entropy of the entailment logits over a text's hypotheses; `logits` is `[texts, hypotheses, 3]`.

    `targets` and `taught`, which softens them, are probabilities `[texts, hypotheses]`.
    """
    softened = (1 - taught_share) * targets + taught_share * taught
    return nn.functional.cross_entropy(logits[..., ENTAILMENT], softened)


def margin_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of entailment against contradiction; `logits` is `[texts, hypotheses, 3]`.

    `targets` (`[texts, hypotheses]`) has a single 1 per text. The wrong hypotheses of a text together weigh as
    much as the correct one.
    """
    weight = torch.where(targets > 0, 1.0, 1.0 / max(1, targets.shape[1] - 1))
    margin = logits[..., ENTAILMENT] - logits[..., CONTRADICTION]
    return nn.functional.binary_cross_entropy_with_logits(margin, targets, weight=weight)


def _logits(network: PreTrainedModel, batch: TokenBatch) -> Tensor:
    logits: Tensor = network(input_ids=batch.ids, token_type_ids=batch.types, attention_mask=batch.mask).logits
    return logits
