"""What a check asks, what it judges by, and what it proposes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from zlib import crc32

import pytest

from tests.wanneng.advice.scorers import RuleScorer
from wanneng.advice.check import MAX_TEMPLATES, MIN_TEXTS, Advice, Check, Subject
from wanneng.advice.report import as_json, as_table, sentences
from wanneng.errors import CommandError

LABELS = ["退款", "退货", "物流", "其他"]
TEXTS = [f"{kind}{number}" for number in range(20) for kind in ("退", "送")]


def logit(text: str, hypothesis: str) -> float:
    """退款 and 退货 are the same, and 申请退款 is for the odd texts alone; a template with 关于 is better."""
    odd = int(text[1:]) % 2
    value = 0.0
    if "物流" in hypothesis:
        value = 1.0 if text[0] == "送" else -1.0
    elif "申请退款" in hypothesis:
        value = 6.0 if text[0] == "退" and odd else -3.0
    elif "退" in hypothesis:
        value = 1.0 if text[0] == "退" else -1.0
    return value * (4 if "关于" in hypothesis else 1.2 if "就是" in hypothesis else 1)


def dominated(text: str, hypothesis: str) -> float:
    return 9.0 if "其他" in hypothesis else logit(text, hypothesis)


def check(
    scorer: RuleScorer,
    subject: Subject | None = None,
    texts: Sequence[str] = TEXTS,
    templates: Sequence[str] = (),
    wanted: dict[str, list[str]] | None = None,
) -> Advice:
    return Check(scorer, subject or Subject(LABELS), texts, lambda done, total: None).run(templates, wanted or {})


def test_confusable_labels_are_named_and_clear_ones_are_not() -> None:
    advice = check(RuleScorer(logit))
    assert [pair.labels for pair in advice.confusable] == [("退款", "退货")]
    assert advice.dominant == []
    assert "退款 and 退货 are confusable: where one of them is first, the other is close in 100%" in next(
        sentences(advice)
    )


def test_a_dominant_label_is_named_with_the_share_that_it_would_need() -> None:
    advice = check(RuleScorer(dominated))
    assert [label.label for label in advice.dominant] == ["其他"]
    told = next(sentences(advice))
    assert (
        "其他 is dominant: it is first for 100% (95% CI 91 to 100%) of the texts. If it applies to fewer than 91%"
        in told
    )
    assert "threshold (none_of_these)" in told


def test_a_wording_is_proposed_where_it_separates_better() -> None:
    advice = check(RuleScorer(logit), wanted={"退款": ["申请退款", "退"]})
    proposed = {wording.label: wording for wording in advice.proposed_wordings}
    assert {label: wording.wording for label, wording in proposed.items()} == {
        "退款": "申请退款",
        "退货": "关于退货",
    }
    assert proposed["退款"].gain.bits.low > 0
    tried = {wording.wording: wording for wording in advice.wordings}
    # Those by rule are tried for both confusable labels, and most change nothing here.
    assert not tried["退货问题"].is_better
    assert tried["退货问题"].gain.bits.value == pytest.approx(0, abs=1e-9)


def test_the_gain_of_a_wording_is_that_of_asking_with_it() -> None:
    (found,) = (
        wording for wording in check(RuleScorer(logit), wanted={"退款": ["申请退款"]}).wordings
        if wording.wording == "申请退款"
    )  # fmt: skip
    labels = ["申请退款", *LABELS[1:]]
    whole, present = (check(RuleScorer(logit), Subject(names)).templates[0] for names in (labels, LABELS))
    assert found.gain.bits.value == pytest.approx(whole.information.value - present.information.value)


def test_a_better_template_is_proposed_and_a_worse_one_is_not() -> None:
    advice = check(RuleScorer(logit), templates=["关于{}"])
    assert advice.proposed_template is not None
    assert advice.proposed_template.template == "关于{}"
    assert any(
        "The template 关于{} separates the labels better than (default): +" in line for line in sentences(advice)
    )
    other_way = check(RuleScorer(logit), Subject(LABELS, "关于{}"), templates=["关于{}", "{}"])
    assert other_way.proposed_template is None
    assert [found.template for found in other_way.templates] == ["关于{}", "{}"]


def test_a_gain_that_is_sure_but_small_is_not_proposed() -> None:
    advice = check(RuleScorer(logit), templates=["就是{}"])
    _, other = advice.templates
    assert other.gain is not None
    assert other.gain.bits.low > 0
    assert other.adjusted_p_value < 1e-6
    assert advice.proposed_template is None


def test_templates_that_differ_by_chance_are_not_proposed() -> None:
    advice = check(
        RuleScorer(lambda text, hypothesis: crc32((text + hypothesis).encode()) % 7 / 7), templates=["a{}", "b{}"]
    )
    assert advice.proposed_template is None
    assert "No template gains 0.2 bits or more over (default)." in sentences(advice)


def test_few_texts_are_judged_for_labels_alone() -> None:
    scorer = RuleScorer(logit)
    advice = check(scorer, texts=TEXTS[: MIN_TEXTS - 1], templates=["关于{}"])
    assert advice.confusable
    assert (advice.wordings, advice.proposed_template) == ([], None)
    assert len(scorer.questions) == 1
    assert [*sentences(advice)][-1] == "Templates and wordings are compared from 30 texts; these are 29."


def test_a_label_sets_own_hypotheses_are_asked_whatever_the_template() -> None:
    scorer = RuleScorer(logit)
    check(scorer, Subject(LABELS, "用户要{}", {"其他": "无关的话"}), templates=["关于{}"])
    assert [question.wordings["其他"] for question in scorer.questions[:2]] == ["无关的话"] * 2
    assert [question.wordings["退款"] for question in scorer.questions[:2]] == ["用户要退款", "关于退款"]
    assert {question.template for question in scorer.questions} == {"{}"}


def test_labels_are_judged_by_the_scores_of_a_corrected_set_and_wordings_by_the_models_own() -> None:
    corrected = {"tickets@2": dict(zip(LABELS, (0.0, 0.0, 9.0, 0.0), strict=True))}
    advice = check(RuleScorer(logit, sets=corrected), Subject(LABELS, "{}", {}, "tickets@2"))
    assert [label.label for label in advice.dominant] == ["物流"]
    assert advice.templates[0].information.value > 0.3


def test_refused_texts_are_left_out_of_everything() -> None:
    kept = [text for text in TEXTS if text != "退3"]
    refusing, plain = check(RuleScorer(logit, refused=["退3"])), check(RuleScorer(logit), texts=kept)
    assert refusing.refusals == [(TEXTS.index("退3"), "the text is unknown")]
    assert (refusing.texts, refusing.labels, refusing.wordings) == (39, plain.labels, plain.wordings)


def test_progress_is_told_for_each_answer_of_all_questions() -> None:
    seen = []
    check_ = Check(RuleScorer(logit), Subject(LABELS), TEXTS, lambda done, total: seen.append((done, total)))
    check_.run(["关于{}"], {})
    assert [done for done, _ in seen] == list(range(1, 121))
    assert seen[-1] == (120, 120)


@pytest.mark.parametrize(
    ("subject", "templates", "message"),
    [
        (Subject(["退款"]), [], "the number of labels is 1; from 2 to 256 can be checked"),
        (Subject([str(n) for n in range(257)]), [], "the number of labels is 257"),
        (Subject(["退款", "退款"]), [], "'退款' is given twice"),
        (Subject(LABELS), ["关于"], r"exactly one \{\}"),
        (Subject(LABELS, "关于"), [], r"exactly one \{\}"),
        (Subject(LABELS), [f"{n}{{}}" for n in range(MAX_TEMPLATES)], "9 templates, at most 8"),
        (Subject(LABELS, "{}", {"其他": "退款"}), [], "have the same wording"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is(
    subject: Subject, templates: list[str], message: str
) -> None:
    scorer = RuleScorer(logit)
    with pytest.raises(CommandError, match=message):
        check(scorer, subject, templates=templates)
    assert scorer.questions == []


def test_nothing_is_said_where_every_text_is_refused() -> None:
    with pytest.raises(CommandError, match="all texts were refused; the first one: the text is unknown"):
        check(RuleScorer(logit, refused=TEXTS))


def test_reports_are_the_same_bytes_and_obey_no_label() -> None:
    labels = ["a\u202eb", "<b>", "\x1b[31m"]
    reports = []
    for _ in range(2):
        advice = check(RuleScorer(lambda text, hypothesis: 9.0 * (hypothesis == labels[0])), Subject(labels))
        reports.append((as_table(advice), as_json(advice, "texts.txt", {"kind": "rule"})))
    assert reports[0] == reports[1]
    table, document = reports[0]
    assert not {"\u202e", "\x1b"} & set(table)
    content = json.loads(document)
    assert [label["label"] for label in content["labels"]] == labels
    assert content["target"] == {"kind": "rule", "model": "rule-1"}
    assert content["advice"]


def test_many_pairs_are_cut_in_the_table_but_not_those_that_are_confusable() -> None:
    labels = [f"label{number}" for number in range(14)]
    advice = check(RuleScorer(lambda text, hypothesis: 0.0), Subject(labels), texts=TEXTS * 3)
    assert len(advice.confusable) == 13
    assert len([line for line in as_table(advice).splitlines() if line.endswith("confusable")]) == 13
