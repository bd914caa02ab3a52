import json
from importlib.metadata import version
from pathlib import Path

import pytest

from python_backend.errors import EngineError
from python_backend.manifest import LABEL_ORDER, installed, load_manifest
from python_backend.settings import load_settings

VALID = {
    "name": "n",
    "engine_id": "i",
    "precision": "fp32",
    "architecture": "bert",
    "logits": LABEL_ORDER,
    "max_tokens": 512,
    "vocabulary": 9,
    "token_types": 2,
    "truncation": "only_first",
    "default_template": "This is {}.",
    "languages": ["zh"],
}


def write(folder: Path, content: object) -> Path:
    (folder / "engine.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_a_valid_manifest_is_read(tmp_path: Path) -> None:
    assert load_manifest(write(tmp_path, VALID)).max_tokens == 512


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        VALID | {"logits": ["neutral"]},
        VALID | {"logits": ["entailment", "other"]},
        VALID | {"token_types": 3},
        VALID | {"truncation": "middle"},
        VALID | {"default_template": "no place for the label"},
        {k: v for k, v in VALID.items() if k != "name"},
    ],
)
def test_an_invalid_manifest_is_named(tmp_path: Path, content: object) -> None:
    with pytest.raises(EngineError, match=r"engine\.json"):
        load_manifest(write(tmp_path, content))


def test_the_runtime_belongs_to_the_id_of_an_engine_whose_numbers_depend_on_it(tmp_path: Path) -> None:
    fp32 = load_manifest(write(tmp_path, VALID))
    int8 = load_manifest(write(tmp_path, VALID | {"precision": "int8", "engine_id": "i-int8"}))
    assert fp32.served_id() == "i"
    assert int8.served_id() == f"i-int8-openvino-{version('openvino')}"
    bf16 = load_manifest(write(tmp_path, VALID | {"precision": "bf16", "engine_id": "i-bf16"}))
    assert bf16.served_id() == f"i-bf16-openvino-{version('openvino')}"


def test_a_package_that_is_not_installed_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(EngineError, match=r"needs the package nowhere, .* -r requirements/nowhere\.txt` installs"):
        installed("nowhere")


def test_a_folder_without_a_manifest_is_not_an_engine_folder(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is not an engine folder"):
        load_manifest(tmp_path)


def test_a_missing_or_invalid_variable_is_named() -> None:
    with pytest.raises(EngineError, match="WANNENG_ENGINE "):
        load_settings({})
    with pytest.raises(EngineError, match="WANNENG_ENGINE_THREADS"):
        load_settings({"WANNENG_ENGINE": "/e", "WANNENG_ENGINE_THREADS": "many"})
