import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanneng.calibrate import Prediction, choose, predict, store_threshold, thresholds
from wanneng.client import Client
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


class Gateway:
    """Says for each text how probable its best label is: the number that the text is."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any, httpx.Headers]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        self.requests.append((request.method, body, request.headers))
        if request.url.path == "/v1/classify":
            same = {"labels": ["投诉", "咨询"], "scores": [0.9, 0.1], "truncated": False}
            results = [same | {"entailment": [float(text), 0.01]} for text in body["texts"]]
            return httpx.Response(200, json={"results": results, "model_version": "v"})
        stored = {"name": "tickets", "labels": LABELS, "hypothesis_template": "{}", "multi_label": False}
        stored |= {"max_tokens": None, "threshold": None, "created_at": "2026-11-21T10:00:00Z"}
        stored["special_tokens"] = "text"
        return httpx.Response(200, json=stored | {"version": 3 if request.method == "GET" else 4})


def test_texts_are_asked_some_at_a_time_and_judged_by_their_best_label() -> None:
    gateway = Gateway()
    client = Client("http://gateway", transport=httpx.MockTransport(gateway))
    examples = [Example("0.5", "投诉"), Example("0.4", "咨询"), Example("0.3", None)] * 7
    found = list(predict(client, "tickets", examples))
    assert len(found) == 21
    assert found[:3] == [Prediction(0.5, True, True), Prediction(0.4, False, True), Prediction(0.3, False, False)]
    assert {(body["label_set"], body["entailment"]) for _, body, _ in gateway.requests} == {("tickets", True)}
    assert [len(body["texts"]) for _, body, _ in gateway.requests] == [16, 5]


def test_a_stored_threshold_is_a_version_that_says_the_rest_as_before() -> None:
    gateway = Gateway()
    client = Client("http://gateway", transport=httpx.MockTransport(gateway))
    assert store_threshold(client, "tickets", 0.25) == "tickets@4"
    method, body, headers = gateway.requests[-1]
    assert (method, body["threshold"], body["labels"], headers["if-match"]) == ("PUT", 0.25, LABELS, '"3"')
    assert body["special_tokens"] == "text"
