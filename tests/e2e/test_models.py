"""A model of every kind, served by a real Triton behind the gateway, answers as its own pipeline does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engine.verification.reference import load_reference
from tests.e2e.server import ROOT, serving
from tests.e2e.test_engines import BUILDER

KINDS = (
    "structbert small",
    "structbert large, encoder.",
    "structbert with added tokens",
    "structbert with tokens as written",
    "structbert in sharded safetensors",
    "structbert nested, module.",
    "structbert in half precision",
    "erlangshen",
    "two-way nli",
    "xlm-r",
    "deberta-v2",
    "modernbert",
    "ernie",
    "one-logit reranker",
    "megatron-bert",
    "split-bert",
)
MIN_CASES = 100


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines of every kind, with many answers of their own pipelines."""
    if not BUILDER.exists():
        pytest.skip("the builder's environment is missing; `make test` installs it")
    folder = tmp_path_factory.mktemp("models")
    done = subprocess.run(
        [BUILDER, "-m", "tests.engine.build_models", folder],
        cwd=ROOT,
        # The networks are so small that threads only wait for one another.
        env=dict(os.environ) | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    assert {path.name for path in folder.iterdir()} == set(KINDS)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_the_gateway_answers_as_the_models_own_pipeline(kind: str, models: Path, tmp_path: Path) -> None:
    reference = load_reference(models / kind / "many.json")
    assert len(reference.cases) >= MIN_CASES
    with serving(tmp_path / "state", models / kind / "engine") as server:
        for case, expected in zip(reference.cases, reference.answers, strict=True):
            template = {"hypothesis_template": case.template} if case.template else {}
            body = {"text": case.text, "labels": list(case.labels), "multi_label": case.multi_label, **template}
            answer = server.classify(**body).json()
            scores = dict(zip(answer["labels"], answer["scores"], strict=True))
            expected_scores = dict(zip(expected.labels, expected.scores, strict=True))
            assert scores == pytest.approx(expected_scores, abs=1e-4), case
            close = [
                label
                for label, following in zip(expected.labels, expected.labels[1:], strict=False)
                if expected_scores[label] - expected_scores[following] < 1e-4
            ]
            assert close or answer["labels"] == list(expected.labels), case
