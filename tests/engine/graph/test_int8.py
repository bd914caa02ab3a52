"""INT8: the logits of a row do not depend on its batch, and outliers do not cost precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper

from engine.build import build_engine
from engine.errors import SnapshotError
from engine.graph.export import export_onnx
from engine.graph.fusion import fuse
from engine.graph.int8 import quantize
from engine.graph.rounding import Range
from engine.graph.sensitivity import MAX_FP32_WORK, Replacement, Trials, expected_changes, texts_tried
from engine.network import network_of, token_types_of
from engine.recipe import choose_recipe
from engine.snapshot import Snapshot, read_snapshot
from tests.engine.snapshots import as_batch, random_rows, random_snapshot
from tests.engine.zoo import SNAPSHOTS

WIDER = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 3}
SAMPLES = [as_batch(random_rows(seed, 8)) for seed in range(6)]


def graphs(tmp_path: Path, snapshot: Snapshot) -> tuple[onnx.ModelProto, onnx.ModelProto, tuple[str, ...]]:
    """The fused FP32 graph, the INT8 graph, and the products that stayed in FP32."""
    export_onnx(network_of(snapshot), tmp_path / "fp32.onnx")
    fp32 = fuse(tmp_path / "fp32.onnx", snapshot.config)
    quantized = quantize(fp32, SAMPLES)
    return fp32, quantized.graph, quantized.fp32_products


def session(graph: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def relative_error(logits: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square of the differences, relative to the standard deviation of the exact logits."""
    return float(np.sqrt(np.square(logits - exact).mean()) / exact.std())


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> ort.InferenceSession:
    _, graph, _ = graphs(tmp_path_factory.mktemp("int8"), random_snapshot(3, **WIDER))
    return session(graph)


def test_products_are_quantized_but_for_the_named_ones_of_at_most_half_the_work(tmp_path: Path) -> None:
    fp32, int8, fp32_products = graphs(tmp_path, random_snapshot(3, **WIDER))
    sizes = {i.name: np.prod(i.dims) for i in fp32.graph.initializer}
    work = {n.output[0]: sizes[n.input[1]] for n in fp32.graph.node if n.op_type in ("Attention", "MatMul")}
    assert len(work) == 12
    after = [node.op_type for node in int8.graph.node]
    assert after.count("QAttention") + after.count("MatMulIntegerToFloat") == 12 - len(fp32_products)
    assert after.count("Attention") + after.count("MatMul") == len(fp32_products)
    assert sum(work[name] for name in fp32_products) <= MAX_FP32_WORK * sum(work.values())


def test_the_products_that_change_most_labels_for_their_work_stay_in_fp32(tmp_path: Path) -> None:
    """But none of more than half the work."""
    export_onnx(network_of(snapshot := random_snapshot(3, **WIDER)), tmp_path / "fp32.onnx")
    trials = Trials(fuse(tmp_path / "fp32.onnx", snapshot.config), SAMPLES)

    def kept(**products: tuple[float, float]) -> set[str]:
        return trials.products_to_keep({n: (v, Replacement((), (), work)) for n, (v, work) in products.items()})

    assert kept(small=(100.0, 1.0), exact=(1e-12, 1.0)) == {"small"}
    assert kept(exact=(1e-12, 1.0), other=(1e-12, 1.0)) == set()
    assert "large" not in kept(large=(100.0, 10.0), small=(1.0, 1.0))


def test_products_too_large_for_one_graph_are_tried_in_several(tmp_path: Path) -> None:
    """With the same result as in one graph, which would hold more than ONNX does."""
    export_onnx(network_of(snapshot := random_snapshot(3, **WIDER)), tmp_path / "fp32.onnx")
    fp32 = fuse(tmp_path / "fp32.onnx", snapshot.config)
    matrices = {i.name: numpy_helper.to_array(i) for i in fp32.graph.initializer}
    replacements = {}
    for node in (node for node in fp32.graph.node if node.op_type == "MatMul"):
        rounded = numpy_helper.from_array(np.rint(matrices[node.input[1]] * 8) / 8, f"{node.output[0]}.coarse")
        product = onnx.helper.make_node("MatMul", [node.input[0], rounded.name], [node.output[0]])
        replacements[node.output[0]] = Replacement([product], [rounded], 1.0)
    together = Trials(fp32, SAMPLES).variances(replacements)
    assert len(together) == 9
    assert min(together.values()) > 0
    assert Trials(fp32, SAMPLES, max_graph_bytes=0).variances(replacements) == pytest.approx(together)


def test_a_large_model_is_tried_on_fewer_texts() -> None:
    """The embedded model has 17 products, one of base size 50 with 85 million weights, a large one 98."""
    sizes = [70] * 60
    assert texts_tried(sizes, 17 * 3_000_000) == 24
    assert texts_tried(sizes, 50 * 85_000_000) == 10
    assert texts_tried(sizes, 98 * 302_000_000) == 4
    assert texts_tried([], 17) == 4


def test_the_expected_share_of_changed_labels_follows_from_their_leads() -> None:
    """An error as large as the lead changes the label of 16 texts in 100, twice as large 31."""
    leads = np.array([1.0, 100.0])
    assert expected_changes(leads, 1.0) == pytest.approx(0.1587 / 2, abs=1e-4)
    assert expected_changes(leads, 4.0) == pytest.approx(0.3085 / 2, abs=1e-4)
    assert expected_changes(leads, 0.0) == expected_changes(np.array([]), 1.0) == 0


