from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.errors import TargetError, VerificationError
from engine.verification.compare import Report, Tolerance, compare, prove, tolerance_of
from engine.verification.reference import Reference, Row, load_reference, padded

# Two texts with two labels each; the first label of each leads by 2.
LOGITS = np.array([[3, 0, 0], [1, 0, 0], [5, 0, 0], [3, 0, 0]], dtype=np.float32)
ROWS = [Row(np.arange(length), np.zeros(length, dtype=np.int64)) for length in (3, 5, 2, 4)]
REFERENCE = Reference(ROWS, np.array([0, 0, 1, 1]), LOGITS, "abc")
TOLERANCE = Tolerance(1.5, 0.9)


def report(logits: np.ndarray, reference: Reference = REFERENCE) -> Report:
    return compare(reference, logits, target="x", precision="int8", tolerance=TOLERANCE)


def off(place: tuple[int, int], by: float) -> np.ndarray:
    logits = LOGITS.copy()
    logits[place] += by
    return logits


def test_equal_logits_pass() -> None:
    found = report(LOGITS)
    assert found.passed
    assert (found.max_logit_difference, found.top1_agreement, found.decided_texts) == (0, 1, 2)


def test_one_logit_beyond_the_tolerance_fails_and_is_named() -> None:
    found = report(off((2, 1), 1.6))
    assert not found.passed
    assert found.worst_pair == 2
    assert "FAILED" in found.sentence()


def test_a_changed_answer_fails_though_every_logit_is_near() -> None:
    """Both labels of the first text move by less than the tolerance, towards and past each other."""
    logits = LOGITS.copy()
    logits[0, 0] -= 1.2
    logits[1, 0] += 1.2
    found = report(logits)
    assert found.max_logit_difference < TOLERANCE.max_logit_difference
    assert found.decided_agreement == 0.5
    assert not found.passed


def test_a_near_tie_of_the_reference_is_told_and_not_judged() -> None:
    near = LOGITS.copy()
    near[0, 0] = 1.1
    reference = Reference(ROWS, REFERENCE.texts, near, "abc")
    changed = near.copy()
    changed[1, 0] = 1.3
    found = report(changed, reference)
    assert (found.top1_agreement, found.decided_texts, found.decided_agreement) == (0.5, 1, 1)
    assert found.passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_never_passes(value: float) -> None:
    found = report(off((3, 2), value))
    assert not found.passed
    assert json.loads(found.json(), parse_constant=float.fromhex)["max_logit_difference"] > 1e38


def test_a_failed_proof_leaves_its_report_and_raises(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="nothing was published"):
        prove(tmp_path, REFERENCE, off((0, 0), -9), name="x", precision="int8", tolerance=TOLERANCE)
    assert json.loads((tmp_path / "verification.json").read_text(encoding="utf-8"))["passed"] is False


def test_a_users_tolerance_replaces_the_difference_alone() -> None:
    own = tolerance_of("int8")
    assert tolerance_of("int8", 0.9) == Tolerance(0.9, own.decided_agreement)


def test_a_reference_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    REFERENCE.save(tmp_path / "r.npz")
    again = load_reference(tmp_path / "r.npz")
    assert [row.ids.tolist() for row in again.rows] == [row.ids.tolist() for row in ROWS]
    np.testing.assert_array_equal(again.logits, LOGITS)
    np.testing.assert_array_equal(again.texts, REFERENCE.texts)
    assert again.weights_sha256 == "abc"


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04broken"])
def test_a_file_of_another_kind_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.npz").write_bytes(content)
    with pytest.raises(TargetError, match=r"r\.npz is not what"):
        load_reference(tmp_path / "r.npz")


def test_padding_is_masked() -> None:
    arrays = padded(ROWS, 8)
    assert arrays["attention_mask"].sum(axis=1).tolist() == [3, 5, 2, 4]
    assert arrays["input_ids"].shape == (4, 8)
    assert not arrays["input_ids"][arrays["attention_mask"] == 0].any()
