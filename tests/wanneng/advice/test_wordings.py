"""Wordings by rule and by the caller, and what is refused."""

from __future__ import annotations

import pytest

from wanneng.advice.wordings import by_rule, candidates, is_catch_all, parse
from wanneng.errors import CommandError

LABELS = ["退款", "物流", "other"]


def test_rules_follow_the_language_of_the_label() -> None:
    assert by_rule("退款") == ["退款类", "退款问题", "退款相关", "关于退款"]
    assert by_rule("refund") == ["refund issue", "about refund", "related to refund"]


def test_labels_for_the_rest_are_known_however_they_are_written() -> None:
    assert is_catch_all(" 其他")
    assert is_catch_all("Ｏther")
    assert not is_catch_all("其他费用")


def test_wordings_are_given_by_label() -> None:
    assert parse(["退款=申请退款", "退款 = 要求=退钱", "物流=快递"], LABELS) == {
        "退款": ["申请退款", "要求=退钱"],
        "物流": ["快递"],
    }


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("退款", "is not LABEL=WORDING, such as 退款=申请退款"),
        ("退款=", "is not LABEL=WORDING"),
        ("=x", "is not LABEL=WORDING"),
        ("退货=x", "'退货' is none of the labels 退款, 物流, other"),
        ("退款=Other", "'Other' is a label already"),
    ],
)
def test_what_cannot_be_tried_is_one_sentence(option: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        parse([option], LABELS)


def test_wanted_wordings_come_before_those_by_rule_and_none_twice() -> None:
    found = candidates(LABELS, ["退款", "物流"], {"物流": ["退款类", "退款类 "]}, 6)
    assert found == {
        "退款类": "物流",
        "退款问题": "退款",
        "退款相关": "退款",
        "关于退款": "退款",
        "物流类": "物流",
        "物流问题": "物流",
    }


def test_more_wanted_wordings_than_can_be_asked_are_refused() -> None:
    with pytest.raises(CommandError, match="--try names 3 wordings, at most 2 with 3 labels"):
        candidates(LABELS, [], {"物流": ["a", "b", "c"]}, 2)
