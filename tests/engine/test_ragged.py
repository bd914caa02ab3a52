"""The ragged front: flat rows as Triton's onnxruntime backend gives them, the same logits as with padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from engine.export import export_onnx
from engine.ragged import add_ragged_front
from engine.snapshot import network_of
from python_backend.engine import OnnxEngine, run_requests
from tests.engine.snapshots import logits, rows, snapshot, together


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The padded graph, and the same behind the ragged front."""
    folder = tmp_path_factory.mktemp("ragged")
    export_onnx(network_of(snapshot()), folder / "padded.onnx")
    ragged = add_ragged_front(onnx.load(folder / "padded.onnx"), vocabulary=40, max_tokens=64)
    onnx.save(ragged, folder / "ragged.onnx")
    return folder / "padded.onnx", folder / "ragged.onnx"


def flat(some: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    inputs = {name: np.concatenate([row[name][0] for row in some]) for name in some[0]}
    return inputs | {"item_shape": np.array([[row["input_ids"].shape[1]] for row in some], dtype=np.int32)}


@pytest.mark.parametrize("count", [1, 2, 17])
def test_flat_rows_give_the_logits_of_padded_ones(count: int, files: tuple[Path, Path]) -> None:
    some = rows(count, count)
    np.testing.assert_allclose(logits(files[1], flat(some)), logits(files[0], together(some)), atol=1e-6)


def test_a_row_that_its_request_padded_is_the_same(files: tuple[Path, Path]) -> None:
    """Triton hands over a request's own padding; the mask tells."""
    some = rows(4, 3)
    longest = max(row["input_ids"].shape[1] for row in some)
    own_padding = [together([row], longest) for row in some]
    np.testing.assert_allclose(logits(files[1], flat(own_padding)), logits(files[1], flat(some)), atol=1e-6)


def test_the_python_model_serves_a_ragged_engine_as_it_serves_a_padded_one(files: tuple[Path, Path]) -> None:
    """`wanneng serve --engine` takes either; rows of two requests of unequal lengths."""
    requests = [together(rows(7, 5)), together(rows(8, 3), tokens=64)]
    given = []
    for file in files:
        folder = file.parent / file.stem
        folder.mkdir()
        (folder / "model.onnx").symlink_to(file)
        given.append(run_requests(OnnxEngine(folder), requests))
    for padded, ragged in zip(*given, strict=True):
        np.testing.assert_allclose(ragged, padded, atol=1e-6)


@pytest.mark.parametrize("bad", [-7, 40, 10**12])
def test_ids_out_of_the_vocabulary_change_no_neighbour(bad: int, files: tuple[Path, Path]) -> None:
    good = rows(9, 3)
    broken = {name: values.copy() for name, values in good[1].items()}
    broken["input_ids"][0, 2] = bad
    broken["token_type_ids"][0, 1] = bad
    broken["attention_mask"][0, 3] = bad
    got = logits(files[1], flat([good[0], broken, good[2]]))
    expected = logits(files[1], flat(good))
    np.testing.assert_allclose(got[[0, 2]], expected[[0, 2]], atol=1e-6)


def test_a_row_longer_than_the_model_changes_no_neighbour(files: tuple[Path, Path]) -> None:
    good = rows(9, 2)
    long = {name: np.ones((1, 300), dtype=np.int64) for name in good[0]}
    got = logits(files[1], flat([good[0], long, good[1]]))
    np.testing.assert_allclose(got[[0, 2]], logits(files[1], flat(good)), atol=1e-6)
