"""Names, limits and shapes that are declared in two places agree."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from engine import recipe
from engine.manifest import CONTRACT_FIELDS
from engine.recipe import MAX_PAIRS, plan_path
from engine.verification import triton_target
from gateway import errors
from gateway.settings import Settings
from gateway.triton import client as gateway_client
from gateway.triton import length_buckets
from python_backend import hypotheses, manifest, tokenization
from python_backend.errors import InvalidInput, InvalidTokenLimit, NothingToRead, PairTooLong, UnreadableLabel
from python_backend.onnx_engine import SHAPE, flatten
from python_backend.rows import Rows
from stores.errors import InvalidRequest, ServiceError
from stores.label_sets import PLACEHOLDER as LABEL_SET_PLACEHOLDER

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
ROWS = {"input_ids", "attention_mask", "token_type_ids"}


def config(path: str) -> ModelConfig:
    return text_format.Parse((REPOSITORY / path).read_text(encoding="utf-8"), ModelConfig())


EXPAND = config("expand/config.pbtxt")
STRUCTBERT = config("structbert/configs/local.pbtxt")
RANK = config("rank/config.pbtxt")
ZERO_SHOT = config("zero_shot/config.pbtxt")
LOGITS_ONLY = config("zero_shot_logits/config.pbtxt")


def names(tensors: object) -> set[str]:
    return {tensor.name for tensor in tensors}  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", sorted(REPOSITORY.rglob("*.pbtxt")), ids=lambda path: path.parent.name)
def test_every_config_parses_and_is_named_after_its_folder(path: Path) -> None:
    assert config(str(path.relative_to(REPOSITORY))).name == path.relative_to(REPOSITORY).parts[0]


def test_the_ensembles_connect_existing_tensors() -> None:
    models = {"expand": EXPAND, "structbert": STRUCTBERT, "rank": RANK}
    for ensemble in (ZERO_SHOT, LOGITS_ONLY):
        available = names(ensemble.input)
        for step in ensemble.ensemble_scheduling.step:
            # Only the ensembles of the length buckets set the padded length, and only the gateway names pairs.
            unset = {"pad_to"} | ({"pairs"} if ensemble is ZERO_SHOT else set())
            assert set(step.input_map) == names(models[step.model_name].input) - unset
            assert set(step.input_map.values()) <= available
            assert set(step.output_map) <= names(models[step.model_name].output)
            available |= set(step.output_map.values())
        assert names(ensemble.output) <= available


def test_requests_of_different_lengths_share_a_batch() -> None:
    assert names(STRUCTBERT.input) == ROWS
    assert all(tensor.allow_ragged_batch for tensor in STRUCTBERT.input)
    assert STRUCTBERT.HasField("dynamic_batching")


def test_a_request_has_no_more_pairs_than_a_batch_of_the_engine() -> None:
    text = (ROOT / "python_backend/triton/expand.py").read_text(encoding="utf-8")
    assert f"MAX_PAIRS = {STRUCTBERT.max_batch_size}\n" in text
    assert Settings().max_pairs_per_call == STRUCTBERT.max_batch_size


def test_the_gateway_requests_existing_tensors() -> None:
    assert LOGITS_ONLY.name == gateway_client.MODEL
    assert names(LOGITS_ONLY.output) == {"logits", "tokens", "unknown", "refused", "engine_id", "engine_name"}
    assert EXPAND.name == gateway_client.EXPAND
    assert set(gateway_client.COUNT_OUTPUTS) <= names(EXPAND.output)
    inputs = {"text", "labels", "hypothesis_template", "pairs", "max_tokens", "special_tokens"}
    assert inputs == names(LOGITS_ONLY.input)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (InvalidTokenLimit("7 tokens"), InvalidRequest),
        (PairTooLong("9 tokens"), gateway_client.PairTooLong),
        (NothingToRead("text"), errors.NothingToRead),
        (UnreadableLabel(), errors.NothingToRead),
    ],
)
def test_the_gateway_recognizes_the_codes_of_expand(refusal: InvalidInput, error: type[ServiceError]) -> None:
    assert type(gateway_client._refusal(str(refusal))) is error


def test_the_gateway_and_expand_have_the_same_limits() -> None:
    limits = Settings()
    text = (ROOT / "python_backend/triton/expand.py").read_text(encoding="utf-8")
    assert f"MAX_TEXT_CHARACTERS = {limits.max_text_characters:_}\n" in text
    assert f"MIN_TOKENS = {limits.min_tokens}\n" in text
    assert limits.max_label_characters == hypotheses.MAX_LABEL_CHARACTERS
    assert limits.max_template_characters == hypotheses.MAX_TEMPLATE_CHARACTERS
    assert LABEL_SET_PLACEHOLDER == hypotheses.PLACEHOLDER
    assert length_buckets.MAX_DEFAULT_TEMPLATE_BYTES == manifest.MAX_DEFAULT_TEMPLATE_BYTES


def test_every_tensor_of_the_configs_is_named_in_the_code() -> None:
    text = (ROOT / "python_backend/triton/tensors.py").read_text(encoding="utf-8")
    for name in names(EXPAND.input) | names(EXPAND.output) | names(RANK.input) | names(RANK.output):
        assert f'"{name}"' in text


def test_the_builder_and_the_server_agree_on_the_format_of_an_engine_folder() -> None:
    assert f'MODEL_FILE = "{manifest.MODEL_FILE}"' in (ROOT / "engine/derive.py").read_text(encoding="utf-8")
    text = (ROOT / "engine/manifest.py").read_text(encoding="utf-8")
    assert f'FILE_NAME = "{manifest.FILE_NAME}"' in text
    assert recipe.LABEL_ORDER == manifest.LABEL_ORDER == ("entailment", "neutral", "contradiction")
    assert f'TOKENIZER_FILE = "{tokenization.FILE_NAME}"' in text
    assert set(CONTRACT_FIELDS) <= {field.name for field in fields(manifest.Manifest)}


BUCKETS = {bucket: REPOSITORY / f"structbert_s{bucket}" for bucket in (32, 64, 128, 256, 512)}
RAGGED = ("local", "onnx-cpu", "onnx-cuda", "onnx-cuda-a100", "onnx-cuda-mig")
BUCKETED = ("local-padded", "tensorrt-a10", "tensorrt-a100")
ENGINES = [f"structbert/configs/{name}.pbtxt" for name in RAGGED] + [
    f"structbert_s{bucket}/configs/{name}.pbtxt" for bucket in BUCKETS for name in BUCKETED
]


def test_the_hardware_configs_are_exactly_these() -> None:
    assert {path.stem for path in (REPOSITORY / "structbert/configs").iterdir()} == set(RAGGED)
    assert {int(path.name.removeprefix("structbert_s")) for path in REPOSITORY.glob("structbert_s*")} == set(
        BUCKETS
    )
    for folder in BUCKETS.values():
        assert {path.stem for path in (folder / "configs").iterdir()} == set(BUCKETED)


@pytest.mark.parametrize("path", ENGINES)
def test_every_engine_has_the_same_tensors_and_a_plain_queue(path: str) -> None:
    engine = config(path)
    assert [tensor.name for tensor in engine.input] == [tensor.name for tensor in STRUCTBERT.input]
    assert all(a.data_type == b.data_type for a, b in zip(engine.input, STRUCTBERT.input, strict=True))
    assert engine.output == STRUCTBERT.output
    batching = engine.dynamic_batching
    # With any of these Triton sometimes forgets a request until the next one comes (e2e/test_queue.py).
    assert not batching.priority_levels
    assert not batching.HasField("default_queue_policy")
    assert not batching.priority_queue_policy
    # A GPU fills its batch within a delay; a CPU gains nothing from one, and the gateway merges before it.
    on_cpu = "local" in path or "cpu" in path
    assert (batching.max_queue_delay_microseconds == 0) is on_cpu
    assert batching.max_queue_delay_microseconds <= 1_000


@pytest.mark.parametrize("path", ENGINES)
def test_engines_of_other_backends_warm_up(path: str) -> None:
    engine = config(path)
    assert bool(engine.model_warmup) == (engine.backend != "python")


NATIVE = [name for name in RAGGED if name != "local"]


@pytest.mark.parametrize("name", NATIVE)
def test_the_onnxruntime_backend_passes_the_row_widths_of_each_input(name: str) -> None:
    engine = config(f"structbert/configs/{name}.pbtxt")
    assert engine.backend == "onnxruntime"
    assert all(tensor.allow_ragged_batch and list(tensor.dims) == [-1] for tensor in engine.input)
    rows: Rows = {name: np.zeros((1, 1), dtype=np.int64) for name in ROWS}
    shapes = {f"{source}{SHAPE}": [source] for source in ROWS}
    assert set(flatten([rows])) == ROWS | set(shapes)
    for widths in engine.batch_input:
        assert (widths.kind, widths.data_type) == (widths.BATCH_ITEM_SHAPE, DataType.TYPE_INT32)
    assert {widths.target_name[0]: list(widths.source_input) for widths in engine.batch_input} == shapes
    assert f'SHAPE = "{SHAPE}"' in (ROOT / "engine/graph/ragged_inputs.py").read_text(encoding="utf-8")
    assert engine.max_batch_size >= STRUCTBERT.max_batch_size


def cuda_options(engine: ModelConfig) -> dict[str, str]:
    """The options of ONNX Runtime's CUDA provider as Triton's onnxruntime backend reads them from a config.

    `ModelState::LoadModel` in its `src/onnxruntime.cc`: first those of the accelerator, then, where `parameters`
    exists, four of them from there, or their defaults.
    """
    options: dict[str, str] = {}
    for accelerator in engine.optimization.execution_accelerators.gpu_execution_accelerator:
        assert accelerator.name == "cuda"
        options |= dict(accelerator.parameters)
    if engine.parameters:
        given = {name: value.string_value for name, value in engine.parameters.items()}
        strategies = {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"}
        options |= {
            "cudnn_conv_algo_search": given.get("cudnn_conv_algo_search", "0"),
            "gpu_mem_limit": given.get("gpu_mem_limit", str(2**64 - 1)),
            "arena_extend_strategy": strategies[given.get("arena_extend_strategy", "0")],
            "do_copy_in_default_stream": given.get("do_copy_in_default_stream", "1"),
        }
    return options


@pytest.mark.parametrize(
    ("name", "instances", "gib"), [("onnx-cuda", 1, 8), ("onnx-cuda-a100", 2, 16), ("onnx-cuda-mig", 1, 3)]
)
def test_what_a_config_says_of_the_gpu_is_what_the_onnxruntime_backend_does(
    name: str, instances: int, gib: int
) -> None:
    """A limit of memory that fits the smallest card, growth by what is needed, and no TF32."""
    engine = config(f"structbert/configs/{name}.pbtxt")
    options = cuda_options(engine)
    assert int(options["gpu_mem_limit"]) == gib * 1024**3
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert options["use_tf32"] == "0"
    (group,) = engine.instance_group
    assert (group.kind, group.count) == (group.KIND_GPU, instances)


def test_no_config_says_how_many_threads_run_an_engine() -> None:
    """`wanneng serve` tells the backend: WANNENG_ENGINE_THREADS, or what the container's limit leaves."""
    for path in ENGINES:
        assert not {"intra_op_thread_count", "inter_op_thread_count"} & set(config(path).parameters)


