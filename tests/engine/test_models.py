"""Every kind of snapshot becomes an engine that answers as the model's own pipeline does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engine.build import build_engine
from engine.graph.export import export_onnx
from engine.network import network_of
from engine.recipe import choose_recipe
from engine.snapshot import read_snapshot
from engine.verification.verdict import verify
from tests.engine.zoo import ADDED, SNAPSHOTS

EXPECTED: dict[str, dict[str, Any]] = {
    "structbert small": {"truncation": "longest_first", "default_template": "{}", "token_types": 2},
    "structbert with added tokens": {"languages": ["zh"]},
    "erlangshen": {
        "architecture": "bert",
        "truncation": "only_first",
        "default_template": "This example is {}.",
        "logits": ["entailment", "neutral", "contradiction"],
        "languages": [],
    },
    "two-way nli": {"logits": ["entailment", "contradiction"], "max_tokens": 512, "token_types": 1},
    "xlm-r": {"max_tokens": 512, "token_types": 1},
    "deberta-v2": {"token_types": 1},
    "modernbert": {"logits": ["entailment", "contradiction"], "token_types": 1},
    "ernie": {"token_types": 2},
    "split-bert": {"token_types": 2, "max_tokens": 512, "truncation": "only_first"},
    "one-logit reranker": {"logits": ["entailment"], "default_template": "{}", "truncation": "longest_first_fast"},
}
MIN_TEXTS = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def built(folder: Path, kind: str) -> Path:
    """The engine of a kind, built once."""
    engine = folder / kind / "engine"
    if not engine.exists():
        SNAPSHOTS[kind](folder / kind / "snapshot")
        build_engine(folder / kind / "snapshot", engine, choose_recipe(), name=kind)
    return engine


def manifest(engine: Path) -> dict[str, Any]:
    return dict(json.loads((engine / "engine.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("kind", SNAPSHOTS)
def test_an_engine_of_every_kind_answers_as_the_models_own_pipeline(kind: str, folder: Path) -> None:
    """With the same token ids; logits and scores within 1e-4; the same best labels."""
    engine = built(folder, kind)
    report = verify(str(engine), None, None)
    assert report.passed, report.sentence()
    assert report.texts >= MIN_TEXTS
    assert report.other_tokens == 0
    assert max(report.max_logit_difference, report.max_score_difference) < 1e-4
    assert EXPECTED.get(kind, {}).items() <= manifest(engine).items()


def change_json(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(engine: Path) -> None:
        content = json.loads((engine / name).read_text(encoding="utf-8"))
        change(content)
        (engine / name).write_text(json.dumps(content), encoding="utf-8")

    return apply


def change_weights(change: Callable[[str, np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def apply(engine: Path) -> None:
        graph = onnx.load(engine / "model.onnx")
        for initializer in graph.graph.initializer:
            values = numpy_helper.to_array(initializer)
            if values.dtype == np.float32:
                initializer.CopyFrom(numpy_helper.from_array(change(initializer.name, values), initializer.name))
        onnx.save(graph, engine / "model.onnx")

    return apply


def in_bfloat16(_name: str, values: np.ndarray) -> np.ndarray:
    return (np.ascontiguousarray(values).view(np.uint32) & 0xFFFF0000).view(np.float32)


def one_position_later(name: str, values: np.ndarray) -> np.ndarray:
    return np.roll(values, 1, axis=0) if "position_embeddings" in name else values


def another_label_order(engine: Path) -> None:
    snapshot = read_snapshot(engine.parent / "snapshot")
    export_onnx(network_of(snapshot), engine / "model.onnx", snapshot.logits[::-1])


def without_lower_case(tokenizer: dict[str, Any]) -> None:
    parts = tokenizer["normalizer"]["normalizers"]
    tokenizer["normalizer"]["normalizers"] = [part for part in parts if part["type"] != "Lowercase"]


def with_accents(tokenizer: dict[str, Any]) -> None:
    parts = tokenizer["normalizer"]["normalizers"]
    tokenizer["normalizer"]["normalizers"] = [part for part in parts if part["type"] != "StripAccents"]


def without_an_added_token(tokenizer: dict[str, Any]) -> None:
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] != ADDED[0]]


def swap_added_tokens(tokenizer: dict[str, Any]) -> None:
    first, second = (token for token in tokenizer["added_tokens"] if token["content"] in ADDED[:2])
    first["content"], second["content"] = second["content"], first["content"]


def swap_tokens_of_the_vocabulary(tokenizer: dict[str, Any]) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["的"], vocabulary["了"] = vocabulary["了"], vocabulary["的"]


def without_a_separator(tokenizer: dict[str, Any]) -> None:
    del tokenizer["post_processor"]["pair"][2]


CHANGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "lower case": ("structbert with added tokens", change_json("tokenizer.json", without_lower_case)),
    "accents": ("structbert with added tokens", change_json("tokenizer.json", with_accents)),
    "added token removed": ("structbert with added tokens", change_json("tokenizer.json", without_an_added_token)),
    "added tokens swapped": ("structbert with added tokens", change_json("tokenizer.json", swap_added_tokens)),
    "vocabulary": ("structbert small", change_json("tokenizer.json", swap_tokens_of_the_vocabulary)),
    "special tokens": ("structbert small", change_json("tokenizer.json", without_a_separator)),
    "label order": ("erlangshen", another_label_order),
    "position offset": ("xlm-r", change_weights(one_position_later)),
    "token types": ("structbert small", change_json("engine.json", lambda m: m.update(token_types=1))),
    "longest pair": ("structbert small", change_json("engine.json", lambda m: m.update(max_tokens=511))),
    "truncation": ("structbert small", change_json("engine.json", lambda m: m.update(truncation="only_first"))),
    "default template": ("erlangshen", change_json("engine.json", lambda m: m.update(default_template="{}"))),
    "rounding of weights": ("structbert small", change_weights(in_bfloat16)),
    "rounding of other weights": ("modernbert", change_weights(in_bfloat16)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_proof_notices_what_is_changed_after_the_build(change: str, folder: Path) -> None:
    kind, apply = CHANGES[change]
    engine = built(folder, kind)
    changed = engine.parent / change.replace(" ", "-")
    shutil.copytree(engine, changed)
    assert verify(str(changed), None, None).passed
    apply(changed)
    report = verify(str(changed), None, None)
    assert not report.passed, report.sentence()
