"""What `attack.py` measured of each attack: its promises, and the table and JSON that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.neighbour import COLUMNS, Measurement, align
from loadtest.budget import Promise

MAX_BLOCKED_S = 0.05
"""Longest time that the gateway's event loop may be held: an upper bound of a bucket of the metric."""


@dataclass(frozen=True, slots=True)
class Attacked(Measurement):
    """The neighbour's requests during one attack, and what the attack did to the server."""

    blocked_s: float = 0.0
    """Upper bound of the largest bucket of the event loop's metric that was hit."""
    restarted: Sequence[str] = ()
    """Processes that are not the same as before."""

    def promises(self) -> list[Promise]:
        """Those of `Measurement`, the bound on the event loop, and no restart."""
        return [
            *Measurement.promises(self),
            Promise(
                f"{self.disturbance}: event loop held",
                f"<= {MAX_BLOCKED_S:g} s",
                f"{self.blocked_s:g} s",
                self.blocked_s <= MAX_BLOCKED_S,
            ),
            Promise(
                f"{self.disturbance}: restarted", "none", ", ".join(self.restarted) or "none", not self.restarted
            ),
        ]


def render(measurements: Sequence[Attacked]) -> str:
    """A table with a row for each attack, and what failed."""
    rows: list[tuple[str, ...]] = [("attack", *COLUMNS, "event loop", "promise", "answers")]
    failures = []
    for row in measurements:
        answers = ", ".join(f"{number} × {status}" for status, number in sorted(row.responses.items()))
        kept = "kept" if row.kept else "BROKEN"
        rows.append((row.disturbance, *row.cells, f"<= {row.blocked_s:g} s", kept, answers))
        failures += row.failures
        if row.restarted:
            failures.append(f"{row.disturbance}: restarted {', '.join(row.restarted)}")
    return "\n".join([*align(rows), *failures])


def as_json(row: Attacked) -> dict[str, Any]:
    """A measurement as `make attack` stores it."""
    return {
        "attack": row.disturbance,
        **row.as_json(),
        "event_loop_held_s": row.blocked_s,
        "restarted": list(row.restarted),
        "answers": dict(sorted(row.responses.items())),
    }
