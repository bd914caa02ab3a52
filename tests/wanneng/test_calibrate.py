import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanneng.calibrate import Example, Judged, choices, choose, judge, keep_threshold, read_examples
from wanneng.calls import Calls
from wanneng.errors import CommandError


def judged(*rows: tuple[float, str]) -> list[Judged]:
    """`+`: right, `-`: another label, `0`: it has none."""
    return [Judged(probability, kind == "+", kind != "0") for probability, kind in rows]


def test_the_threshold_lies_where_f1_is_best() -> None:
    found = choices(judged((0.9, "+"), (0.8, "+"), (0.6, "-"), (0.4, "+"), (0.2, "0"), (0.1, "0")))
    best = choose(found)
    assert (best.precision, best.recall, best.accepted) == (0.75, 0.75, 4)
    assert best.threshold == pytest.approx(0.3)


def test_a_precision_that_is_asked_for_is_reached_with_the_best_recall() -> None:
    found = choices(judged((0.9, "+"), (0.8, "+"), (0.6, "-"), (0.4, "+")))
    assert choose(found, 0.9).threshold == pytest.approx(0.7)
    wide = choices(judged((0.9, "+"), (0.8, "-"), (0.7, "+"), (0.6, "+")))
    assert (choose(wide, 0.7).precision, choose(wide, 0.7).recall) == (0.75, 0.75)
    with pytest.raises(CommandError, match=r"the best has 0\.500"):
        choose(choices(judged((0.9, "-"), (0.8, "+"))), 0.9)


rows = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.sampled_from("+-0")), min_size=1)


@given(rows)
def test_each_choice_says_what_its_threshold_gives(given_rows: list[tuple[float, str]]) -> None:
    ones = judged(*given_rows)
    labelled = sum(one.labelled for one in ones)
    for choice in choices(ones):
        accepted = [one for one in ones if one.probability >= choice.threshold]
        right = sum(one.right for one in accepted)
        assert choice.accepted == len(accepted)
        assert choice.precision == right / len(accepted)
        assert choice.recall == (right / labelled if labelled else 0)


class Gateway:
    """Says for each text how probable its best label is: the number that the text is."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any, httpx.Headers]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        self.requests.append((request.method, body, request.headers))
        if request.url.path == "/v1/classify":
            results = [{"labels": ["投诉", "咨询"], "entailment": [float(t), 0.01]} for t in body["texts"]]
            return httpx.Response(200, json={"results": results})
        held = {"name": "tickets", "labels": ["投诉"], "hypothesis_template": "{}", "multi_label": False}
        held |= {"max_tokens": None, "threshold": None}
        return httpx.Response(200, json=held | {"version": 3 if request.method == "GET" else 4})


def test_texts_are_asked_some_at_a_time_and_judged_by_their_best_label() -> None:
    gateway = Gateway()
    calls = Calls("http://gateway", transport=httpx.MockTransport(gateway))
    examples = [Example("0.5", "投诉"), Example("0.4", "咨询"), Example("0.3", None)] * 7
    found = list(judge(calls, "tickets", examples))
    assert found[:3] == [Judged(0.5, True, True), Judged(0.4, False, True), Judged(0.3, False, False)]
    assert [len(body["texts"]) for _, body, _ in gateway.requests] == [16, 5]


def test_a_kept_threshold_is_a_version_that_says_the_rest_as_before() -> None:
    gateway = Gateway()
    calls = Calls("http://gateway", transport=httpx.MockTransport(gateway))
    assert keep_threshold(calls, "tickets", 0.25) == "tickets@4"
    method, body, headers = gateway.requests[-1]
    assert (method, body["threshold"], body["labels"], headers["if-match"]) == ("PUT", 0.25, ["投诉"], '"3"')


@pytest.mark.parametrize("line", ["x", "[]", '{"label": "a"}', '{"text": "a", "label": 1}', '{"text": "a"}'])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(CommandError, match=r"labelled\.jsonl"):
        read_examples(path)
