"""What was promised, against what was measured: a verdict with an exit code. Measures nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.errors import LoadError


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, from the moment at which it was due."""

    kind: str
    tenant: str
    seconds: float
    fault: str | None
    """What was wrong, in few words; None when nothing was."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A load, and what holds under it."""

    name: str
    rate: float
    """Requests a second, on average."""
    p50_s: float
    p95_s: float
    p99_s: float
    fault_rate: float = 0.0
    """Share of requests that may fail."""
    rate_reached: float = 0.9
    """Least share of the requests that were due and were answered by the end."""
    fairness: float = 0.0
    """Most that the p99 of the slowest tenant may be of the fastest's; 0: any. `noisy` tenants are left out."""


BUDGETS = {
    budget.name: budget
    for budget in (
        # One shop, a form or a chat now and then.
        Budget("small", 1.5, 0.2, 0.5, 0.8),
        # A team's inbox.
        Budget("middle", 7.5, 0.1, 0.2, 0.3),
        # A product, on GPUs.
        Budget("large", 60.0, 0.05, 0.1, 0.15, fairness=2.0),
    )
}
TIMED = frozenset({"inline", "label_set", "hugging_face", "triton"})
"""Somebody waits for these; nobody for bulk."""
NOISY = "noisy"


@dataclass(frozen=True, slots=True)
class Line:
    """One promise and what became of it."""

    what: str
    promised: str
    measured: str
    kept: bool

    def __str__(self) -> str:
        verdict = "kept  " if self.kept else "BROKEN"
        return f"{verdict} {self.what}: {self.measured}, promised {self.promised}"


def budget_of(name: str) -> Budget:
    if name not in BUDGETS:
        raise LoadError(f"no load {name}; there are {', '.join(BUDGETS)}")
    return BUDGETS[name]


def judge(budget: Budget, samples: Sequence[Sample], due: int) -> list[Line]:
    """Each promise of the budget; `due` is how many requests should have been answered."""
    times = sorted(one.seconds for one in samples if one.kind in TIMED and one.fault is None)
    faults = [one for one in samples if one.fault is not None]
    lines = []
    for name, share, most in (
        ("p50", 0.5, budget.p50_s),
        ("p95", 0.95, budget.p95_s),
        ("p99", 0.99, budget.p99_s),
    ):
        got = percentile(times, share)
        lines.append(Line(name, f"≤ {most * 1000:.0f} ms", f"{got * 1000:.0f} ms", got <= most))
    rate = len(faults) / len(samples) if samples else 1.0
    lines.append(
        Line("failed", f"≤ {budget.fault_rate:.2%}", f"{rate:.2%} of {len(samples)}", rate <= budget.fault_rate)
    )
    reached = len(samples) / due if due else 0.0
    lines.append(
        Line(
            "answered of those due",
            f"≥ {budget.rate_reached:.0%}",
            f"{reached:.0%}",
            reached >= budget.rate_reached,
        )
    )
    if budget.fairness:
        slow = [percentile(found, 0.99) for name, found in _by_tenant(samples).items() if NOISY not in name]
        ratio = max(slow) / min(slow) if slow and min(slow) > 0 else float("inf")
        lines.append(
            Line("slowest tenant by fastest", f"≤ {budget.fairness:.1f}", f"{ratio:.2f}", ratio <= budget.fairness)
        )
    return lines


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank of ascending values; infinite when there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")


def write_report(path: Path, budget: Budget, lines: Sequence[Line], samples: Sequence[Sample]) -> None:
    """The verdict as JSON: what was promised and measured, faults by what was wrong, p99 by tenant."""
    report = {
        "load": budget.name,
        "kept": all(line.kept for line in lines),
        "answered": len(samples),
        "promises": {line.what: {"promised": line.promised, "measured": line.measured} for line in lines},
        "faults": Counter(one.fault for one in samples if one.fault is not None),
        "p99_ms_by_tenant": {
            name: round(percentile(found, 0.99) * 1000, 1) for name, found in sorted(_by_tenant(samples).items())
        },
    }
    path.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _by_tenant(samples: Sequence[Sample]) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in samples:
        if one.kind in TIMED and one.fault is None:
            found.setdefault(one.tenant, []).append(one.seconds)
    return {name: sorted(times) for name, times in found.items()}
