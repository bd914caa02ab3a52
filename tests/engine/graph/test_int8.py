"""INT8: the logits of a row do not depend on its batch, and outliers do not cost precision."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from engine.build import build_engine
from engine.errors import SnapshotError
from engine.graph.export import export_onnx
from engine.graph.first_token import read_first_token_alone
from engine.graph.int8 import GROUP, MIN_SIZE, quantize
from engine.graph.w8 import INT8, SCALE, WEIGHT_LEVELS
from engine.network import network_of, token_types_of
from engine.recipe import choose_recipe
from engine.snapshot import Snapshot, read_snapshot
from python_backend.engine import Lanes, run_requests
from python_backend.openvino_engine import OpenVinoEngine
from python_backend.rows import Rows
from tests.engine.snapshots import as_batch, onnx_logits, random_rows, random_snapshot
from tests.engine.zoo import SNAPSHOTS

WIDER = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 3}


def graphs(tmp_path: Path, snapshot: Snapshot) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The FP32 graph and the INT8 graph, which is `model.onnx` in `tmp_path` too."""
    export_onnx(network_of(snapshot), tmp_path / "fp32.onnx", snapshot.logits)
    fp32 = onnx.load(tmp_path / "fp32.onnx")
    int8 = quantize(fp32)
    onnx.save(int8, tmp_path / "model.onnx")
    return fp32, int8


def logits(folder: Path, rows: list[Rows]) -> np.ndarray:
    """Of the INT8 graph in `folder`, in one execution."""
    return np.concatenate(run_requests(OpenVinoEngine(folder, "int8", max_tokens=64, threads=2), rows))