@pytest.mark.parametrize("name", BUCKETED)
@pytest.mark.parametrize("bucket", BUCKETS)
def test_the_configs_of_two_buckets_differ_only_in_their_numbers(bucket: int, name: str) -> None:
    max_pairs = MAX_PAIRS[bucket]
    text = (BUCKETS[bucket] / "configs" / f"{name}.pbtxt").read_text(encoding="utf-8")
    expected = (BUCKETS[64] / "configs" / f"{name}.pbtxt").read_text(encoding="utf-8")
    for of_64, of_bucket in (
        ("structbert_s64", f"structbert_s{bucket}"),
        ("dims: [ 64 ]", f"dims: [ {bucket} ]"),
        ("64 tokens", f"{bucket} tokens"),
        (f"max_batch_size: {MAX_PAIRS[64]}", f"max_batch_size: {max_pairs}"),
        (f"batch_size: {MAX_PAIRS[64]}", f"batch_size: {max_pairs}"),
    ):
        expected = expected.replace(of_64, of_bucket)
    assert text == expected


@pytest.mark.parametrize("bucket", BUCKETS)
def test_every_bucket_has_an_ensemble_and_takes_a_whole_request(bucket: int) -> None:
    ensemble = config(f"zero_shot_logits_s{bucket}/config.pbtxt")
    assert ensemble.output == LOGITS_ONLY.output
    assert names(ensemble.input) == names(LOGITS_ONLY.input) | {"pad_to"}
    expand, structbert = ensemble.ensemble_scheduling.step
    unpadded_expand, unpadded_structbert = LOGITS_ONLY.ensemble_scheduling.step
    assert dict(expand.input_map) == dict(unpadded_expand.input_map) | {"pad_to": "pad_to"}
    assert expand.output_map == unpadded_expand.output_map
    assert structbert.model_name == f"structbert_s{bucket}"
    assert structbert.input_map == unpadded_structbert.input_map
    assert MAX_PAIRS[bucket] >= Settings().max_pairs_per_call


@pytest.mark.parametrize("capability", ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "12.0", "12.1"])
@pytest.mark.parametrize("name", ["tensorrt-a10", "tensorrt-a100"])
def test_every_gpu_finds_the_plans(name: str, capability: str) -> None:
    """As Triton's tensorrt backend chooses a file: by the compute capability of the GPU, or else the default."""
    for bucket, folder in BUCKETS.items():
        engine = config(str((folder / "configs" / f"{name}.pbtxt").relative_to(REPOSITORY)))
        file = engine.cc_model_filenames.get(capability, engine.default_model_filename)
        assert plan_path(Path(), bucket) == Path(f"structbert_s{bucket}/1/{file}")


def test_the_verifier_and_the_builder_have_the_same_buckets() -> None:
    assert tuple(BUCKETS) == triton_target.BUCKETS == tuple(MAX_PAIRS)
