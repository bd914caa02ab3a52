"""A BERT that reads text and hypothesis apart in its lower layers, and compares them above: the embedded model's.

In the lower layers tokens attend to their own segment alone, as in DeFormer (Cao et al. 2020, arXiv:2005.00697)
and PreTTR (MacAvaney et al. 2020, arXiv:2004.14255), so a pretrained bi-encoder keeps what it knows. The logits
are the cosine of the two segments' mean states, plus what a classifier reads off the first token after the upper
layers, in which all tokens of the pair attend to each other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertPreTrainedModel,
    BertTokenizer,
    BertTokenizerFast,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from engine.snapshot import SPLIT_BERT

MASKED = -10_000.0
"""Added to attention scores: no attention, and within the range of FP16."""
HYPOTHESIS_START = 1
"""Position of the first token of a hypothesis, which has no token for a beginning."""


class SplitBertConfig(BertConfig):
    """A BERT's, and the number of its lower layers."""

    model_type = SPLIT_BERT

    def __init__(self, split_layers: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.split_layers = split_layers


class SplitBertForSequenceClassification(BertPreTrainedModel):
    """Logits `[n, 3]` float32 (entailment, neutral, contradiction) of pairs of text and hypothesis."""

    config_class = SplitBertConfig

    def __init__(self, config: SplitBertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.segment = nn.Parameter(torch.zeros(config.hidden_size))
        """Added to a hypothesis before the upper layers, which see the whole pair."""
        self.similarity = nn.Linear(1, config.num_labels)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """All inputs are `[n, s]` int64; token types are 0 for the text and 1 for the hypothesis."""
        attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        text, hypothesis = attention_mask * (1 - types), attention_mask * types
        states = self.segment_states(input_ids, attention_mask, types)
        cosine = (mean_direction(states, text) * mean_direction(states, hypothesis)).sum(-1, keepdim=True)
        states = states + hypothesis.unsqueeze(-1) * self.segment
        whole = (1.0 - attention_mask.to(states.dtype))[:, None, None, :] * MASKED
        for layer in self.bert.encoder.layer[self.config.split_layers :]:
            states = layer(states, whole)[0]
        logits = self.similarity(cosine) + self.classifier(self.bert.pooler(states))
        return SequenceClassifierOutput(logits=logits)

    def segment_states(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        """States `[n, s, hidden]` after the lower layers: of each segment as if it were alone."""
        text_tokens = (mask * (1 - types)).sum(1, keepdim=True)
        positions = torch.arange(ids.shape[1], device=ids.device) - types * (text_tokens - HYPOTHESIS_START)
        embeddings = self.bert.embeddings
        states: Tensor = embeddings(
            input_ids=ids, token_type_ids=torch.zeros_like(ids), position_ids=positions * mask
        )
        same = (types.unsqueeze(2) == types.unsqueeze(1)) & mask.bool().unsqueeze(1)
        own = (1.0 - same.to(states.dtype)).unsqueeze(1) * MASKED
        for layer in self.bert.encoder.layer[: self.config.split_layers]:
            states = layer(states, own)[0]
        return states


def mean_direction(states: Tensor, mask: Tensor) -> Tensor:
    """The mean `[n, hidden]` of states `[n, s, hidden]` over the tokens of `mask`, of length 1 (0 without any)."""
    total = (states * mask.unsqueeze(-1)).sum(1)
    return total / total.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def register_split_bert() -> None:
    """Let transformers find the network by its `model_type`; does nothing a second time."""
    AutoConfig.register(SPLIT_BERT, SplitBertConfig, exist_ok=True)
    AutoTokenizer.register(
        SplitBertConfig, slow_tokenizer_class=BertTokenizer, fast_tokenizer_class=BertTokenizerFast, exist_ok=True
    )
    AutoModelForSequenceClassification.register(SplitBertConfig, SplitBertForSequenceClassification, exist_ok=True)
