"""Exports a PyTorch network as an ONNX graph with dynamic batch size and sequence length."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from transformers import BertForSequenceClassification

from engine.recipe import INPUTS, OUTPUT

OPSET = 18
"""ONNX operator set of every exported graph."""


class _LogitsOnly(torch.nn.Module):
    """Adapts the network to the exporter: takes tensors in the order of `INPUTS`, returns a tensor."""

    def __init__(self, network: BertForSequenceClassification) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        logits: torch.Tensor = self.network(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).logits
        return logits


def export_onnx(network: BertForSequenceClassification, path: Path) -> None:
    """Write `network` to `path` in FP32: inputs `[n, s]` int64 (`INPUTS`), output `logits` `[n, 3]` float32."""
    ids = torch.ones((2, 16), dtype=torch.int64)
    example = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    with warnings.catch_warnings(), torch.inference_mode():
        # The TorchScript exporter warns that it is deprecated; the transformers optimizer of ONNX Runtime
        # recognizes the patterns of its graphs.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _LogitsOnly(network.eval()),
            example,
            str(path),
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes={name: {0: "pairs", 1: "tokens"} for name in INPUTS} | {OUTPUT: {0: "pairs"}},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(path))
