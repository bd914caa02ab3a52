"""Compares the answers of an engine with those of the model's own pipeline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import VerificationError
from engine.verification.reference import Answer, Case, Reference

REPORT_FILE = "verification.json"
ROUNDED_PRECISIONS = ("bf16", "int8")
"""Those whose changed labels are counted, on more texts than the reference of other engines has."""
LABELS_ADVICE = (
    ". Without --samples the texts are Chinese: for a model of other languages, build from its snapshot "
    "with --languages, or with --samples of texts like your own"
)
TEXT_CHARACTERS = 40
"""Of a text that a report names."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest accepted difference between an engine of a precision and the reference."""

    max_logit_difference: float
    """Of a logit, and of a score as well, which differs by less than its logits."""
    decided_agreement: float
    """Minimum share of decided texts whose best label is that of the reference."""
    tie: float = 1e-4
    """Lead in the reference up to which a text is not decided: by default what separates FP32 engines."""


TOLERANCES = {
    "fp32": Tolerance(1e-4, 1.0),
    "fp16": Tolerance(0.05, 0.99, tie=0.05),
    "w8": Tolerance(0.5, 0.95, tie=0.5),
    "bf16": Tolerance(0.5, 0.99),
    "int8": Tolerance(0.5, 0.99),
}
"""Tolerance by precision. Measured on the embedded model and on a base-size model with random weights: fp32 1e-5,
fp16 0.003, bf16 0.01 to 0.26, int8 0.1 to 0.2 with 0.6% of the best labels changed on 2,106 texts."""


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a comparison; differences are absolute."""

    target: str
    precision: str
    texts: int
    pairs: int
    other_tokens: int
    """Texts with a pair whose token ids differ from those of the model's own tokenizer; none may."""
    max_logit_difference: float
    mean_logit_difference: float
    max_score_difference: float
    top1_agreement: float
    """Share of all texts whose best label is that of the reference; ties count, so it is only reported."""
    decided_texts: int
    """Texts whose best label leads the second by more than `Tolerance.tie` in the reference.

    Of `Case.foreign`, by more than logits may differ.
    """
    changed_texts: int
    """Decided texts with another best label."""
    decided_agreement: float
    """Top-1 agreement over the decided texts; 1 if there are none."""
    worst_text: str
    """The one whose tokens differ or, if all are equal, with the largest difference; its beginning."""
    tolerance: Tolerance
    passed: bool

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(self.json() + "\n", encoding="utf-8")

    def json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def sentence(self) -> str:
        """The result for people, on one line."""
        tokens = f"other tokens than the model's own tokenizer in {self.other_tokens} texts, "
        failed = "passed" if self.passed else f"FAILED, first for {self.worst_text!r}"
        return (
            f"{self.target} ({self.precision}): {tokens if self.other_tokens else ''}"
            f"max |Δlogit| {self.max_logit_difference:.2g}, |Δscore| {self.max_score_difference:.2g} "
            f"(at most {self.tolerance.max_logit_difference:g}), top-1 agreement {self.decided_agreement:.3f} "
            f"(at least {self.tolerance.decided_agreement:g}): {self.changed_texts} of {self.decided_texts} "
            f"decided texts have another best label, {self.top1_agreement:.3f} over all {self.texts}: "
            f"{failed}"
        )


def compare(
    reference: Reference, answers: Sequence[Answer], *, target: str, precision: str, tolerance: Tolerance
) -> Report:
    """Compare `answers`, one for each case of the reference, with its own; NaN never passes.

    Token ids must be equal; logits, scores and the best labels within the tolerance. `target` names what was run.
    """
    compared = [
        _compare(case, expected, answer, tolerance)
        for case, expected, answer in zip(reference.cases, reference.answers, answers, strict=True)
    ]
    other_tokens = [c for c in compared if not c.same_tokens]
    worst = (
        other_tokens[0]
        if other_tokens
        else max(compared, key=lambda c: max(c.logit_difference, c.score_difference))
    )
    decided = [c for c in compared if c.is_decided]
    logit_difference = max(c.logit_difference for c in compared)
    score_difference = max(c.score_difference for c in compared)
    agreement = float(np.mean([c.same_best for c in decided])) if decided else 1.0
    return Report(
        target=target,
        precision=precision,
        texts=len(compared),
        pairs=reference.pairs,
        other_tokens=len(other_tokens),
        max_logit_difference=logit_difference,
        mean_logit_difference=float(np.mean([c.mean_difference for c in compared])),
        max_score_difference=score_difference,
        top1_agreement=float(np.mean([c.same_best for c in compared])),
        decided_texts=len(decided),
        changed_texts=sum(not c.same_best for c in decided),
        decided_agreement=agreement,
        worst_text=worst.text,
        tolerance=tolerance,
        passed=not other_tokens
        and max(logit_difference, score_difference) <= tolerance.max_logit_difference
        and agreement >= tolerance.decided_agreement,
    )


@dataclass(frozen=True, slots=True)
class _ComparedText:
    text: str
    same_tokens: bool
    same_best: bool
    is_decided: bool
    logit_difference: float
    mean_difference: float
    score_difference: float


def _compare(case: Case, expected: Answer, answer: Answer, tolerance: Tolerance) -> _ComparedText:
    logit_differences = _differences(answer.logits, expected.logits)
    scores = dict(zip(answer.labels, answer.scores, strict=True))
    expected_scores = dict(zip(expected.labels, expected.scores, strict=True))
    score_differences = _differences(
        np.array([scores.get(label, np.nan) for label in case.labels]),
        np.array([expected_scores[label] for label in case.labels]),
    )
    best = _best_values(expected, case)
    # What a model answers in other languages than its own is noise, of which any rounding changes the order.
    tie = max(tolerance.tie, tolerance.max_logit_difference) if case.foreign else tolerance.tie
    return _ComparedText(
        text=case.text[:TEXT_CHARACTERS],
        same_tokens=answer.ids == expected.ids,
        same_best=answer.labels[0] == expected.labels[0],
        is_decided=len(best) == 1 or best[0] - best[1] > tie,
        logit_difference=float(logit_differences.max()),
        mean_difference=float(logit_differences.mean()),
        score_difference=float(score_differences.max()),
    )


def _best_values(expected: Answer, case: Case) -> list[float]:
    """What ranks the labels, best first: entailment, less contradiction where each label is scored by itself."""
    entailment, contradiction = expected.logits[:, 0], expected.logits[:, 2]
    values = entailment - contradiction if case.multi_label else entailment
    return sorted(map(float, values), reverse=True)


def _differences(values: NDArray[Any], expected: NDArray[Any]) -> NDArray[Any]:
    if values.shape != expected.shape:
        return np.full(expected.shape, np.finfo(np.float32).max)
    differences: NDArray[Any] = np.abs(values - expected)
    # JSON has no NaN and no infinity.
    differences[~np.isfinite(differences)] = np.finfo(np.float32).max
    return differences


def require_agreement(folder: Path, report: Report) -> Report:
    """Write the report to `folder`, and raise `VerificationError` if the comparison failed."""
    report.save(folder / REPORT_FILE)
    if not report.passed:
        advice = LABELS_ADVICE if report.precision in ROUNDED_PRECISIONS and report.changed_texts else ""
        raise VerificationError(f"{report.sentence()}; nothing was published{advice}")
    return report


def tolerance_of(precision: str, max_logit_difference: float | None = None) -> Tolerance:
    """The tolerance of a precision, with another `max_logit_difference` if one is given."""
    tolerance = TOLERANCES[precision]
    if max_logit_difference is None:
        return tolerance
    return replace(tolerance, max_logit_difference=max_logit_difference)
