"""The latency and error budget of each load, and whether a run stayed within it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.errors import LoadTestError


@dataclass(frozen=True, slots=True)
class Sample:
    """One request and its outcome."""

    kind: str
    tenant: str
    seconds: float
    """Latency, measured from when the request was due."""
    fault: str | None
    """What was wrong, in a few words; None if nothing was."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A load and the limits that hold under it."""

    name: str
    rate: float
    """Requests a second, on average."""
    p50_s: float
    p95_s: float
    p99_s: float
    fault_rate: float = 0.0
    """Maximum share of requests that fail."""
    min_answered: float = 0.9
    """Minimum share of the requests due that were answered by the end."""
    max_p99_ratio: float = 0.0
    """Maximum p99 of the slowest tenant over that of the fastest, `noisy` tenants excepted; 0: no limit."""


BUDGETS = {
    budget.name: budget
    for budget in (
        # A small shop, with a form or a chat now and then.
        Budget("small", 1.5, 0.2, 0.5, 0.8),
        # The inbox of a team.
        Budget("middle", 7.5, 0.1, 0.2, 0.3),
        # A product, on GPUs.
        Budget("large", 60.0, 0.05, 0.1, 0.15, max_p99_ratio=2.0),
    )
}
TIMED = frozenset({"inline", "label_set", "hugging_face", "triton"})
"""The kinds of request that a person waits for; nobody waits for a batch."""
NOISY = "noisy"


@dataclass(frozen=True, slots=True)
class Promise:
    """One limit, what was measured, and whether it held."""

    what: str
    promised: str
    measured: str
    kept: bool

    def __str__(self) -> str:
        verdict = "kept  " if self.kept else "BROKEN"
        return f"{verdict} {self.what}: {self.measured}, promised {self.promised}"


def find_budget(name: str) -> Budget:
    """`LoadTestError` if there is no such load."""
    if name not in BUDGETS:
        raise LoadTestError(f"unknown load {name}; choose one of {', '.join(BUDGETS)}")
    return BUDGETS[name]


def judge(budget: Budget, samples: Sequence[Sample], due: int) -> list[Promise]:
    """Every promise of the budget; `due` is the number of requests that should have been answered."""
    latencies = sorted(sample.seconds for sample in samples if sample.kind in TIMED and sample.fault is None)
    failed = [sample for sample in samples if sample.fault is not None]
    promises = []
    for name, share, max_s in (
        ("p50", 0.5, budget.p50_s),
        ("p95", 0.95, budget.p95_s),
        ("p99", 0.99, budget.p99_s),
    ):
        latency_s = percentile(latencies, share)
        promises.append(
            Promise(name, f"≤ {max_s * 1000:.0f} ms", f"{latency_s * 1000:.0f} ms", latency_s <= max_s)
        )
    fault_rate = len(failed) / len(samples) if samples else 1.0
    promises.append(
        Promise(
            "failed",
            f"≤ {budget.fault_rate:.2%}",
            f"{fault_rate:.2%} of {len(samples)}",
            fault_rate <= budget.fault_rate,
        )
    )
    answered = len(samples) / due if due else 0.0
    promises.append(
        Promise(
            "answered of those due",
            f"≥ {budget.min_answered:.0%}",
            f"{answered:.0%}",
            answered >= budget.min_answered,
        )
    )
    if budget.max_p99_ratio:
        p99s = [
            percentile(latencies, 0.99)
            for tenant, latencies in _latencies_by_tenant(samples).items()
            if NOISY not in tenant
        ]
        ratio = max(p99s) / min(p99s) if p99s and min(p99s) > 0 else float("inf")
        promises.append(
            Promise(
                "p99 of the slowest tenant over the fastest",
                f"≤ {budget.max_p99_ratio:.1f}",
                f"{ratio:.2f}",
                ratio <= budget.max_p99_ratio,
            )
        )
    return promises


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank of ascending values; infinite if there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else float("inf")


def write_report(path: Path, budget: Budget, promises: Sequence[Promise], samples: Sequence[Sample]) -> None:
    """Write the verdict as JSON: promises with what was measured, failures by cause, p99 by tenant."""
    report = {
        "load": budget.name,
        "kept": all(promise.kept for promise in promises),
        "answered": len(samples),
        "promises": {
            promise.what: {"promised": promise.promised, "measured": promise.measured} for promise in promises
        },
        "faults": Counter(sample.fault for sample in samples if sample.fault is not None),
        "p99_ms_by_tenant": {
            tenant: round(percentile(latencies, 0.99) * 1000, 1)
            for tenant, latencies in sorted(_latencies_by_tenant(samples).items())
        },
    }
    path.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _latencies_by_tenant(samples: Sequence[Sample]) -> Mapping[str, list[float]]:
    """Ascending seconds of the timed requests that succeeded."""
    latencies_by_tenant: dict[str, list[float]] = {}
    for sample in samples:
        if sample.kind in TIMED and sample.fault is None:
            latencies_by_tenant.setdefault(sample.tenant, []).append(sample.seconds)
    return {tenant: sorted(latencies) for tenant, latencies in latencies_by_tenant.items()}
