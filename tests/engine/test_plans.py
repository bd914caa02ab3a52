"""Buckets, files, manifest and verification of TensorRT plans, with a fake builder: plans need a GPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from engine.build import build_engine
from engine.errors import BuildError, SnapshotError, VerificationError
from engine.plans import build_plans
from engine.recipe import MAX_PAIRS, choose_recipe
from engine.snapshot import write_snapshot
from engine.verification.reference import Answer, Case
from engine.verification.served_engine import ServedEngine
from tests.engine.snapshots import random_snapshot
from tests.fakes.plan_builder import FakePlanBuilder

FP16 = choose_recipe("tensorrt")


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A padded FP32 engine with a maximum of 100 tokens."""
    folder = tmp_path_factory.mktemp("plans")
    write_snapshot(random_snapshot(max_position_embeddings=100), folder / "snapshot")
    build_engine(folder / "snapshot", folder / "fp32", choose_recipe(), name="tiny")
    return folder / "fp32"


def run_onnx(folder: Path, cases: Sequence[Case]) -> list[Answer]:
    """Runs the FP16 graph in ONNX Runtime, in place of the plans in Triton."""
    return ServedEngine(folder).answers(cases)


def log(_line: str) -> None:
    pass


def test_there_is_a_plan_for_every_bucket_that_the_model_needs(fp32: Path, tmp_path: Path) -> None:
    """For 100 tokens, the buckets of 32, 64 and 128."""
    builder = FakePlanBuilder()
    report = build_plans(fp32, tmp_path / "plans", FP16, builder, run_onnx, log=log)
    assert report.passed
    assert builder.asked == [(tokens, MAX_PAIRS[tokens]) for tokens in (32, 64, 128)]
    for tokens in (32, 64, 128):
        plan = json.loads((tmp_path / f"plans/structbert_s{tokens}/1/model.plan").read_bytes())
        assert plan["inputs"] == ["input_ids", "attention_mask", "token_type_ids"]
    manifest = json.loads((tmp_path / "plans/engine.json").read_text(encoding="utf-8"))
    assert manifest["engine_id"].endswith("-fp16")
    assert (manifest["target"], manifest["compute_capability"], manifest["tensorrt"]) == (
        "tensorrt",
        "8.6",
        "11.0.0",
    )
    assert manifest["buckets"] == [32, 64, 128]


def test_the_graph_for_tensorrt_is_fp16_without_fused_operators(fp32: Path, tmp_path: Path) -> None:
    build_plans(fp32, tmp_path / "plans", FP16, FakePlanBuilder(), run_onnx, log=log)
    graph = onnx.load(tmp_path / "plans/model.onnx").graph
    types = {i.data_type for i in graph.initializer if len(i.dims) == 2}
    assert types == {onnx.TensorProto.FLOAT16}
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}


def test_plans_that_differ_from_the_reference_are_not_published(fp32: Path, tmp_path: Path) -> None:
    def run_wrong(folder: Path, cases: Sequence[Case]) -> list[Answer]:
        return [replace(answer, logits=-answer.logits) for answer in run_onnx(folder, cases)]

    with pytest.raises(VerificationError, match="nothing was published"):
        build_plans(fp32, tmp_path / "plans", FP16, FakePlanBuilder(), run_wrong, log=log)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_cannot_be_built_leaves_nothing(fp32: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no plan for 128 pairs of 64 tokens"):
        build_plans(fp32, tmp_path / "plans", FP16, FakePlanBuilder(failing_tokens=(64,)), run_onnx, log=log)
    assert list(tmp_path.iterdir()) == []


def test_plans_are_built_from_a_padded_fp32_engine_only(fp32: Path, tmp_path: Path) -> None:
    build_engine(fp32.parent / "snapshot", tmp_path / "ragged", choose_recipe(ragged=True), name="tiny")
    with pytest.raises(SnapshotError, match="is a cpu fp32 ragged engine; others are built from"):
        build_plans(tmp_path / "ragged", tmp_path / "plans", FP16, FakePlanBuilder(), run_onnx, log=log)
