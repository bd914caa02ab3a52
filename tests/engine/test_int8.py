"""INT8 engines: a row's logits depend on the row alone, and outliers do not cost the others their precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from engine.export import export_onnx
from engine.fuse import fuse
from engine.int8 import Range, quantize
from engine.snapshot import Snapshot, network_of
from tests.engine.snapshots import rows, snapshot, together

WIDER = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 3}
SAMPLES = [together(rows(seed, 8)) for seed in range(6)]


def graphs(tmp_path: Path, made: Snapshot) -> tuple[onnx.ModelProto, onnx.ModelProto, tuple[str, ...]]:
    """The fused FP32 graph, its INT8 twin, and the products that stayed in FP32."""
    export_onnx(network_of(made), tmp_path / "fp32.onnx")
    fp32 = fuse(tmp_path / "fp32.onnx", made.config)
    quantized = quantize(fp32, SAMPLES)
    return fp32, quantized.graph, quantized.kept


def session(graph: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def off(got: np.ndarray, exact: np.ndarray) -> float:
    """Root of the mean square of the differences, relative to the spread of the exact logits."""
    return float(np.sqrt(np.square(got - exact).mean()) / exact.std())


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> ort.InferenceSession:
    _, graph, kept = graphs(tmp_path_factory.mktemp("int8"), snapshot(3, **WIDER))
    assert not kept
    return session(graph)


def test_every_product_with_weights_is_in_integers(tmp_path: Path) -> None:
    fp32, int8, _ = graphs(tmp_path, snapshot(3, **WIDER))
    before = [node.op_type for node in fp32.graph.node]
    after = [node.op_type for node in int8.graph.node]
    assert before.count("Attention") == after.count("QAttention") == 3
    assert before.count("MatMul") == after.count("MatMulIntegerToFloat") == 9
    assert "MatMul" not in after


def test_a_row_alone_in_100_random_batches_and_under_other_paddings_is_the_same(
    int8: ort.InferenceSession,
) -> None:
    pool = rows(11, 64)
    alone = np.concatenate([int8.run(["logits"], row)[0] for row in pool])
    assert alone.std() > 0.3, "rows must differ, or a mix-up would not be seen"
    rng = np.random.default_rng(12)
    for _ in range(100):
        chosen = rng.choice(len(pool), size=int(rng.integers(2, 33)), replace=False)
        batch = together([pool[i] for i in chosen], tokens=int(rng.integers(60, 65)))
        np.testing.assert_allclose(int8.run(["logits"], batch)[0], alone[chosen], atol=1e-4)


def test_dynamic_quantization_would_not_pass_that_test(tmp_path: Path) -> None:
    """The reason for calibrated scales, kept as a fact: a neighbour changes an answer there."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    export_onnx(network_of(snapshot(3, **WIDER)), tmp_path / "fp32.onnx")
    extra = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(
        tmp_path / "fp32.onnx",
        tmp_path / "dynamic.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options=extra,
    )
    dynamic = session(onnx.load(tmp_path / "dynamic.onnx"))
    pool = rows(11, 16)
    alone = np.concatenate([dynamic.run(["logits"], row)[0] for row in pool])
    assert np.abs(dynamic.run(["logits"], together(pool))[0] - alone).max() > 1e-3


def test_answers_stay_near_fp32(tmp_path: Path) -> None:
    fp32, int8, _ = graphs(tmp_path, snapshot(3, **WIDER))
    batch = together(rows(21, 40))
    exact, got = session(fp32).run(["logits"], batch)[0], session(int8).run(["logits"], batch)[0]
    assert off(got, exact) < 0.1


def with_outliers(size: float) -> Snapshot:
    """Three channels of a layer norm are `size` times as large as the others, and what reads them makes up for it.

    Trained BERTs have such channels.
    """
    made = snapshot(3, **WIDER)
    layer, channels = "bert.encoder.layer.0", torch.tensor([5, 17, 40])
    norm, reader = f"{layer}.attention.output.LayerNorm.weight", f"{layer}.intermediate.dense.weight"
    weights = {name: made.weights[name].clone() for name in (norm, reader)}
    weights[norm][channels] *= size
    weights[reader][:, channels] /= size
    return Snapshot(made.config, made.weights | weights, made.vocabulary, made.lower_case)


def test_a_product_that_8_bits_cannot_hold_stays_in_fp32_but_small_on_disk(tmp_path: Path) -> None:
    made = with_outliers(60.0)
    fp32, int8, kept = graphs(tmp_path, made)
    assert any("layer.0/intermediate" in name for name in kept), kept
    assert len(kept) < 6
    batch = together(rows(21, 40))
    exact, got = session(fp32).run(["logits"], batch)[0], session(int8).run(["logits"], batch)[0]
    assert off(got, exact) < 0.1
    assert len(int8.SerializeToString()) < 0.45 * len(fp32.SerializeToString())


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 5.0), (-4.0, 0.0), (0.0, 0.0)])
def test_a_range_holds_zero_exactly_and_is_off_by_half_a_step_at_most(low: float, high: float) -> None:
    span = Range(low, high)
    values = np.linspace(low, high, 1_001, dtype=np.float32)
    assert span.rounded(np.zeros(1, np.float32))[0] == 0
    assert np.abs(span.rounded(values) - values).max() <= span.scale * 1.01
