"""The last layer computes the first token alone, in engines of every kind, with the same logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from engine.graph.export import export_onnx
from engine.graph.first_token import read_first_token_alone
from engine.graph.fusion import convert_to_fp16, fuse
from engine.graph.ragged_inputs import BatchLimits, add_ragged_inputs
from engine.network import network_of, token_types_of
from engine.snapshot import Snapshot, read_snapshot
from python_backend.onnx_engine import flatten
from tests.engine.snapshots import as_batch, random_rows, random_snapshot
from tests.engine.zoo import BERT_TOKENS, MODERNBERT, NLI, SNAPSHOTS, byte_level_bpe, transformers_snapshot

WIDER = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 3}
ROWS, TOKENS = 6, 60


def exported(snapshot: Snapshot, tmp_path: Path) -> onnx.ModelProto:
    export_onnx(network_of(snapshot), tmp_path / "exported.onnx", snapshot.logits)
    return onnx.load(tmp_path / "exported.onnx")


def logits(graph: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> np.ndarray:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], inputs)[0])


def batch(snapshot: Snapshot) -> dict[str, np.ndarray]:
    rows = as_batch(random_rows(5, ROWS), TOKENS)
    return rows if token_types_of(snapshot) == 2 else rows | {"token_type_ids": np.zeros_like(rows["input_ids"])}


def multiplications(graph: onnx.ModelProto, inputs: dict[str, np.ndarray], size: int) -> list[tuple[int, ...]]:
    """Shapes of the outputs of all products whose last dimension is `size`, in the graph's order."""
    names = [n.output[0] for n in graph.graph.node if n.op_type == "MatMul"]
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(graph)
    instrumented.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = ort.InferenceSession(instrumented.SerializeToString(), providers=["CPUExecutionProvider"])
    shapes = [value.shape for value in session.run(names, inputs)]
    return [shape for shape in shapes if shape[-1] == size]


@pytest.mark.parametrize("kind", SNAPSHOTS)
def test_every_kind_of_model_has_the_same_logits(kind: str, tmp_path: Path) -> None:
    SNAPSHOTS[kind](tmp_path / "snapshot")
    snapshot = read_snapshot(tmp_path / "snapshot", None)
    whole = exported(snapshot, tmp_path)
    first = read_first_token_alone(whole)
    inputs = batch(snapshot)
    np.testing.assert_allclose(logits(first, inputs), logits(whole, inputs), atol=1e-6)
    # The first product of the feed-forward part, in each of the two layers; ModernBERT has both gates in one.
    size = snapshot.config["intermediate_size"] * (2 if snapshot.architecture == "modernbert" else 1)
    shapes = [shape for shape in multiplications(first, inputs, size) if len(shape) == 3]
    assert shapes[0] == (ROWS, TOKENS, size)
    assert shapes[-1] == (ROWS, 1, size)


def test_a_model_that_pools_all_tokens_keeps_them(tmp_path: Path) -> None:
    options = MODERNBERT | {"classifier_pooling": "mean"}
    transformers_snapshot(tmp_path / "mean", "modernbert", NLI, byte_level_bpe(BERT_TOKENS), **options)
    snapshot = read_snapshot(tmp_path / "mean", None)
    whole = exported(snapshot, tmp_path)
    first = read_first_token_alone(whole)
    inputs = batch(snapshot)
    np.testing.assert_array_equal(logits(first, inputs), logits(whole, inputs))
    size = 2 * snapshot.config["intermediate_size"]
    assert multiplications(first, inputs, size) == multiplications(whole, inputs, size)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, Path]:
    folder = tmp_path_factory.mktemp("first")
    snapshot = random_snapshot(3, **WIDER)
    onnx.save(read_first_token_alone(exported(snapshot, folder)), folder / "first.onnx")
    return snapshot, folder / "first.onnx"


def test_graphs_of_half_precision_or_with_ragged_inputs_compute_the_first_token_alone(
    first: tuple[Snapshot, Path],
) -> None:
    snapshot, path = first
    inputs = as_batch(random_rows(5, ROWS), TOKENS)
    exact = logits(onnx.load(path), inputs)
    half = convert_to_fp16(fuse(path, snapshot.config))
    np.testing.assert_allclose(logits(half, inputs), exact, atol=0.02)
    shapes = multiplications(half, inputs, WIDER["intermediate_size"])
    assert [shape[1] for shape in shapes] == [TOKENS, TOKENS, 1]
    limits = BatchLimits(rows=32, tokens=4_096)
    ragged = add_ragged_inputs(onnx.load(path), vocabulary=40, token_types=2, max_tokens=64, limits=limits)
    np.testing.assert_allclose(logits(ragged, flatten([inputs])), exact, atol=1e-6)
