"""Exports a PyTorch network as an ONNX graph with dynamic batch size and sequence length."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor
from transformers import PreTrainedModel

from engine.recipe import ABSENT_LOGITS, INPUTS, LABEL_ORDER, OUTPUT

OPSET = 18
"""ONNX operator set of every exported graph."""


class _PairScorer(torch.nn.Module):
    """Gives every network the same inputs, `INPUTS`, and the same output, logits in `LABEL_ORDER`."""

    def __init__(self, network: PreTrainedModel, order: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._order = tuple(order)
        self._takes_types = "token_type_ids" in inspect.signature(network.forward).parameters

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        types = {"token_type_ids": token_type_ids} if self._takes_types else {}
        logits: Tensor = self.network(input_ids=input_ids, attention_mask=attention_mask, **types).logits
        if self._order == LABEL_ORDER:
            return logits
        columns = [
            logits[:, self._order.index(name)]
            if name in self._order
            else torch.full_like(logits[:, 0], ABSENT_LOGITS[name])
            for name in LABEL_ORDER
        ]
        return torch.stack(columns, dim=1)


def export_onnx(network: PreTrainedModel, path: Path, order: Sequence[str] = LABEL_ORDER) -> None:
    """Write `network` to `path` in FP32: inputs `[n, s]` int64 (`INPUTS`), output `logits` `[n, 3]` float32.

    `order`: what each row of the network's classifier stands for. A graph that takes no token types has the input
    all the same.
    """
    ids = torch.ones((2, 16), dtype=torch.int64)
    example = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    with warnings.catch_warnings(), torch.inference_mode():
        # The TorchScript exporter warns that it is deprecated; the transformers optimizer of ONNX Runtime
        # recognizes the patterns of its graphs.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _PairScorer(network, order).eval(),
            example,
            str(path),
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes={name: {0: "pairs", 1: "tokens"} for name in INPUTS} | {OUTPUT: {0: "pairs"}},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load(path)
    present = {value.name for value in graph.graph.input}
    missing = [name for name in INPUTS if name not in present]
    if missing:
        graph.graph.input.extend(
            helper.make_tensor_value_info(name, TensorProto.INT64, ["pairs", "tokens"]) for name in missing
        )
        onnx.save(graph, path)
    onnx.checker.check_model(graph)
