"""Names, limits and shapes that stand in two places are the same in both."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from gateway import triton as gateway_triton
from gateway.question import PLACEHOLDER as GATEWAY_PLACEHOLDER
from gateway.settings import Settings
from python_backend import hypotheses, manifest

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
def test_every_config_parses_and_has_its_folders_name(path: Path) -> None:
    assert config(str(path.relative_to(REPOSITORY))).name == path.relative_to(REPOSITORY).parts[0]


def test_the_ensembles_wire_existing_tensors() -> None:
    models = {"expand": EXPAND, "structbert": STRUCTBERT, "rank": RANK}
    for ensemble in (ZERO_SHOT, LOGITS_ONLY):
        known = names(ensemble.input)
        for step in ensemble.ensemble_scheduling.step:
            assert set(step.input_map) == names(models[step.model_name].input)
            assert set(step.input_map.values()) <= known
            assert set(step.output_map) <= names(models[step.model_name].output)
            known |= set(step.output_map.values())
        assert names(ensemble.output) <= known


def test_the_engine_merges_requests_of_unequal_lengths() -> None:
    assert names(STRUCTBERT.input) == ROWS
    assert all(tensor.allow_ragged_batch for tensor in STRUCTBERT.input)
    assert STRUCTBERT.HasField("dynamic_batching")


def test_a_request_never_has_more_pairs_than_one_engine_batch() -> None:
    text = (ROOT / "python_backend/triton/expand.py").read_text(encoding="utf-8")
    assert f"MAX_PAIRS = {STRUCTBERT.max_batch_size}\n" in text
    assert Settings().max_pairs_per_call == STRUCTBERT.max_batch_size


def test_the_gateway_asks_for_tensors_that_are_there() -> None:
    assert LOGITS_ONLY.name == gateway_triton.MODEL
    assert set(gateway_triton.OUTPUTS) <= names(LOGITS_ONLY.output)
    assert {"text", "labels", "hypothesis_template", "max_tokens"} == names(LOGITS_ONLY.input)


def test_the_gateways_limits_are_not_wider_than_expands() -> None:
    limits = Settings()
    text = (ROOT / "python_backend/triton/expand.py").read_text(encoding="utf-8")
    assert f"MAX_TEXT_CHARACTERS = {limits.max_text_characters:_}\n" in text
    assert f"MIN_TOKENS = {limits.min_tokens}\n" in text
    assert limits.max_label_characters == hypotheses.MAX_LABEL_CHARACTERS
    assert limits.max_template_characters == hypotheses.MAX_TEMPLATE_CHARACTERS
    assert GATEWAY_PLACEHOLDER == hypotheses.PLACEHOLDER


def test_the_tensors_of_the_configs_are_the_ones_in_the_code() -> None:
    text = (ROOT / "python_backend/triton/tensors.py").read_text(encoding="utf-8")
    for name in names(EXPAND.input) | names(EXPAND.output) | names(RANK.input) | names(RANK.output):
        assert f'"{name}"' in text


def test_the_builder_and_the_server_agree_on_the_files_of_an_engine() -> None:
    assert f'MODEL_FILE = "{manifest.MODEL_FILE}"' in (ROOT / "engine/build.py").read_text(encoding="utf-8")
    text = (ROOT / "engine/manifest.py").read_text(encoding="utf-8")
    assert f'FILE_NAME = "{manifest.FILE_NAME}"' in text
    assert '"label_order": ["entailment", "neutral", "contradiction"]' in text
    assert manifest.LABEL_ORDER == ["entailment", "neutral", "contradiction"]
