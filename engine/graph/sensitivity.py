"""Chooses the products that stay in FP32: the fewest whose rounding changes the most labels.

The rounding of each product is tried alone, in one graph that computes every product either way. The errors of
different products are independent, so their squares add up. With the leads of the best labels over the second ones
they tell how many best labels would change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erfc, prod
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engine.recipe import LABEL_ORDER, OUTPUT

MAX_EXPECTED_CHANGES = 0.01
"""Expected share of changed labels of calibration texts up to which products are rounded.

What an engine may change at most: many calibration texts fit none of their labels. With the same error, the tiny
embedded model is expected to change 1.5% of them, 0.7% of our own examples, and 0.3% of its development sets.
"""
MAX_FP32_WORK = 0.5
"""Of all multiplications with weights: with more in FP32, INT8 would hardly be faster than FP32."""
TEXTS_TRIED = (4, 24)
"""At least and at most, calibration texts on which the rounding of each product is tried: the shortest ones of
several labels."""
MAX_TRIAL_WORK = 3e12
"""Multiplications to try all products once: a large model, whose products are more as well, gets fewer texts."""
MAX_GRAPH_BYTES = 2_100_000_000
"""Of a trial graph: ONNX holds 2^31 bytes, and a model at most 2 GB of weights in FP32."""
ROUNDED, EXACT, IS_ROUNDED = ".rounded", ".exact", ".is_rounded"
"""Suffixes of the two results of a product, and of the input that chooses between them."""
ENTAILMENT = LABEL_ORDER.index("entailment")

Inputs = dict[str, NDArray[np.int64]]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Replacement:
    """What computes a product in 8 bits."""

    nodes: Sequence[onnx.NodeProto]
    """The last one has the output of the product."""
    constants: Sequence[onnx.TensorProto]
    work: float
    """Multiplications of the product."""


class Trials:
    """Rounds products of a graph on calibration texts, each given by its rows, one for each label."""

    def __init__(
        self, graph: onnx.ModelProto, texts: Sequence[Inputs], *, max_graph_bytes: int = MAX_GRAPH_BYTES
    ) -> None:
        self._graph = graph
        self._max_graph_bytes = max_graph_bytes
        compared = [text for text in texts if len(text["input_ids"]) > 1]
        self._texts = sorted(compared, key=lambda text: text["input_ids"].shape[1])
        session = _session(graph)
        self._leads = np.array([_lead(_entailments(session, text)) for text in compared])

    def variances(self, replacements: Mapping[str, Replacement]) -> dict[str, float]:
        """By each product, rounded alone: the variance of the error of a difference of two labels' logits."""
        weights = sum(prod(constant.dims) for r in replacements.values() for constant in r.constants)
        sizes = [text["input_ids"].size for text in self._texts]
        texts = self._texts[: texts_tried(sizes, weights * len(replacements))]
        variances: dict[str, float] = {}
        for names in self._parts(replacements):
            variances |= self._variances({name: replacements[name] for name in names}, texts)
        return variances

    def _parts(self, replacements: Mapping[str, Replacement]) -> list[list[str]]:
        """Products whose trial graph ONNX can hold: all weights in FP32, and those of a part in 8 bits too."""
        room = self._max_graph_bytes - self._graph.ByteSize()
        parts: list[list[str]] = []
        left = 0
        for name, replacement in replacements.items():
            size = sum(constant.ByteSize() for constant in replacement.constants)
            if not parts or size > left:
                parts.append([])
                left = room
            parts[-1].append(name)
            left -= size
        return parts

    def _variances(self, replacements: Mapping[str, Replacement], texts: Sequence[Inputs]) -> dict[str, float]:
        session = _session(_with_switches(self._graph, replacements))
        off = {name + IS_ROUNDED: np.array(False) for name in replacements}
        exact = [_entailments(session, text | off) for text in texts]
        variances = {}
        for name in replacements:
            switches = off | {name + IS_ROUNDED: np.array(True)}
            rounded = [_entailments(session, text | switches) for text in texts]
            variances[name] = _variance([r - e for r, e in zip(rounded, exact, strict=True)])
        return variances

    def products_to_keep(self, rounded: Mapping[str, tuple[float, Replacement]]) -> set[str]:
        """The products that stay in FP32, of those with these variances and replacements."""
        total = sum(replacement.work for _, replacement in rounded.values())
        kept: set[str] = set()
        work = 0.0

        def gain(name: str) -> float:
            variance, replacement = rounded[name]
            return variance / replacement.work

        for name in sorted(rounded, key=gain, reverse=True):
            remaining = sum(variance for key, (variance, _) in rounded.items() if key not in kept)
            if expected_changes(self._leads, remaining) <= MAX_EXPECTED_CHANGES:
                break
            if work + rounded[name][1].work <= MAX_FP32_WORK * total:
                kept.add(name)
                work += rounded[name][1].work
        return kept


def texts_tried(sizes: Sequence[int], work: int) -> int:
    """How many texts of these sizes, in tokens, all products are tried on; `work`: multiplications for a token."""
    fewest, most = TEXTS_TRIED
    affordable = int(np.searchsorted(np.cumsum(sizes) * float(work), MAX_TRIAL_WORK, side="right"))
    return min(max(affordable, fewest), most)


def expected_changes(leads: NDArray[np.float64], variance: float) -> float:
    """Expected share of texts whose best label changes: of those with these leads over the second label.

    `variance`: of the error of a difference of two logits, which is normally distributed.
    """
    if not len(leads) or variance <= 0:
        return 0.0
    return float(np.mean([erfc(lead / np.sqrt(2 * variance)) / 2 for lead in leads]))


def _variance(errors: Sequence[Floats]) -> float:
    """Of the difference of two labels' errors: twice that within a text, where a common error changes nothing."""
    squares = sum(float(np.square(error - error.mean()).sum()) for error in errors)
    degrees = sum(len(error) - 1 for error in errors)
    return 2 * squares / max(degrees, 1)


def _lead(logits: Floats) -> float:
    second, best = np.sort(logits)[-2:]
    return float(best - second)


def _entailments(session: ort.InferenceSession, inputs: Mapping[str, NDArray[Any]]) -> Floats:
    logits: Floats = session.run([OUTPUT], dict(inputs))[0]
    return logits[:, ENTAILMENT]


def _with_switches(graph: onnx.ModelProto, replacements: Mapping[str, Replacement]) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    for node in result.graph.node:
        replacement = replacements.get(node.output[0])
        if replacement is None:
            continue
        name = node.output[0]
        exact, rounded = onnx.NodeProto(), [onnx.NodeProto() for _ in replacement.nodes]
        exact.CopyFrom(node)
        exact.output[0] = name + EXACT
        for copy, original in zip(rounded, replacement.nodes, strict=True):
            copy.CopyFrom(original)
        rounded[-1].output[0] = name + ROUNDED
        node.CopyFrom(
            helper.make_node(
                "If",
                [name + IS_ROUNDED],
                [name],
                then_branch=_branch(rounded, replacement.constants),
                else_branch=_branch([exact], ()),
            )
        )
        result.graph.input.append(helper.make_tensor_value_info(name + IS_ROUNDED, TensorProto.BOOL, []))
    return result


def _branch(nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto]) -> onnx.GraphProto:
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), nodes[-1].output[0], [], [output], list(constants))


def _session(graph: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
