"""The embedded engines: their size, their answers, and the tiny one as a snapshot of ModelScope."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = json.loads((ROOT / "tests/data/everyday_examples.json").read_text(encoding="utf-8"))
RUN_MODELSCOPE = """
import json, sys, torch
from modelscope.pipelines import pipeline
classify = pipeline("zero-shot-classification", model=sys.argv[1], device="cpu")
answers = []
for example in json.load(sys.stdin):
    encoded = classify.preprocessor(example["text"], hypothesis_template="{}", candidate_labels=example["labels"])
    with torch.inference_mode():
        logits = classify.model(**encoded)["logits"]
    rows = {name: values.tolist() for name, values in encoded.items()}
    best = classify(example["text"], candidate_labels=example["labels"])["labels"][0]
    answers.append({"rows": rows, "logits": logits.tolist(), "best": best})
json.dump(answers, open(sys.argv[2], "w"))
"""


def test_the_restored_snapshot_has_the_logits_of_the_engine_in_modelscope(tmp_path: Path) -> None:
    """In a process of its own, since ModelScope changes global state and prints."""
    wanneng = [sys.executable, "-m", "wanneng", "engine"]
    restore = [*wanneng, "snapshot", "embedded/tiny", "--output", str(tmp_path / "snapshot")]
    subprocess.run(restore, cwd=ROOT, check=True, timeout=120)
    run = [sys.executable, "-c", RUN_MODELSCOPE, str(tmp_path / "snapshot"), str(tmp_path / "answers.json")]
    done = subprocess.run(
        run, input=json.dumps(EXAMPLES), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    answers = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    session = ort.InferenceSession(ROOT / "embedded/tiny/model.onnx", providers=["CPUExecutionProvider"])
    for answer in answers:
        rows = {name: np.array(values, dtype=np.int64) for name, values in answer["rows"].items()}
        np.testing.assert_allclose(session.run(["logits"], rows)[0], answer["logits"], atol=1e-4)
    assert sum(a["best"] == e["answer"] for a, e in zip(answers, EXAMPLES, strict=True)) >= 8


@pytest.mark.parametrize(("folder", "max_mb"), [("embedded", 30), ("embedded/tiny", 12)])
def test_the_embedded_models_stay_small(folder: str, max_mb: int) -> None:
    assert sum(path.stat().st_size for path in (ROOT / folder).iterdir() if path.is_file()) <= max_mb * 1024 * 1024


def test_the_card_has_the_figures_of_make_evaluate() -> None:
    """Of the engine that is served, so a new engine needs new figures."""
    evaluation = json.loads((ROOT / "embedded/evaluation.json").read_text(encoding="utf-8"))
    manifest = json.loads((ROOT / "embedded/engine.json").read_text(encoding="utf-8"))
    card = (ROOT / "embedded/MODEL_CARD.md").read_text(encoding="utf-8")
    assert evaluation["engine_id"] == manifest["engine_id"]
    for name, task in evaluation["development"].items():
        assert f"| {name} | {task['labels']} | {task['texts']} | {task['accuracy']['value']:.3f} " in card, name
    for name in ("held_out", "everyday"):
        assert f"{evaluation[name]['correct']} of {evaluation[name]['texts']}" in card, name


@pytest.mark.parametrize("word", ["Data", "licence", "accuracy", "not for"])
def test_the_model_card_has_every_section(word: str) -> None:
    assert word in (ROOT / "embedded/MODEL_CARD.md").read_text(encoding="utf-8")
