import json
import math
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanneng.calibration.label_logits import TextLogits, ask
from wanneng.calibration.learning import (
    Prediction,
    TooFewExamples,
    choose,
    examples_of,
    store,
    thresholds,
)
from wanneng.calibration.learning import predictions as predicted_by
from wanneng.client import Client, Correction, LabelSet, SetLabel
from wanneng.errors import CommandError
from wanneng.examples import Example


def predictions(*rows: tuple[float, str]) -> list[Prediction]:
    """`+`: correct, `-`: another label, `0`: it has none."""
    return [Prediction(probability, kind == "+", kind != "0") for probability, kind in rows]


def test_the_threshold_lies_where_f1_is_best() -> None:
    found = thresholds(predictions((0.9, "+"), (0.8, "+"), (0.6, "-"), (0.4, "+"), (0.2, "0"), (0.1, "0")))
    best = choose(found)
    assert (best.precision, best.recall, best.accepted) == (0.75, 0.75, 4)
    assert best.value == pytest.approx(0.3)


def test_a_precision_that_is_asked_for_is_reached_with_the_best_recall() -> None:
    found = thresholds(predictions((0.9, "+"), (0.8, "+"), (0.6, "-"), (0.4, "+")))
    assert choose(found, 0.9).value == pytest.approx(0.7)
    wide = thresholds(predictions((0.9, "+"), (0.8, "-"), (0.7, "+"), (0.6, "+")))
    assert (choose(wide, 0.7).precision, choose(wide, 0.7).recall) == (0.75, 0.75)
    with pytest.raises(CommandError, match=r"the best has 0\.500"):
        choose(thresholds(predictions((0.9, "-"), (0.8, "+"))), 0.9)


rows = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.sampled_from("+-0")), min_size=1)


@given(rows)
def test_each_threshold_says_what_it_gives(given_rows: list[tuple[float, str]]) -> None:
    predicted = predictions(*given_rows)
    labelled = sum(one.labelled for one in predicted)
    for threshold in thresholds(predicted):
        accepted = [one for one in predicted if one.probability >= threshold.value]
        correct = sum(one.correct for one in accepted)
        assert threshold.accepted == len(accepted)
        assert threshold.precision == correct / len(accepted)
        assert threshold.recall == (correct / labelled if labelled else 0)


LABELS = [{"label": "投诉", "hypothesis": "用户在投诉"}]
CORRECTION = {"biases": [0.5], "temperature": 2.0, "map": None}


def label_set(*labels: str, multi_label: bool = False, **content: Any) -> LabelSet:
    fields: dict[str, Any] = {"max_tokens": None, "threshold": None, "special_tokens": None, "correction": None}
    return LabelSet(
        "tickets",
        3,
        tuple(SetLabel(label, f"用户在{label}") for label in labels),
        "{}",
        multi_label,
        **(fields | content),
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
    )


class Gateway:
    """Says for each text how probable its best label is: the number that the text is."""

    def __init__(self, newest: int = 3) -> None:
        self.requests: list[tuple[str, Any, httpx.Headers]] = []
        self.newest = newest

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        self.requests.append((request.method, body, request.headers))
        if request.url.path == "/v1/classify":
            same = {"labels": body["labels"][::-1], "scores": [0.75, 0.25], "truncated": False}
            results = [same | {"entailment": [float(text), 0.5]} for text in body["texts"]]
            return httpx.Response(200, json={"results": results, "model_version": "v"})
        stored = {"name": "tickets", "labels": LABELS, "hypothesis_template": "{}", "multi_label": False}
        stored |= {"max_tokens": None, "threshold": None, "created_at": "2026-11-21T10:00:00Z"}
        stored |= {"special_tokens": "text", "correction": body.get("correction", CORRECTION)}
        stored |= {"evaluation": body.get("evaluation")}
        return httpx.Response(200, json=stored | {"version": self.newest + (request.method == "PUT")})


