from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import publish
from engine.build import build_engine, restore_snapshot
from engine.errors import BuildError, SnapshotError, VerificationError
from engine.recipe import Recipe, choose_recipe
from engine.snapshot import write_snapshot
from engine.verification.compare import Tolerance
from tests.engine.snapshots import logits, network_logits, rows, snapshot, together

ROOT = Path(__file__).parents[2]
BATCH = together(rows(5, 6))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_snapshot(snapshot(), tmp_path / "snapshot")
    return tmp_path / "snapshot"


def manifest(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "engine.json").read_text(encoding="utf-8")))


def test_the_fp32_engine_gives_the_snapshots_logits(source: Path, tmp_path: Path) -> None:
    report = build_engine(source, tmp_path / "engine", choose_recipe(), name="tiny")
    assert report.passed
    np.testing.assert_allclose(
        logits(tmp_path / "engine/model.onnx", BATCH), network_logits(source, BATCH), atol=1e-5
    )


def test_8_bit_weights_go_to_an_engine_and_back_without_change(source: Path, tmp_path: Path) -> None:
    """The second engine is built from the snapshot restored from the first: same weights, same logits."""
    w8 = choose_recipe(precision="w8")
    build_engine(source, tmp_path / "engine", w8, name="tiny")
    restore_snapshot(tmp_path / "engine", tmp_path / "restored")
    engine = logits(tmp_path / "engine/model.onnx", BATCH)
    np.testing.assert_allclose(engine, network_logits(tmp_path / "restored", BATCH), atol=1e-5)
    np.testing.assert_allclose(engine, network_logits(source, BATCH), atol=0.2)
    build_engine(tmp_path / "restored", tmp_path / "again", w8, name="tiny")
    np.testing.assert_allclose(logits(tmp_path / "again/model.onnx", BATCH), engine, atol=1e-5)


def test_only_8_bit_weights_come_back(source: Path, tmp_path: Path) -> None:
    build_engine(source, tmp_path / "engine", choose_recipe(precision="int8"), name="tiny")
    with pytest.raises(SnapshotError, match="holds a int8 engine"):
        restore_snapshot(tmp_path / "engine", tmp_path / "restored")


@pytest.mark.parametrize(
    ("target", "precision", "off"), [("cuda", "fp32", 1e-5), ("cuda", "fp16", 0.02), ("cpu", "int8", 0.2)]
)
def test_every_precision_is_near_the_snapshot(
    target: str, precision: str, off: float, source: Path, tmp_path: Path
) -> None:
    build_engine(source, tmp_path / "engine", choose_recipe(target, precision, ragged=False), name="tiny")
    got = logits(tmp_path / "engine/model.onnx", BATCH)
    np.testing.assert_allclose(got, network_logits(source, BATCH), atol=off)


def test_an_engine_id_tells_weights_and_numeric_class(source: Path, tmp_path: Path) -> None:
    ids = {}
    for name, precision in (("a", "fp32"), ("b", "fp32"), ("c", "w8"), ("d", "int8")):
        build_engine(source, tmp_path / name, choose_recipe(precision=precision), name=name)
        ids[name] = str(manifest(tmp_path / name)["engine_id"])
    assert ids["a"] == ids["b"]
    assert [ids[name].partition("-")[2] for name in "acd"] == ["fp32", "w8", "int8"]
    assert len({ids[name].partition("-")[0] for name in "acd"}) == 3


def test_the_manifest_says_what_the_engine_is(source: Path, tmp_path: Path) -> None:
    build_engine(source, tmp_path / "engine", choose_recipe(), name="tiny")
    facts = manifest(tmp_path / "engine")
    assert facts["name"] == "tiny"
    assert (facts["target"], facts["precision"], facts["front"]) == ("cpu", "fp32", "padded")
    assert (facts["max_tokens"], facts["vocabulary"], facts["opset"]) == (64, 40, 18)
    assert facts["label_order"] == ["entailment", "neutral", "contradiction"]
    assert len(str(facts["weights_sha256"])) == len(str(facts["source_sha256"])) == 64
    versions = facts["versions"]
    assert isinstance(versions, dict)
    assert {"torch", "transformers", "onnx", "onnxruntime"} <= versions.keys()


def test_a_failed_build_leaves_nothing(source: Path, tmp_path: Path) -> None:
    weights = torch.load(source / "pytorch_model.bin", weights_only=True)
    del weights["bert.pooler.dense.weight"]
    torch.save(weights, source / "pytorch_model.bin")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SnapshotError, match=r"pooler\.dense\.weight is missing"):
        build_engine(source, tmp_path / "engine", choose_recipe(), name="tiny")
    assert sorted(tmp_path.iterdir()) == before


def test_an_engine_that_differs_from_pytorch_is_not_published(source: Path, tmp_path: Path) -> None:
    """8-bit weights under the tolerance of fp32: the proof must fail, and say by how much."""
    recipe = Recipe("cpu", "w8", ragged=False, tolerance=Tolerance(1e-4, 1.0))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(VerificationError, match=r"max \|Δlogit\| .* FAILED; nothing was published"):
        build_engine(source, tmp_path / "engine", recipe, name="tiny")
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_in_use_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine/keep").touch()
    with pytest.raises(BuildError, match="is not empty"):
        build_engine(source, tmp_path / "engine", choose_recipe(), name="tiny")
    assert (tmp_path / "engine/keep").exists()


def test_a_disk_that_is_too_small_is_refused_before_work(source: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(BuildError, match=r"MB left, .* MB are needed"),
        publish.published(tmp_path / "engine", needed_bytes=10**18),
    ):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize("limit", [2_000, 20_000])
def test_a_write_that_fails_midway_leaves_nothing(limit: int, source: Path, tmp_path: Path) -> None:
    """A process that may write files of `limit` bytes only; the file of weights is larger than both."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    before = sorted(tmp_path.iterdir())
    command = [
        sys.executable,
        "-m",
        "wanneng",
        "engine",
        "build",
        str(source),
        "--output",
        str(tmp_path / "engine"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, preexec_fn=limited, check=False
    )
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"target": "tpu"}, "--target tpu: cpu, cuda, tensorrt are possible"),
        ({"target": "cpu", "precision": "fp16"}, "--precision fp16 does not exist for --target cpu"),
        ({"target": "cuda", "precision": "int8"}, "fp16, fp32 do"),
        ({"target": "tensorrt", "ragged": True}, "--ragged"),
    ],
)
def test_engines_that_do_not_exist_are_refused(flags: dict[str, object], words: str) -> None:
    with pytest.raises(BuildError, match=words):
        choose_recipe(**flags)  # type: ignore[arg-type]
