"""The golden answers of the real ModelScope pipeline, asked again of `zero_shot` in a real Triton."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc

from gateway.classification.request import split_labels
from tests.e2e.server import serving
from tests.golden.cases import cases

GOLDEN = Path(__file__).parents[1] / "golden"
ANSWERS: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "answers.json").read_text(encoding="utf-8"))
SCORE_TOLERANCE = 1e-4
TIE = 1e-5
"""Labels whose scores differ by less may change places."""


def test_there_are_at_least_300_golden_answers() -> None:
    assert sum(map(len, ANSWERS.values())) >= 300


@pytest.mark.parametrize("snapshot", sorted(ANSWERS))
def test_zero_shot_answers_as_modelscope_does(snapshot: str, tmp_path: Path) -> None:
    with serving(tmp_path, GOLDEN / snapshot) as server, grpc.InferenceServerClient(server.triton_grpc) as client:
        for case, golden in zip(cases(), ANSWERS[snapshot], strict=True):
            labels = case["labels"]
            labels = split_labels(labels) if isinstance(labels, str) else labels
            got = ask(client, case, labels)
            expected = dict(zip(golden["labels"], golden["scores"], strict=True))
            assert dict(got) == pytest.approx(expected, abs=SCORE_TOLERANCE), case["text"][:80]
            assert_same_order([label for label, _ in got], expected)


def ask(client: grpc.InferenceServerClient, case: dict[str, Any], labels: list[str]) -> list[tuple[str, float]]:
    inputs = []
    for name, values in (
        ("text", [case["text"]]),
        ("labels", labels),
        ("hypothesis_template", [case["hypothesis_template"]]),
    ):
        inputs.append(grpc.InferInput(name, [len(values)], "BYTES"))
        inputs[-1].set_data_from_numpy(np.array([value.encode() for value in values], dtype=object))
    inputs.append(grpc.InferInput("multi_label", [1], "BOOL"))
    inputs[-1].set_data_from_numpy(np.array([case["multi_label"]]))
    answer = client.infer("zero_shot", inputs)
    ranked = [label.decode() for label in answer.as_numpy("ranked_labels")]
    return list(zip(ranked, answer.as_numpy("scores").tolist(), strict=True))


def assert_same_order(labels: list[str], expected: dict[str, float]) -> None:
    for first, second in pairwise(labels):
        assert expected[first] > expected[second] - TIE, f"{first} came before {second}"
