"""Ragged inputs, as Triton's onnxruntime backend passes them, give the same logits as padded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from engine.graph.export import export_onnx
from engine.graph.ragged_inputs import BatchLimits, add_ragged_inputs
from engine.network import network_of
from python_backend.batching import plan_batches
from python_backend.engine import run_requests
from python_backend.onnx_engine import OnnxEngine, flatten
from python_backend.rows import Rows
from tests.engine.snapshots import as_batch, onnx_logits, random_rows, random_snapshot

LIMITS = BatchLimits(rows=32, tokens=4_096)
ECHO = """
<ir_version: 8, opset_import: ["" : 18]>
echo (int64[n, s] input_ids, int64[n, s] attention_mask, int64[n, s] token_type_ids) => (float[n, 3] logits) {
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    shape = Shape (input_ids)
    width = Gather (shape, second)
    rows = Gather (shape, first)
    width_2d = Unsqueeze (width, first)
    rows_2d = Unsqueeze (rows, first)
    column = ConstantOfShape <value = int64[1] {1}> (rows)
    column_2d = Unsqueeze (column, second)
    widths = Mul (column_2d, width_2d)
    counts = Mul (column_2d, rows_2d)
    tokens = ReduceSum <keepdims = 1> (attention_mask, second)
    values = Concat <axis = 1> (tokens, widths, counts)
    logits = Cast <to = 1> (values)
}"""
"""A network whose logits are the tokens of the row, the width and the rows of its batch."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A graph with padded inputs, and the same graph with ragged ones."""
    folder = tmp_path_factory.mktemp("ragged")
    export_onnx(network_of(random_snapshot()), folder / "padded.onnx")
    ragged = add_ragged_inputs(
        onnx.load(folder / "padded.onnx"), vocabulary=40, token_types=2, max_tokens=64, limits=LIMITS
    )
    onnx.save(ragged, folder / "ragged.onnx")
    return folder / "padded.onnx", folder / "ragged.onnx"


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("echo") / "echo.onnx"
    graph = parser.parse_model(ECHO)
    onnx.save(add_ragged_inputs(graph, vocabulary=40, token_types=2, max_tokens=512, limits=LIMITS), path)
    return path


def row_of(tokens: int, width: int | None = None) -> Rows:
    width = width or tokens
    mask = (np.arange(width) < tokens).astype(np.int64)[np.newaxis]
    return {"input_ids": mask * 7, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}


@pytest.mark.parametrize("count", [1, 2, 17])
def test_ragged_rows_have_the_logits_of_padded_ones(count: int, files: tuple[Path, Path]) -> None:
    rows = random_rows(count, count)
    np.testing.assert_allclose(
        onnx_logits(files[1], flatten(rows)), onnx_logits(files[0], as_batch(rows)), atol=1e-6
    )


def test_the_padding_of_a_request_changes_nothing(files: tuple[Path, Path]) -> None:
    """Triton passes on the padding of a request, which the mask marks."""
    rows = random_rows(4, 3)
    max_length = max(row["input_ids"].shape[1] for row in rows)
    own_padding = [as_batch([row], max_length) for row in rows]
    np.testing.assert_allclose(
        onnx_logits(files[1], flatten(own_padding)), onnx_logits(files[1], flatten(rows)), atol=1e-6
    )


def test_the_python_model_serves_both_kinds_of_engines(files: tuple[Path, Path]) -> None:
    """With two requests of different lengths; `wanneng serve --engine` takes either kind."""
    requests = [as_batch(random_rows(7, 5)), as_batch(random_rows(8, 3), tokens=64)]
    results = []
    for file in files:
        folder = file.parent / file.stem
        folder.mkdir()
        (folder / "model.onnx").symlink_to(file)
        results.append(run_requests(OnnxEngine(folder), requests))
    for padded, ragged in zip(*results, strict=True):
        np.testing.assert_allclose(ragged, padded, atol=1e-6)


@pytest.mark.parametrize(
    "lengths",
    [
        [5],
        [9, 9, 9, 9, 512],
        list(range(1, 65)),
        [512] * 20,
        [3] * 70,
        np.random.default_rng(1).integers(1, 513, 64).tolist(),
        np.random.default_rng(2).lognormal(3, 1, 64).clip(1, 512).astype(int).tolist(),
    ],
    ids=lambda lengths: f"{len(lengths)} rows of {min(lengths)} to {max(lengths)}",
)
def test_the_graph_makes_the_batches_that_the_python_model_makes(lengths: list[int], echo: Path) -> None:
    """One long row is not what all others are padded to, and no run is larger than the limits."""
    logits = onnx_logits(echo, flatten([row_of(length) for length in lengths]))
    expected = np.empty_like(logits)
    for batch in plan_batches(lengths, max_rows=LIMITS.rows, max_padded_tokens=LIMITS.tokens):
        for row in batch:
            expected[row] = (lengths[row], max(lengths[index] for index in batch), len(batch))
    np.testing.assert_array_equal(logits, expected)
    assert (logits[:, 1] * logits[:, 2]).max() <= LIMITS.tokens
    assert logits[:, 2].max() <= LIMITS.rows


def changed(row: Rows, name: str, position: int, value: int) -> Rows:
    values = row[name].copy()
    values[0, position] = value
    return row | {name: values}


LONG = {name: np.ones((1, 300), dtype=np.int64) for name in row_of(1)}
INVALID = {
    "no tokens": row_of(0, 12),
    "no columns": row_of(0, 0) | {name: np.zeros((1, 0), dtype=np.int64) for name in LONG},
    "an unknown id": changed(row_of(9), "input_ids", 2, 40),
    "a huge id": changed(row_of(9), "input_ids", 2, 10**12),
    "a negative id in the padding": changed(row_of(9, 12), "input_ids", 11, -1),
    "an unknown type": changed(row_of(9), "token_type_ids", 1, 2),
    "a hole in the mask": changed(row_of(9), "attention_mask", 3, 0),
    "another value in the mask": changed(row_of(9), "attention_mask", 3, 7),
    "a mask that begins with 0": changed(row_of(9), "attention_mask", 0, 0),
    "more tokens than the model takes": LONG,
    "a shorter mask": row_of(9) | {"attention_mask": np.ones((1, 5), dtype=np.int64)},
    "more types": row_of(9) | {"token_type_ids": np.zeros((1, 30), dtype=np.int64)},
}


@pytest.mark.parametrize("row", INVALID.values(), ids=INVALID)
def test_an_invalid_row_fails_alone(row: Rows, files: tuple[Path, Path]) -> None:
    """Its logits are no number, and never those of another row; the others' stay as they are."""
    good = random_rows(9, 2)
    logits = onnx_logits(files[1], flatten([good[0], row, good[1]]))
    assert np.isnan(logits[1]).all()
    np.testing.assert_allclose(logits[[0, 2]], onnx_logits(files[1], flatten(good)), atol=1e-6)
    assert np.isnan(onnx_logits(files[1], flatten([row]))).all()


def test_the_zeros_that_warm_a_model_up_run_the_network(echo: Path) -> None:
    """Of a config's `model_warmup`: kernels of that length are loaded before the server is ready."""
    path = echo.parent / "told.onnx"
    graph = onnx.load(echo)
    # The logits without the NaN of invalid rows.
    graph.graph.node[-1].input[2] = graph.graph.node[-1].input[1]
    onnx.save(graph, path)
    zeros = {name: np.zeros((8, 128), dtype=np.int64) for name in LONG}
    assert onnx_logits(path, flatten([zeros])).tolist() == [[128, 128, 8]] * 8
