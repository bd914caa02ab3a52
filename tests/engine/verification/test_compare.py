from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import TargetError, VerificationError
from engine.verification.compare import Report, Tolerance, compare, require_agreement, tolerance_of
from engine.verification.reference import (
    Answer,
    Case,
    Reference,
    load_reference,
)
from engine.verification.served_engine import answer_of

# Two texts with two labels each; the first label leads by 2.
CASES = [Case("一", ("甲", "乙")), Case("二", ("甲", "乙"), multi_label=True)]
LOGITS = [np.array(rows, dtype=np.float32) for rows in ([[3, 0, 0], [1, 0, 0]], [[5, 0, 0], [3, 0, 0]])]
TOLERANCE = Tolerance(1.5, 0.9, tie=1.5)


def answers(logits: list[np.ndarray]) -> list[Answer]:
    rows = {"input_ids": np.array([[2, 5], [2, 6]]), "attention_mask": np.ones((2, 2), dtype=np.int64)}
    return [answer_of(case, rows, values) for case, values in zip(CASES, logits, strict=True)]


REFERENCE = Reference(CASES, answers(LOGITS), "modelscope 1.0", "abc")


def report(given: list[Answer], reference: Reference = REFERENCE) -> Report:
    return compare(reference, given, target="x", precision="int8", tolerance=TOLERANCE)


def with_difference(text: int, index: tuple[int, int], difference: float) -> list[Answer]:
    logits = [values.copy() for values in LOGITS]
    logits[text][index] += difference
    return answers(logits)


def test_equal_answers_pass() -> None:
    result = report(answers(LOGITS))
    assert result.passed
    assert (result.max_logit_difference, result.max_score_difference, result.other_tokens) == (0, 0, 0)
    assert (result.top1_agreement, result.decided_texts, result.pairs) == (1, 2, 4)


def test_a_logit_beyond_the_tolerance_fails_and_is_located() -> None:
    result = report(with_difference(1, (0, 1), 1.6))
    assert not result.passed
    assert result.worst_text == "二"
    assert "FAILED, first for '二'" in result.sentence()


def test_a_case_in_a_language_that_the_model_is_not_for_counts_only_where_its_label_leads_clearly() -> None:
    """By more than logits may differ: 1.6 here; the labels lead by 2."""
    changed = with_difference(0, (0, 0), -2.1)
    foreign = [replace(case, foreign=True) for case in CASES]
    for lead, decided in ((1.6, 2), (2.5, 0)):
        tolerance = Tolerance(lead, 0.9)
        native = compare(REFERENCE, changed, target="x", precision="int8", tolerance=tolerance)
        other = compare(
            replace(REFERENCE, cases=foreign), changed, target="x", precision="int8", tolerance=tolerance
        )
        assert (native.decided_texts, native.decided_agreement) == (2, 0.5)
        assert (other.decided_texts, other.changed_texts) == (decided, decided // 2)


@pytest.mark.parametrize(("changed", "passed"), [(0, True), (1, True), (2, False)])
def test_an_int8_engine_that_changes_more_than_one_best_label_in_a_hundred_is_refused(
    changed: int, passed: bool
) -> None:
    """Even of labels that lead by little; what FP32 itself may order either way has no best label."""
    rows = {"input_ids": np.array([[2, 5], [2, 6]]), "attention_mask": np.ones((2, 2), dtype=np.int64)}
    cases = [Case(str(number), ("甲", "乙")) for number in range(110)]
    expected = np.array([[1.0, 0, 0], [0.999, 0, 0]], dtype=np.float32)
    other = np.array([[1.0, 0, 0], [1.001, 0, 0]], dtype=np.float32)
    tie = np.array([[1.0, 0, 0], [0.99995, 0, 0]], dtype=np.float32)
    exact = [answer_of(case, rows, expected if n < 100 else tie) for n, case in enumerate(cases)]
    reference = Reference(cases, exact, "modelscope 1.0", "abc")
    given = [answer_of(case, rows, other) if n < changed or n >= 100 else exact[n] for n, case in enumerate(cases)]
    result = compare(reference, given, target="x", precision="int8", tolerance=tolerance_of("int8"))
    assert result.passed == passed, result.sentence()
    assert f"{changed} of 100 decided texts have another best label" in result.sentence()


def test_other_token_ids_never_pass() -> None:
    """Even where the logits are equal, as for tokens that the model does not tell apart."""
    first, second = answers(LOGITS)
    result = report([first, replace(second, ids=((2, 5), (2, 7)))])
    assert not result.passed
    assert (result.other_tokens, result.worst_text) == (1, "二")
    assert "other tokens than the model's own tokenizer in 1 texts" in result.sentence()


def test_another_rule_of_scores_is_caught_although_every_logit_is_equal() -> None:
    """The scores of one label for each pair, in place of those over the labels."""
    first, second = answers(LOGITS)
    strict = replace(TOLERANCE, max_logit_difference=1e-4)
    wrong = replace(first, scores=(0.9, 0.8))
    result = compare(REFERENCE, [wrong, second], target="x", precision="fp32", tolerance=strict)
    assert result.max_logit_difference == 0
    assert not result.passed


def test_a_changed_best_label_fails_although_every_logit_is_within_the_tolerance() -> None:
    """The logits of the first text's labels change by less than the tolerance, and change places."""
    logits = [values.copy() for values in LOGITS]
    logits[0][0, 0] -= 1.2
    logits[0][1, 0] += 1.2
    result = report(answers(logits))
    assert result.max_logit_difference < TOLERANCE.max_logit_difference
    assert result.decided_agreement == 0.5
    assert not result.passed


def test_a_near_tie_of_the_reference_is_reported_but_does_not_fail() -> None:
    near = [values.copy() for values in LOGITS]
    near[0][0, 0] = 1.1
    changed = [values.copy() for values in near]
    changed[0][1, 0] = 1.3
    result = report(answers(changed), replace(REFERENCE, answers=answers(near)))
    assert (result.top1_agreement, result.decided_texts, result.decided_agreement) == (0.5, 1, 1)
    assert result.passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_never_pass(value: float) -> None:
    result = report(with_difference(1, (1, 1), value))
    assert not result.passed
    assert json.loads(result.json(), parse_constant=float.fromhex)["max_logit_difference"] > 1e38


def test_a_failed_comparison_writes_its_report_and_raises(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="nothing was published"):
        require_agreement(tmp_path, report(with_difference(0, (0, 0), -9)))
    assert json.loads((tmp_path / "verification.json").read_text(encoding="utf-8"))["passed"] is False


def test_a_given_tolerance_replaces_the_logit_difference_only() -> None:
    assert tolerance_of("int8", 0.9) == replace(tolerance_of("int8"), max_logit_difference=0.9)


def test_a_saved_reference_is_loaded_unchanged(tmp_path: Path) -> None:
    REFERENCE.save(tmp_path / "r.json")
    loaded = load_reference(tmp_path / "r.json")
    assert loaded.cases == CASES
    assert (loaded.pipeline, loaded.weights_sha256) == ("modelscope 1.0", "abc")
    for answer, expected in zip(loaded.answers, REFERENCE.answers, strict=True):
        assert (answer.labels, answer.ids) == (expected.labels, expected.ids)
        assert answer.scores == pytest.approx(expected.scores, abs=1e-8)
        np.testing.assert_array_equal(answer.logits, expected.logits)


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b"[]", b'{"cases": []}', b'{"cases": [{}]}'])
def test_an_invalid_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(TargetError, match=r"r\.json is not a file of"):
        load_reference(tmp_path / "r.json")