def test_a_row_has_the_same_logits_alone_and_in_100_random_batches(
    int8: ort.InferenceSession,
) -> None:
    pool = random_rows(11, 64)
    alone = np.concatenate([int8.run(["logits"], row)[0] for row in pool])
    assert alone.std() > 0.3, "rows must differ, or the test could not fail"
    rng = np.random.default_rng(12)
    for _ in range(100):
        chosen = rng.choice(len(pool), size=int(rng.integers(2, 33)), replace=False)
        batch = as_batch([pool[i] for i in chosen], tokens=int(rng.integers(60, 65)))
        np.testing.assert_allclose(int8.run(["logits"], batch)[0], alone[chosen], atol=1e-4)


@pytest.mark.parametrize("kind", ["erlangshen", "ernie", "xlm-r", "one-logit reranker"])
def test_of_every_kind_with_int8_a_row_is_the_same_to_the_bit_in_any_batch(kind: str, tmp_path: Path) -> None:
    SNAPSHOTS[kind](tmp_path / "snapshot")
    snapshot = read_snapshot(tmp_path / "snapshot")
    export_onnx(network_of(snapshot), tmp_path / "fp32.onnx", snapshot.logits)
    has_types = token_types_of(snapshot) == 2

    def rows_of(seed: int, count: int) -> list[dict[str, np.ndarray]]:
        return [row | {"token_type_ids": row["token_type_ids"] * has_types} for row in random_rows(seed, count)]

    samples = [as_batch(rows_of(seed, 8)) for seed in range(6)]
    running = session(quantize(fuse(tmp_path / "fp32.onnx", snapshot.config), samples).graph)
    pool = rows_of(11, 24)
    alone = np.concatenate([running.run(["logits"], row)[0] for row in pool])
    assert alone[:, 0].std() > 0.001, "rows must differ, or the test could not fail"
    np.testing.assert_array_equal(running.run(["logits"], as_batch(pool[::-1], 64))[0][::-1], alone)


@pytest.mark.parametrize(
    ("kind", "precision", "message"),
    [
        ("deberta-v2", "int8", "there is no int8 for deberta-v2, only for structbert, bert, ernie, rob"),
        ("modernbert", "int8", "there is no int8 for modernbert, only for structbert, bert, ernie, rob"),
        ("deberta-v2", "bf16", "there is no bf16 for deberta-v2, which OpenVINO cannot load: build fp32"),
    ],
)
def test_a_kind_without_a_precision_is_refused_by_name_before_its_pipeline_is_asked(
    kind: str, precision: str, message: str, tmp_path: Path
) -> None:
    SNAPSHOTS[kind](tmp_path / "snapshot")
    recipe, lines = choose_recipe(precision=precision), list[str]()
    with pytest.raises(SnapshotError, match=message):
        build_engine(tmp_path / "snapshot", tmp_path / "engine", recipe, name="x", log=lines.append)
    assert lines == [f"reading {tmp_path / 'snapshot'}"]
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


def test_dynamic_quantization_does_not_have_this_property(tmp_path: Path) -> None:
    """The reason for static scales: with dynamic ones, the logits of a row depend on its batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    export_onnx(network_of(random_snapshot(3, **WIDER)), tmp_path / "fp32.onnx")
    extra = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(
        tmp_path / "fp32.onnx",
        tmp_path / "dynamic.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options=extra,
    )
    dynamic = session(onnx.load(tmp_path / "dynamic.onnx"))
    pool = random_rows(11, 16)
    alone = np.concatenate([dynamic.run(["logits"], row)[0] for row in pool])
    assert np.abs(dynamic.run(["logits"], as_batch(pool))[0] - alone).max() > 1e-3


def test_logits_stay_near_fp32(tmp_path: Path) -> None:
    fp32, int8, _ = graphs(tmp_path, random_snapshot(3, **WIDER))
    batch = as_batch(random_rows(21, 40))
    exact, logits = (session(graph).run(["logits"], batch)[0] for graph in (fp32, int8))
    assert relative_error(logits, exact) < 0.1


def with_outliers(size: float) -> Snapshot:
    """A snapshot in which three channels of a layer norm are `size` times as large, as in trained BERTs.

    The weights of the next layer are smaller by the same factor.
    """
    snapshot = random_snapshot(3, **WIDER)
    layer, channels = "bert.encoder.layer.0", torch.tensor([5, 17, 40])
    norm, next_layer = f"{layer}.attention.output.LayerNorm.weight", f"{layer}.intermediate.dense.weight"
    weights = {name: snapshot.weights[name].clone() for name in (norm, next_layer)}
    weights[norm][channels] *= size
    weights[next_layer][:, channels] /= size
    return Snapshot(snapshot.config, snapshot.weights | weights, snapshot.vocabulary, snapshot.lower_case)


def test_outlier_channels_cost_little_precision(tmp_path: Path) -> None:
    fp32, int8, _ = graphs(tmp_path, with_outliers(60.0))
    batch = as_batch(random_rows(21, 40))
    exact, logits = (session(graph).run(["logits"], batch)[0] for graph in (fp32, int8))
    assert relative_error(logits, exact) < 0.1
    assert len(int8.SerializeToString()) < 0.7 * len(fp32.SerializeToString())


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 5.0), (-4.0, 0.0), (0.0, 0.0)])
def test_a_range_represents_zero_exactly_and_others_within_half_a_step(low: float, high: float) -> None:
    value_range = Range(low, high)
    values = np.linspace(low, high, 1_001, dtype=np.float32)
    assert value_range.quantize_dequantize(np.zeros(1, np.float32))[0] == 0
    assert np.abs(value_range.quantize_dequantize(values) - values).max() <= value_range.scale * 1.01
