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
from tests.engine.snapshots import as_batch, network_logits, onnx_logits, random_rows, random_snapshot

ROOT = Path(__file__).parents[2]
BATCH = as_batch(random_rows(5, 6))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_snapshot(random_snapshot(), tmp_path / "snapshot")
    return tmp_path / "snapshot"


def manifest(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "engine.json").read_text(encoding="utf-8")))


def test_the_fp32_engine_has_the_logits_of_the_snapshot(source: Path, tmp_path: Path) -> None:
    report = build_engine(source, tmp_path / "engine", choose_recipe(), name="tiny")
    assert report.passed
    np.testing.assert_allclose(
        onnx_logits(tmp_path / "engine/model.onnx", BATCH), network_logits(source, BATCH), atol=1e-5
    )


def test_a_w8_engine_is_restored_to_a_snapshot_with_the_same_weights(source: Path, tmp_path: Path) -> None:
    """An engine built from the restored snapshot has the logits of the first one."""
    w8 = choose_recipe(precision="w8")
    build_engine(source, tmp_path / "engine", w8, name="tiny")
    restore_snapshot(tmp_path / "engine", tmp_path / "restored")
    logits = onnx_logits(tmp_path / "engine/model.onnx", BATCH)
    np.testing.assert_allclose(logits, network_logits(tmp_path / "restored", BATCH), atol=1e-5)
    np.testing.assert_allclose(logits, network_logits(source, BATCH), atol=0.2)
    build_engine(tmp_path / "restored", tmp_path / "again", w8, name="tiny")
    np.testing.assert_allclose(onnx_logits(tmp_path / "again/model.onnx", BATCH), logits, atol=1e-5)


def test_only_a_w8_engine_is_restored_to_a_snapshot(source: Path, tmp_path: Path) -> None:
    build_engine(source, tmp_path / "engine", choose_recipe(precision="int8"), name="tiny")
    with pytest.raises(SnapshotError, match="is a int8 engine of structbert; only a w8 engine"):
        restore_snapshot(tmp_path / "engine", tmp_path / "restored")


@pytest.mark.parametrize(
    ("target", "precision", "max_difference"),
    [("cuda", "fp32", 1e-5), ("cuda", "fp16", 0.02), ("cpu", "int8", 0.2)],
)
def test_every_precision_is_near_the_snapshot(
    target: str, precision: str, max_difference: float, source: Path, tmp_path: Path
) -> None:
    build_engine(source, tmp_path / "engine", choose_recipe(target, precision, ragged=False), name="tiny")
    logits = onnx_logits(tmp_path / "engine/model.onnx", BATCH)
    np.testing.assert_allclose(logits, network_logits(source, BATCH), atol=max_difference)


def test_an_engine_id_identifies_weights_and_precision(source: Path, tmp_path: Path) -> None:
    ids = {}
    for name, precision in (("a", "fp32"), ("b", "fp32"), ("c", "w8"), ("d", "int8")):
        build_engine(source, tmp_path / name, choose_recipe(precision=precision), name=name)
        ids[name] = str(manifest(tmp_path / name)["engine_id"])
    assert ids["a"] == ids["b"]
    assert [ids[name].partition("-")[2] for name in "acd"] == ["fp32", "w8", "int8"]
    assert len({ids[name].partition("-")[0] for name in "acd"}) == 3


def test_the_manifest_describes_the_engine(source: Path, tmp_path: Path) -> None:
    build_engine(source, tmp_path / "engine", choose_recipe(), name="tiny")
    content = manifest(tmp_path / "engine")
    assert content["name"] == "tiny"
    assert (content["target"], content["precision"], content["front"]) == ("cpu", "fp32", "padded")
    assert (content["max_tokens"], content["vocabulary"], content["opset"]) == (64, 40, 18)
    assert content["logits"] == ["entailment", "neutral", "contradiction"]
    assert (content["architecture"], content["token_types"], content["truncation"]) == (
        "structbert",
        2,
        "longest_first",
    )
    assert (content["default_template"], content["languages"]) == ("{}", ["zh"])
    assert len(str(content["weights_sha256"])) == len(str(content["source_sha256"])) == 64
    versions = content["versions"]
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
    """8-bit weights with the tolerance of fp32."""
    recipe = Recipe("cpu", "w8", ragged=False, tolerance=Tolerance(1e-4, 1.0))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(VerificationError, match=r"max \|Δlogit\| .* FAILED, first for .*; nothing was published"):
        build_engine(source, tmp_path / "engine", recipe, name="tiny")
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_not_empty_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine/keep").touch()
    with pytest.raises(BuildError, match="is not empty"):
        build_engine(source, tmp_path / "engine", choose_recipe(), name="tiny")
    assert (tmp_path / "engine/keep").exists()


def test_a_full_disk_is_refused_before_the_build(source: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(BuildError, match=r"MB left, .* MB are needed"),
        publish.publishing(tmp_path / "engine", needed_bytes=10**18),
    ):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize("limit", [2_000, 20_000])
def test_a_failed_write_leaves_nothing(limit: int, source: Path, tmp_path: Path) -> None:
    """In a process that may write no more than `limit` bytes per file, which is less than the weights."""

    def limit_file_size() -> None:
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
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, preexec_fn=limit_file_size, check=False
    )
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "tpu"}, "--target tpu does not exist; choose cpu, cuda, tensorrt"),
        ({"target": "cpu", "precision": "fp16"}, "--precision fp16 does not exist for --target cpu"),
        ({"target": "cuda", "precision": "int8"}, "choose fp16, fp32"),
        ({"target": "tensorrt", "ragged": True}, "--ragged"),
        ({"precision": "bf16", "ragged": True}, "--ragged does not exist for --precision bf16"),
        ({"precision": "int8", "ragged": True}, "--ragged does not exist for --precision int8"),
        ({"target": "cuda", "precision": "bf16"}, "choose fp16, fp32"),
    ],
)
def test_kinds_of_engines_that_do_not_exist_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        choose_recipe(**options)  # type: ignore[arg-type]