def test_the_model_is_asked_without_the_sets_correction() -> None:
    """By the hypotheses as labels, some texts at a time; answers come back in the order of the set's labels."""
    gateway = Gateway()
    client = Client("http://gateway", transport=httpx.MockTransport(gateway))
    current = label_set("投诉", "咨询", special_tokens="text", max_tokens=64)
    found = list(ask(client, current, ["0.9"] * 21))
    assert found[0].scores == pytest.approx((math.log(0.25), math.log(0.75)))
    assert found[0].own == pytest.approx((0, math.log(9)))
    assert [len(body["texts"]) for _, body, _ in gateway.requests] == [16, 5]
    body = gateway.requests[0][1]
    assert body["labels"] == ["用户在投诉", "用户在咨询"]
    assert "label_set" not in body
    assert (body["special_tokens"], body["max_tokens"], body["entailment"]) == ("text", 64, True)


def test_labels_that_are_scored_one_by_one_have_logits_of_their_own() -> None:
    client = Client("http://gateway", transport=httpx.MockTransport(Gateway()))
    (found,) = ask(client, label_set("投诉", "咨询", multi_label=True), ["0.9"])
    assert found.scores == pytest.approx((-math.log(3), math.log(3)))


def test_a_threshold_is_for_what_the_correction_makes_of_the_probabilities() -> None:
    """Without it `咨询` is best, at 0.5; a bias of 3 makes `投诉` the best, at 0.5 + 3 in logits."""
    logits = [TextLogits((0.0, 1.0), (0.0, 0.0))]
    examples = [Example("a", "投诉")]
    assert predicted_by(label_set("投诉", "咨询"), examples, logits, None) == [Prediction(0.5, False, True)]
    (found,) = predicted_by(label_set("投诉", "咨询"), examples, logits, Correction((3.0, 0.0)))
    assert found.correct
    assert found.probability == pytest.approx(1 / (1 + math.exp(-3)))


def test_a_label_with_three_examples_is_named() -> None:
    labelled = [Example(str(number), "投诉") for number in range(4)]
    labelled += [Example(f"b{number}", "咨询") for number in range(3)]
    with pytest.raises(TooFewExamples, match="咨询 has 3"):
        examples_of(label_set("投诉", "咨询"), labelled, [TextLogits((0.0, 0.0), (0.0, 0.0))] * 7, [])


def test_a_label_that_the_set_lacks_is_named_with_its_row() -> None:
    labelled = [Example("a", "别的", "row 7")]
    with pytest.raises(CommandError, match=r"row 7: '别的' is no label of tickets@3"):
        examples_of(label_set("投诉", "咨询"), labelled, [TextLogits((0.0, 0.0), (0.0, 0.0))], [])


def test_of_labels_scored_one_by_one_a_text_may_have_several_or_none() -> None:
    labelled = [Example("a", "投诉"), Example("a", "咨询"), Example("b", None)]
    labelled += [Example(f"{label}{number}", label) for label in ("投诉", "咨询") for number in range(3)]
    logits = [TextLogits((float(number), 0.0), (0.0, 0.0)) for number in range(9)]
    found = examples_of(label_set("投诉", "咨询", multi_label=True), labelled, logits, [])
    assert found.applies[:2].tolist() == [[True, True], [False, False]]
    assert found.logits.shape == (8, 2)


def test_what_is_stored_is_a_version_that_says_the_rest_as_before() -> None:
    gateway = Gateway()
    client = Client("http://gateway", transport=httpx.MockTransport(gateway))
    assert store(client, label_set("投诉"), 0.25, Correction((0.5,), 2.0)) == "tickets@4"
    method, body, headers = gateway.requests[-1]
    assert (method, body["threshold"], body["labels"], headers["if-match"]) == ("PUT", 0.25, LABELS, '"3"')
    assert (body["special_tokens"], body["correction"]) == ("text", CORRECTION)


def test_nothing_is_stored_over_a_version_that_came_after() -> None:
    gateway = Gateway(newest=4)
    client = Client("http://gateway", transport=httpx.MockTransport(gateway))
    with pytest.raises(CommandError, match="tickets@4 is the newest version, not tickets@3"):
        store(client, label_set("投诉"), 0.25, None)
    assert [method for method, _, _ in gateway.requests] == ["GET"]
