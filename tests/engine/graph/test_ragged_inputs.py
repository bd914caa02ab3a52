"""Ragged inputs, as Triton's onnxruntime backend passes them, give the same logits as padded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from engine.graph.export import export_onnx
from engine.graph.ragged_inputs import add_ragged_inputs
from engine.network import network_of
from python_backend.engine import OnnxEngine, run_requests
from tests.engine.snapshots import as_batch, onnx_logits, random_rows, random_snapshot


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A graph with padded inputs, and the same graph with ragged ones."""
    folder = tmp_path_factory.mktemp("ragged")
    export_onnx(network_of(random_snapshot()), folder / "padded.onnx")
    ragged = add_ragged_inputs(onnx.load(folder / "padded.onnx"), vocabulary=40, token_types=2, max_tokens=64)
    onnx.save(ragged, folder / "ragged.onnx")
    return folder / "padded.onnx", folder / "ragged.onnx"


def flat(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    inputs = {name: np.concatenate([row[name][0] for row in rows]) for name in rows[0]}
    return inputs | {"item_shape": np.array([[row["input_ids"].shape[1]] for row in rows], dtype=np.int32)}


@pytest.mark.parametrize("count", [1, 2, 17])
def test_ragged_rows_have_the_logits_of_padded_ones(count: int, files: tuple[Path, Path]) -> None:
    rows = random_rows(count, count)
    np.testing.assert_allclose(onnx_logits(files[1], flat(rows)), onnx_logits(files[0], as_batch(rows)), atol=1e-6)


def test_the_padding_of_a_request_changes_nothing(files: tuple[Path, Path]) -> None:
    """Triton passes on the padding of a request, which the mask marks."""
    rows = random_rows(4, 3)
    max_length = max(row["input_ids"].shape[1] for row in rows)
    own_padding = [as_batch([row], max_length) for row in rows]
    np.testing.assert_allclose(
        onnx_logits(files[1], flat(own_padding)), onnx_logits(files[1], flat(rows)), atol=1e-6
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


@pytest.mark.parametrize("invalid", [-7, 40, 10**12])
def test_invalid_values_do_not_change_other_rows(invalid: int, files: tuple[Path, Path]) -> None:
    rows = random_rows(9, 3)
    changed = {name: values.copy() for name, values in rows[1].items()}
    changed["input_ids"][0, 2] = invalid
    changed["token_type_ids"][0, 1] = invalid
    changed["attention_mask"][0, 3] = invalid
    logits = onnx_logits(files[1], flat([rows[0], changed, rows[2]]))
    expected = onnx_logits(files[1], flat(rows))
    np.testing.assert_allclose(logits[[0, 2]], expected[[0, 2]], atol=1e-6)


def test_an_overlong_row_does_not_change_other_rows(files: tuple[Path, Path]) -> None:
    rows = random_rows(9, 2)
    long = {name: np.ones((1, 300), dtype=np.int64) for name in rows[0]}
    logits = onnx_logits(files[1], flat([rows[0], long, rows[1]]))
    np.testing.assert_allclose(logits[[0, 2]], onnx_logits(files[1], flat(rows)), atol=1e-6)
