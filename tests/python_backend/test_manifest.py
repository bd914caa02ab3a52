import json
from pathlib import Path

import pytest

from python_backend.errors import EngineError
from python_backend.manifest import LABEL_ORDER, load_manifest
from python_backend.settings import load_settings

GOOD = {"name": "n", "engine_id": "i", "max_tokens": 512, "vocabulary": 9, "label_order": LABEL_ORDER}


def write(folder: Path, facts: object) -> Path:
    (folder / "engine.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def test_a_good_manifest_is_read(tmp_path: Path) -> None:
    assert load_manifest(write(tmp_path, GOOD)).max_tokens == 512


@pytest.mark.parametrize(
    "facts", [{}, [], GOOD | {"label_order": LABEL_ORDER[::-1]}, {k: v for k, v in GOOD.items() if k != "name"}]
)
def test_a_bad_manifest_is_named(tmp_path: Path, facts: object) -> None:
    with pytest.raises(EngineError, match=r"engine\.json"):
        load_manifest(write(tmp_path, facts))


def test_a_folder_without_manifest_is_no_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is not an engine folder"):
        load_manifest(tmp_path)


def test_a_missing_or_bad_variable_fails_by_its_name() -> None:
    with pytest.raises(EngineError, match="WANNENG_ENGINE "):
        load_settings({})
    with pytest.raises(EngineError, match="WANNENG_ENGINE_THREADS"):
        load_settings({"WANNENG_ENGINE": "/e", "WANNENG_ENGINE_THREADS": "many"})
