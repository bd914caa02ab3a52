from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from gateway.errors import InvalidRequest
from gateway.question import ask, split_labels
from gateway.schema import ClassifyBody
from gateway.settings import Settings

LIMITS = Settings(
    max_texts=3, max_labels=4, max_text_characters=50, max_label_characters=10, max_pairs=6,
    max_template_characters=20, max_tokens=128,
)  # fmt: skip


def body(**fields: Any) -> ClassifyBody:
    return convert({"text": "手机", "labels": ["投诉", "咨询"]} | fields, ClassifyBody)


def test_labels_of_one_string_are_split_at_both_commas() -> None:
    assert split_labels("投诉，咨询,建议") == ["投诉", "咨询", "建议"]
    assert split_labels(" ，a b,, c ，") == ["a b", "c"]


@given(st.lists(st.text(st.characters(exclude_characters=",，", exclude_categories=["Z", "C"]), min_size=1)))
def test_joining_and_splitting_gives_the_labels_back(labels: list[str]) -> None:
    assert split_labels("，".join(labels)) == labels


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": " \n　"}, "text"),
        ({"text": "x" * 51}, "text"),
        ({"texts": ["a"]}, "text"),
        ({"labels": []}, "labels"),
        ({"labels": "，, "}, "labels"),
        ({"labels": ["a", "b", "c", "d", "e"]}, "labels"),
        ({"labels": ["a", " "]}, "labels[1]"),
        ({"labels": ["a", "b", "a"]}, "labels[2]"),
        ({"labels": "a,b,a"}, "labels[2]"),
        ({"labels": ["x" * 11]}, "labels[0]"),
        ({"hypothesis_template": "没有"}, "hypothesis_template"),
        ({"hypothesis_template": "{}{}"}, "hypothesis_template"),
        ({"hypothesis_template": "{}" + "x" * 20}, "hypothesis_template"),
        ({"max_tokens": 7}, "max_tokens"),
        ({"max_tokens": 129}, "max_tokens"),
    ],
)
def test_every_refusal_names_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        ask(body(**fields), LIMITS)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("texts", "field"), [([], "texts"), (["a"] * 4, "texts"), (["a", ""], "texts[1]"), (["a"] * 3, "texts")]
)
def test_lists_of_texts_have_bounds_too(texts: list[str], field: str) -> None:
    """The last of these is 3 texts with 3 labels: 9 pairs, more than the 6 allowed."""
    with pytest.raises(InvalidRequest) as refusal:
        ask(convert({"texts": texts, "labels": "a,b,c"}, ClassifyBody), LIMITS)
    assert refusal.value.field == field


def test_neither_text_nor_texts_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="either text or texts"):
        ask(convert({"labels": "a"}, ClassifyBody), LIMITS)


def test_a_good_request_becomes_a_question() -> None:
    question = ask(body(multi_label=True, max_tokens=64), LIMITS)
    assert (question.texts, question.labels, question.single) == (("手机",), ("投诉", "咨询"), True)
    assert (question.pairs, question.multi_label, question.max_tokens) == (2, True, 64)
