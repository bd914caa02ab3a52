from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from gateway.classification.pairs import Row, Source
from gateway.classification.request import split_labels, validate, validate_pairs
from gateway.classification.schema import ClassifyBody
from gateway.settings import Settings
from stores.errors import InvalidRequest

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
    ("labels", "split"),
    [
        (["a、b"], ("a、b",)),
        ("a、b,c;d", ("a、b", "c;d")),
        (["a", "A"], ("a", "A")),
        ([" a", "ｂ"], (" a", "ｂ")),
    ],
)
def test_labels_stay_as_they_were_given(labels: Any, split: tuple[str, ...]) -> None:
    assert validate(body(labels=labels), LIMITS).names == split


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
        ({"labels": ["a", "b", "a "]}, "labels[2]"),
        ({"labels": ["a  b", "a b"]}, "labels[1]"),
        ({"labels": ["ＡＢ！", "AB!"]}, "labels[1]"),
        *(({"labels": f"a{separator}b"}, "labels") for separator in "、;；|\n\t"),
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
        validate(body(**fields), LIMITS)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("texts", "field"), [([], "texts"), (["a"] * 4, "texts"), (["a", ""], "texts[1]"), (["a"] * 3, "texts")]
)
def test_lists_of_texts_have_bounds_too(texts: list[str], field: str) -> None:
    """The last of these is 3 texts with 3 labels: 9 pairs, more than the 6 allowed."""
    with pytest.raises(InvalidRequest) as refusal:
        validate(convert({"texts": texts, "labels": "a,b,c"}, ClassifyBody), LIMITS)
    assert refusal.value.field == field


def test_neither_text_nor_texts_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="either text or texts"):
        validate(convert({"labels": "a"}, ClassifyBody), LIMITS)


def test_a_good_body_becomes_a_request() -> None:
    request = validate(body(multi_label=True, max_tokens=64), LIMITS)
    labels = ("投诉", "咨询")
    assert (request.pairs.rows, request.names, request.single) == ((Row("手机", labels),), labels, True)
    assert (len(request.pairs), request.multi_label, request.pairs.max_tokens) == (2, True, 64)


def test_pairs_with_equal_texts_share_a_row_and_equal_pairs_are_one() -> None:
    pairs = validate_pairs([("a", "x"), ("b", "x"), ("a", "y")], LIMITS, Source("inputs"))
    assert (pairs.rows, pairs.template, pairs.max_tokens) == ((Row("a", ("x", "y")), Row("b", ("x",))), "{}", None)
    assert len(validate_pairs([("a", "x"), ("a", "x")], LIMITS, Source("inputs"))) == 1


def test_what_special_tokens_are_changes_no_text() -> None:
    pairs = validate_pairs([("[SEP]", "[x")], LIMITS, Source("inputs"), "text")
    assert (pairs.rows, pairs.special_tokens) == ((Row("[SEP]", ("[x",)),), "text")
    pairs = validate(body(text="[" * 50), LIMITS, special_tokens="text").pairs
    assert (pairs.rows[0].text, pairs.special_tokens) == ("[" * 50, "text")


@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        ([], "inputs"),
        ([("a", "x")] * 4, "inputs"),
        ([("a", "x"), (" ", "x")], "inputs[1]"),
        ([("a", "")], "inputs[0]"),
        ([("a" * 51, "x")], "inputs[0]"),
        ([("a", "x" * 11)], "inputs[0]"),
    ],
)
def test_pairs_have_the_bounds_of_texts_and_labels(pairs: list[tuple[str, str]], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        validate_pairs(pairs, LIMITS, Source("inputs"))
    assert refusal.value.field == field
