"""What is asked of whom, and what becomes of the answers."""

from __future__ import annotations

import pytest

from tests.wanneng.evaluation.answers import TableTarget, evaluation, examples
from wanneng.errors import CommandError
from wanneng.evaluation.run import evaluate, variants

LABELS = ["投诉", "咨询"]
TARGETS = [TableTarget("one", {}), TableTarget("two", {})]


def test_every_target_is_asked_with_every_template_and_wording() -> None:
    asked = variants(TARGETS, LABELS, ["{}", "关于{}"], {"polite.json": {"投诉": "有意见"}, "plain.json": {}})
    assert len(asked) == 8
    assert len({variant.name for variant in asked}) == 8
    assert asked[0].name == "one, {}, polite.json"
    assert asked[0].question.wordings == {"投诉": "有意见", "咨询": "咨询"}
    assert asked[3].question.template == "关于{}"


def test_label_sets_come_in_place_of_the_plain_question_or_beside_templates() -> None:
    alone = variants(TARGETS[:1], LABELS, label_sets=["tickets@1", "tickets@2"])
    assert [(v.name, v.question.label_set) for v in alone] == [(n, n) for n in ("tickets@1", "tickets@2")]
    beside = variants(TARGETS[:1], LABELS, ["关于{}"], label_sets=["tickets"])
    assert [(v.name, v.question.template) for v in beside] == [("关于{}", "关于{}"), ("tickets", None)]


def test_one_variant_is_named_after_its_target() -> None:
    assert [variant.name for variant in variants(TARGETS[:1], LABELS)] == ["one"]


def test_targets_of_one_name_are_numbered() -> None:
    same = [TableTarget("embedded", {}), TableTarget("embedded", {})]
    assert [variant.name for variant in variants(same, LABELS)] == ["embedded", "embedded (2)"]


@pytest.mark.parametrize(
    ("templates", "wordings", "message"),
    [
        (["关于"], None, "exactly one {}"),
        (["{}{}"], None, "exactly one {}"),
        ([], {"w": {"投诉": "咨询"}}, "'投诉' and '咨询' have the same wording"),
        ([], {"w": {"投诉": " "}}, "the wording of the label '投诉' is empty"),
        (["{}"] * 9, None, "18 combinations"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_before_any_is(
    templates: list[str], wordings: dict[str, dict[str, str]] | None, message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        variants(TARGETS, LABELS, templates, wordings)
    assert not any(target.questions for target in TARGETS)


def test_answers_are_scored_compared_and_counted() -> None:
    target = TableTarget("one", {"甲": ("投诉", 0.9), "乙": ("投诉", 0.6), "丁": ("别的", 0.3)})
    seen = []
    found = evaluate(
        examples(("甲", "投诉"), ("乙", "咨询"), ("丙", "咨询"), ("丁", None)),
        LABELS,
        variants([target], LABELS),
        progress=lambda: seen.append(1),
        clock=iter([1.0, 3.5]).__next__,
    )
    (result,) = found.results
    assert result.scores.accuracy.value == pytest.approx(1 / 3)
    assert (result.model, result.duration_s) == ("one-1", 2.5)
    assert found.labels == ["投诉", "咨询", "别的"]
    assert found.refusals == [("row 3", "the text is unknown")]
    assert (found.comparisons, len(seen)) == ([], 4)


def test_texts_of_no_label_take_no_part_in_the_comparison() -> None:
    (comparison,) = evaluation(LABELS).comparisons
    assert (comparison.only_first, comparison.only_second) == (24, 0)
    assert comparison.difference.value == pytest.approx(0.6)