def relative_error(logits: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square of the differences, relative to the standard deviation of the exact logits."""
    return float(np.sqrt(np.square(logits - exact).mean()) / exact.std())


def test_all_weights_of_products_are_in_8_bits_and_embeddings_in_half(tmp_path: Path) -> None:
    fp32, int8 = graphs(tmp_path, random_snapshot(3, **WIDER))
    sizes = {i.name: min(i.dims) for i in fp32.graph.initializer}
    products = [
        n.input[1] for n in fp32.graph.node if n.op_type == "MatMul" and sizes.get(n.input[1], 0) >= MIN_SIZE
    ]
    assert len(products) == 18
    stored = {i.name: numpy_helper.to_array(i) for i in int8.graph.initializer}
    assert {name.removesuffix(INT8) for name in stored if name.endswith(INT8)} == set(products)
    assert sum(value.dtype == np.float16 for value in stored.values()) == 3
    assert len(int8.SerializeToString()) < 0.5 * len(fp32.SerializeToString())


def test_products_of_the_first_token_alone_stay_in_fp32(tmp_path: Path) -> None:
    """Query, attention output and feed-forward part of the last layer."""
    fp32, int8 = graphs(tmp_path, random_snapshot(3, **WIDER))
    first = quantize(read_first_token_alone(fp32))
    counts = [sum(i.name.endswith(INT8) for i in graph.graph.initializer) for graph in (int8, first)]
    assert counts == [18, 14]


def test_a_large_weight_widens_the_steps_of_its_group_alone(tmp_path: Path) -> None:
    """Every weight is within half a step of its group."""
    snapshot = random_snapshot(3, **WIDER)
    name = "bert.encoder.layer.0.output.dense.weight"
    weights = snapshot.weights[name].clone()
    weights[5, 2] = 40 * weights[5].abs().max()
    outlier = Snapshot(
        snapshot.config, snapshot.weights | {name: weights}, snapshot.vocabulary, snapshot.lower_case
    )
    _, int8 = graphs(tmp_path, outlier)
    stored = {i.name: numpy_helper.to_array(i) for i in int8.graph.initializer}
    shape = (64, 128 // GROUP, GROUP)
    scales = [stored[n] for n in stored if n.endswith(SCALE) and stored[n].shape == (*shape[:2], 1)]
    (scale,) = (each for each in scales if each.max() == float(weights.abs().max()) / WEIGHT_LEVELS)
    (key,) = (n for n in stored if n.endswith(SCALE) and stored[n] is scale)
    restored = stored[key.removesuffix(SCALE) + INT8] * scale
    assert (np.abs(restored - weights.numpy().reshape(shape)) <= 0.5001 * scale).all()
    assert scale[5, 0, 0] > 10 * scale[5, 1, 0]


@pytest.mark.parametrize("kind", ["erlangshen", "ernie", "xlm-r", "one-logit reranker", "megatron-bert", "wider"])
def test_of_every_kind_with_int8_a_row_is_the_same_to_the_bit_in_any_batch(kind: str, tmp_path: Path) -> None:
    if kind == "wider":
        snapshot = random_snapshot(3, **WIDER)
    else:
        SNAPSHOTS[kind](tmp_path / "snapshot")
        snapshot = read_snapshot(tmp_path / "snapshot")
    graphs(tmp_path, snapshot)
    has_types = token_types_of(snapshot) == 2
    pool = [row | {"token_type_ids": row["token_type_ids"] * has_types} for row in random_rows(11, 64)]
    engine = OpenVinoEngine(tmp_path, "int8", max_tokens=64, threads=1, lanes=2)
    alone = np.concatenate([run_requests(engine, [row])[0] for row in pool])
    assert alone[:, 0].std() > 0.001, "rows must differ, or the test could not fail"
    rng = np.random.default_rng(12)
    for _ in range(30):
        chosen = rng.choice(len(pool), size=int(rng.integers(2, 65)), replace=False)
        for lanes in (None, Lanes(2)):
            together = np.concatenate(run_requests(engine, [pool[i] for i in chosen], lanes))
            np.testing.assert_array_equal(together, alone[chosen])


@pytest.mark.parametrize(
    ("kind", "precision", "message"),
    [
        ("deberta-v2", "int8", "there is no int8 for deberta-v2, which OpenVINO cannot load: build fp32"),
        ("modernbert", "int8", "there is no int8 for modernbert, whose logits would depend on the batch of a row"),
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


def test_dynamic_quantization_in_onnx_runtime_does_not_have_this_property(tmp_path: Path) -> None:
    """The reason for OpenVINO: with one scale for all activations of a batch, its rows change each other."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graphs(tmp_path, random_snapshot(3, **WIDER))
    extra = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(
        tmp_path / "fp32.onnx",
        tmp_path / "dynamic.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options=extra,
    )
    pool = random_rows(11, 16)
    alone = np.concatenate([onnx_logits(tmp_path / "dynamic.onnx", row) for row in pool])
    assert np.abs(onnx_logits(tmp_path / "dynamic.onnx", as_batch(pool)) - alone).max() > 1e-3


def test_activations_are_rounded_where_the_processor_multiplies_8_bit_numbers(tmp_path: Path) -> None:
    """With smaller groups of weights than of activations, OpenVINO would compute in FP32 without saying so."""
    graphs(tmp_path, random_snapshot(3, **WIDER))
    batch = as_batch(random_rows(21, 40))
    difference = np.abs(logits(tmp_path, [batch]) - onnx_logits(tmp_path / "model.onnx", batch)).max()
    has_vnni = re.search("avx512_vnni|avx_vnni", Path("/proc/cpuinfo").read_text(encoding="utf-8")) is not None
    assert (difference > 1e-3) == has_vnni


def test_logits_stay_near_fp32(tmp_path: Path) -> None:
    graphs(tmp_path, random_snapshot(3, **WIDER))
    batch = as_batch(random_rows(21, 40))
    assert 0 < relative_error(logits(tmp_path, [batch]), onnx_logits(tmp_path / "fp32.onnx", batch)) < 0.1


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
    graphs(tmp_path, with_outliers(60.0))
    batch = as_batch(random_rows(21, 40))
    assert relative_error(logits(tmp_path, [batch]), onnx_logits(tmp_path / "fp32.onnx", batch)) < 0.1
