"""Everything around TensorRT: buckets, files, manifest, proof. The plans themselves need a GPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from engine.build import build_engine
from engine.errors import BuildError, SnapshotError, VerificationError
from engine.plans import build_plans
from engine.recipe import MAX_PAIRS, choose_recipe
from engine.snapshot import write_snapshot
from engine.verification.onnx_file import OnnxFile
from engine.verification.reference import Row
from tests.engine.snapshots import snapshot
from tests.fakes.plan_builder import FakePlanBuilder

FP16 = choose_recipe("tensorrt")


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A padded fp32 engine, what plans are built from."""
    folder = tmp_path_factory.mktemp("plans")
    write_snapshot(snapshot(max_position_embeddings=100), folder / "snapshot")
    build_engine(folder / "snapshot", folder / "fp32", choose_recipe(), name="tiny")
    return folder / "fp32"


def ask_onnx(folder: Path, rows: Sequence[Row]) -> np.ndarray:
    """In the place of a Triton on plans: the same FP16 graph in ONNX Runtime."""
    return OnnxFile(folder / "model.onnx").logits(rows)


def say(_line: str) -> None:
    pass


def test_a_plan_for_every_bucket_that_the_model_needs(fp32: Path, tmp_path: Path) -> None:
    """100 tokens: buckets of 32, 64 and 128, which holds them all."""
    builder = FakePlanBuilder()
    report = build_plans(fp32, tmp_path / "plans", FP16, builder, ask_onnx, say=say)
    assert report.passed
    assert builder.asked == [(tokens, MAX_PAIRS[tokens]) for tokens in (32, 64, 128)]
    for tokens in (32, 64, 128):
        plan = json.loads((tmp_path / f"plans/structbert_s{tokens}/1/model.sm86.plan").read_bytes())
        assert plan["inputs"] == ["input_ids", "attention_mask", "token_type_ids"]
    facts = json.loads((tmp_path / "plans/engine.json").read_text(encoding="utf-8"))
    assert facts["engine_id"].endswith("-fp16")
    assert (facts["target"], facts["compute_capability"], facts["tensorrt"]) == ("tensorrt", "8.6", "11.0.0")
    assert facts["buckets"] == [32, 64, 128]


def test_the_graph_for_tensorrt_is_half_precision_without_fused_nodes(fp32: Path, tmp_path: Path) -> None:
    build_plans(fp32, tmp_path / "plans", FP16, FakePlanBuilder(), ask_onnx, say=say)
    graph = onnx.load(tmp_path / "plans/model.onnx").graph
    kinds = {i.data_type for i in graph.initializer if len(i.dims) == 2}
    assert kinds == {onnx.TensorProto.FLOAT16}
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}


def test_plans_that_answer_otherwise_are_not_published(fp32: Path, tmp_path: Path) -> None:
    def wrong(folder: Path, rows: Sequence[Row]) -> np.ndarray:
        return ask_onnx(folder, rows)[::-1]

    with pytest.raises(VerificationError, match="nothing was published"):
        build_plans(fp32, tmp_path / "plans", FP16, FakePlanBuilder(), wrong, say=say)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_cannot_be_built_leaves_nothing(fp32: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no plan for 128 pairs of 64 tokens"):
        build_plans(fp32, tmp_path / "plans", FP16, FakePlanBuilder(failing_tokens=(64,)), ask_onnx, say=say)
    assert list(tmp_path.iterdir()) == []


def test_plans_are_built_from_padded_fp32_only(fp32: Path, tmp_path: Path) -> None:
    build_engine(fp32.parent / "snapshot", tmp_path / "ragged", choose_recipe(ragged=True), name="tiny")
    with pytest.raises(SnapshotError, match="holds a cpu fp32 ragged engine; others are made of"):
        build_plans(tmp_path / "ragged", tmp_path / "plans", FP16, FakePlanBuilder(), ask_onnx, say=say)
