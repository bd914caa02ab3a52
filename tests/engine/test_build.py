from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from engine.build import build_engine, restore_snapshot
from engine.errors import BuildError, SnapshotError
from engine.snapshot import network_of, read_snapshot, write_snapshot
from tests.engine.test_snapshot import snapshot


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_snapshot(snapshot(), tmp_path / "snapshot")
    return tmp_path / "snapshot"


def inputs(rows: int = 3, tokens: int = 11) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(5).integers(5, 40, (rows, tokens))
    mask = (np.arange(tokens) < np.array([[tokens], [4], [7]])[:rows]).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def engine_logits(folder: Path) -> np.ndarray:
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], inputs())[0])


def network_logits(folder: Path) -> np.ndarray:
    tensors = {name: torch.from_numpy(value) for name, value in inputs().items()}
    with torch.inference_mode():
        return network_of(read_snapshot(folder))(**tensors).logits.numpy()


def test_the_fp32_engine_gives_the_snapshots_logits(source: Path, tmp_path: Path) -> None:
    build_engine(source, tmp_path / "engine", name="tiny", precision="fp32")
    np.testing.assert_allclose(engine_logits(tmp_path / "engine"), network_logits(source), atol=1e-5)


def test_8_bit_weights_go_to_an_engine_and_back_without_change(source: Path, tmp_path: Path) -> None:
    """The second engine is built from the snapshot restored from the first: same weights, same logits."""
    build_engine(source, tmp_path / "engine", name="tiny", precision="int8")
    restore_snapshot(tmp_path / "engine", tmp_path / "restored")
    np.testing.assert_allclose(
        engine_logits(tmp_path / "engine"), network_logits(tmp_path / "restored"), atol=1e-5
    )
    np.testing.assert_allclose(engine_logits(tmp_path / "engine"), network_logits(source), atol=0.05)
    build_engine(tmp_path / "restored", tmp_path / "again", name="tiny", precision="int8")
    np.testing.assert_allclose(engine_logits(tmp_path / "again"), engine_logits(tmp_path / "engine"), atol=1e-5)


def test_an_engine_id_tells_weights_and_numeric_class(source: Path, tmp_path: Path) -> None:
    ids = {}
    for name, precision in (("a", "fp32"), ("b", "fp32"), ("c", "int8")):
        build_engine(source, tmp_path / name, name=name, precision=precision)
        ids[name] = json.loads((tmp_path / name / "engine.json").read_text(encoding="utf-8"))["engine_id"]
    assert ids["a"] == ids["b"]
    assert ids["a"].endswith("-fp32")
    assert ids["c"].endswith("-w8")


def test_a_failed_build_leaves_nothing(source: Path, tmp_path: Path) -> None:
    weights = torch.load(source / "pytorch_model.bin", weights_only=True)
    del weights["bert.pooler.dense.weight"]
    torch.save(weights, source / "pytorch_model.bin")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SnapshotError, match=r"pooler\.dense\.weight is missing"):
        build_engine(source, tmp_path / "engine", name="tiny", precision="fp32")
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_in_use_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine/keep").touch()
    with pytest.raises(BuildError, match="is not empty"):
        build_engine(source, tmp_path / "engine", name="tiny", precision="fp32")
    assert (tmp_path / "engine/keep").exists()
