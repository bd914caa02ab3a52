"""Compares an engine's logits with the reference's and gives a verdict. Knows nothing about engines or servers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import VerificationError
from engine.verification.reference import Reference

FILE_NAME = "verification.json"
ENTAILMENT = 0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an engine of one precision may be off."""

    max_logit_difference: float
    decided_agreement: float
    """Least share of decided texts whose best label is the reference's."""


TOLERANCES = {
    "fp32": Tolerance(1e-4, 1.0),
    "fp16": Tolerance(0.05, 0.99),
    "w8": Tolerance(0.5, 0.95),
    "int8": Tolerance(0.5, 0.95),
}
"""By precision. Seen on the embedded model and on a random base-size one: fp32 1e-5, fp16 0.003, int8 0.07 to 0.2
with 0.3 to 0.7% of top labels changed on 1,200 texts."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared, what was found, and whether that will do."""

    target: str
    precision: str
    texts: int
    pairs: int
    max_logit_difference: float
    mean_logit_difference: float
    top1_agreement: float
    """Over all texts; near-ties of the reference count, so it is told and not judged."""
    decided_texts: int
    """Texts whose best label leads the second by more than the tolerated difference in the reference."""
    decided_agreement: float
    """Top-1 agreement over those; 1 when there are none."""
    worst_pair: int
    """Place of the pair with the largest difference in the reference."""
    tolerance: Tolerance
    passed: bool

    def save(self, path: Path) -> None:
        path.write_text(self.json() + "\n", encoding="utf-8")

    def json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def sentence(self) -> str:
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
    """The verdict on `logits` `[n, 3]`, in the order of the reference's rows. NaN never passes."""
    differences = np.abs(logits - reference.logits)
    # The largest number stands for what is none, which JSON cannot write.
    differences[~np.isfinite(differences)] = np.finfo(np.float32).max
    agreed, decided = [], []
    for text in np.unique(reference.texts):
        got, known = (
            logits[reference.texts == text, ENTAILMENT],
            reference.logits[reference.texts == text, ENTAILMENT],
        )
        first, *others = sorted(known, reverse=True)
        agreed.append(bool(np.argmax(got) == np.argmax(known)))
        decided.append(not others or first - others[0] > tolerance.max_logit_difference)
    worst = float(differences.max())
    certain = [agreement for agreement, is_decided in zip(agreed, decided, strict=True) if is_decided]
    agreement = float(np.mean(certain)) if certain else 1.0
    return Report(
        target=target,
        precision=precision,
        texts=len(agreed),
        pairs=len(logits),
        max_logit_difference=worst,
        mean_logit_difference=float(differences.mean()),
        top1_agreement=float(np.mean(agreed)),
        decided_texts=len(certain),
        decided_agreement=agreement,
        worst_pair=int(differences.max(axis=1).argmax()),
        tolerance=tolerance,
        passed=worst <= tolerance.max_logit_difference and agreement >= tolerance.decided_agreement,
    )


def prove(
    folder: Path,
    reference: Reference,
    logits: NDArray[np.float32],
    *,
    name: str,
    precision: str,
    tolerance: Tolerance,
) -> Report:
    """Compare, write the report beside the engine in `folder`, and refuse to go on when it failed."""
    report = compare(reference, logits, target=name, precision=precision, tolerance=tolerance)
    report.save(folder / FILE_NAME)
    if not report.passed:
        raise VerificationError(f"{report.sentence()}; nothing was published")
    return report


def tolerance_of(precision: str, max_logit_difference: float | None = None) -> Tolerance:
    """The precision's own, with another largest difference where one is given."""
    own = TOLERANCES[precision]
    return own if max_logit_difference is None else replace(own, max_logit_difference=max_logit_difference)
