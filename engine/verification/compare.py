"""Compares the logits of an engine with those of the reference."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import VerificationError
from engine.verification.reference import Reference

REPORT_FILE = "verification.json"
ENTAILMENT = 0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest accepted difference between an engine of a precision and the reference."""

    max_logit_difference: float
    decided_agreement: float
    """Minimum share of decided texts whose best label is that of the reference."""


TOLERANCES = {
    "fp32": Tolerance(1e-4, 1.0),
    "fp16": Tolerance(0.05, 0.99),
    "w8": Tolerance(0.5, 0.95),
    "int8": Tolerance(0.5, 0.95),
}
"""Tolerance by precision. Measured on the embedded model and on a base-size model with random weights: fp32 1e-5,
fp16 0.003, int8 0.07 to 0.2 with 0.3 to 0.7% of the best labels changed on 1,200 texts."""


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a comparison; differences are absolute, in logits."""

    target: str
    precision: str
    texts: int
    pairs: int
    max_logit_difference: float
    mean_logit_difference: float
    top1_agreement: float
    """Share of all texts whose best label is that of the reference; near-ties count, so it is only reported."""
    decided_texts: int
    """Texts whose best label leads the second by more than the tolerance in the reference."""
    decided_agreement: float
    """Top-1 agreement over the decided texts; 1 if there are none."""
    worst_pair: int
    """Index, in the reference, of the pair with the largest difference."""
    tolerance: Tolerance
    passed: bool

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(self.json() + "\n", encoding="utf-8")

    def json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def sentence(self) -> str:
        """The result for people, on one line."""
        return (
            f"{self.target} ({self.precision}): max |Δlogit| {self.max_logit_difference:.2g} "
            f"(at most {self.tolerance.max_logit_difference:g}), top-1 agreement {self.decided_agreement:.3f} "
            f"(at least {self.tolerance.decided_agreement:g}) over {self.decided_texts} decided texts, "
            f"{self.top1_agreement:.3f} over all {self.texts}: "
            f"{'passed' if self.passed else 'FAILED'}"
        )


def compare(
    reference: Reference, logits: NDArray[np.float32], *, target: str, precision: str, tolerance: Tolerance
) -> Report:
    """Compare `logits` (`[n, 3]`, in the order of the reference's rows) with the reference; NaN never passes.

    `target` names what was run.
    """
    differences = np.abs(logits - reference.logits)
    # JSON has no NaN and no infinity.
    differences[~np.isfinite(differences)] = np.finfo(np.float32).max
    agreed, agreed_if_decided = [], []
    for text in np.unique(reference.texts):
        entailment = logits[reference.texts == text, ENTAILMENT]
        expected = reference.logits[reference.texts == text, ENTAILMENT]
        agreed.append(bool(np.argmax(entailment) == np.argmax(expected)))
        best, *others = sorted(expected, reverse=True)
        if not others or best - others[0] > tolerance.max_logit_difference:
            agreed_if_decided.append(agreed[-1])
    max_difference = float(differences.max())
    decided_agreement = float(np.mean(agreed_if_decided)) if agreed_if_decided else 1.0
    return Report(
        target=target,
        precision=precision,
        texts=len(agreed),
        pairs=len(logits),
        max_logit_difference=max_difference,
        mean_logit_difference=float(differences.mean()),
        top1_agreement=float(np.mean(agreed)),
        decided_texts=len(agreed_if_decided),
        decided_agreement=decided_agreement,
        worst_pair=int(differences.max(axis=1).argmax()),
        tolerance=tolerance,
        passed=max_difference <= tolerance.max_logit_difference
        and decided_agreement >= tolerance.decided_agreement,
    )


def require_agreement(
    folder: Path,
    reference: Reference,
    logits: NDArray[np.float32],
    *,
    name: str,
    precision: str,
    tolerance: Tolerance,
) -> Report:
    """Compare, write the report to `folder`, and raise `VerificationError` if the comparison failed.

    `name` is the name of the engine; the other arguments are those of `compare`.
    """
    report = compare(reference, logits, target=name, precision=precision, tolerance=tolerance)
    report.save(folder / REPORT_FILE)
    if not report.passed:
        raise VerificationError(f"{report.sentence()}; nothing was published")
    return report


def tolerance_of(precision: str, max_logit_difference: float | None = None) -> Tolerance:
    """The tolerance of a precision, with another `max_logit_difference` if one is given."""
    tolerance = TOLERANCES[precision]
    if max_logit_difference is None:
        return tolerance
    return replace(tolerance, max_logit_difference=max_logit_difference)
