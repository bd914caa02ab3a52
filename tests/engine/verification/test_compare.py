from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.errors import TargetError, VerificationError
from engine.verification.compare import Report, Tolerance, compare, require_agreement, tolerance_of
from engine.verification.reference import Reference, TokenRow, load_reference, pad_rows

# Two texts with two labels each; the first label leads by 2.
LOGITS = np.array([[3, 0, 0], [1, 0, 0], [5, 0, 0], [3, 0, 0]], dtype=np.float32)
ROWS = [TokenRow(np.arange(length), np.zeros(length, dtype=np.int64)) for length in (3, 5, 2, 4)]
REFERENCE = Reference(ROWS, np.array([0, 0, 1, 1]), LOGITS, "abc")
TOLERANCE = Tolerance(1.5, 0.9)


def report(logits: np.ndarray, reference: Reference = REFERENCE) -> Report:
    return compare(reference, logits, target="x", precision="int8", tolerance=TOLERANCE)


def with_difference(index: tuple[int, int], difference: float) -> np.ndarray:
    logits = LOGITS.copy()
    logits[index] += difference
    return logits


def test_equal_logits_pass() -> None:
    result = report(LOGITS)
    assert result.passed
    assert (result.max_logit_difference, result.top1_agreement, result.decided_texts) == (0, 1, 2)


def test_a_logit_beyond_the_tolerance_fails_and_is_located() -> None:
    result = report(with_difference((2, 1), 1.6))
    assert not result.passed
    assert result.worst_pair == 2
    assert "FAILED" in result.sentence()


def test_a_changed_best_label_fails_although_every_logit_is_within_the_tolerance() -> None:
    """The logits of the first text's labels change by less than the tolerance, and change places."""
    logits = LOGITS.copy()
    logits[0, 0] -= 1.2
    logits[1, 0] += 1.2
    result = report(logits)
    assert result.max_logit_difference < TOLERANCE.max_logit_difference
    assert result.decided_agreement == 0.5
    assert not result.passed


def test_a_near_tie_of_the_reference_is_reported_but_does_not_fail() -> None:
    near = LOGITS.copy()
    near[0, 0] = 1.1
    reference = Reference(ROWS, REFERENCE.texts, near, "abc")
    changed = near.copy()
    changed[1, 0] = 1.3
    result = report(changed, reference)
    assert (result.top1_agreement, result.decided_texts, result.decided_agreement) == (0.5, 1, 1)
    assert result.passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_never_pass(value: float) -> None:
    result = report(with_difference((3, 2), value))
    assert not result.passed
    assert json.loads(result.json(), parse_constant=float.fromhex)["max_logit_difference"] > 1e38


def test_a_failed_comparison_writes_its_report_and_raises(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="nothing was published"):
        require_agreement(
            tmp_path, REFERENCE, with_difference((0, 0), -9), name="x", precision="int8", tolerance=TOLERANCE
        )
    assert json.loads((tmp_path / "verification.json").read_text(encoding="utf-8"))["passed"] is False


def test_a_given_tolerance_replaces_the_logit_difference_only() -> None:
    assert tolerance_of("int8", 0.9) == Tolerance(0.9, tolerance_of("int8").decided_agreement)


def test_a_saved_reference_is_loaded_unchanged(tmp_path: Path) -> None:
    REFERENCE.save(tmp_path / "r.npz")
    loaded = load_reference(tmp_path / "r.npz")
    assert [row.ids.tolist() for row in loaded.rows] == [row.ids.tolist() for row in ROWS]
    np.testing.assert_array_equal(loaded.logits, LOGITS)
    np.testing.assert_array_equal(loaded.texts, REFERENCE.texts)
    assert loaded.weights_sha256 == "abc"


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04broken"])
def test_an_invalid_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.npz").write_bytes(content)
    with pytest.raises(TargetError, match=r"r\.npz is not a file of"):
        load_reference(tmp_path / "r.npz")


def test_padding_is_masked() -> None:
    arrays = pad_rows(ROWS, 8)
    assert arrays["attention_mask"].sum(axis=1).tolist() == [3, 5, 2, 4]
    assert arrays["input_ids"].shape == (4, 8)
    assert not arrays["input_ids"][arrays["attention_mask"] == 0].any()
