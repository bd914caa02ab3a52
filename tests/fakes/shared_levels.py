"""Levels of budgets as Redis has them, without Redis: they can be lost, lose an answer, and lose their data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stores.budget_levels import NO_BOUND, BudgetLevels, Step
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeUsage, Memory


@dataclass
class FakeSharedLevels:
    """A `SharedLevels`; gateways that are given the same one share it."""

    gateways: int = 1
    up: bool = True
    loses_answers: int = 0
    """So many counts act, and their answers do not arrive."""
    levels: dict[str, int] = field(default_factory=dict)
    counts: int = 0
    """How many were asked for."""

    async def count(self, steps: Sequence[Step]) -> Sequence[int] | None:
        self.counts += 1
        if not self.up:
            return None
        levels = [max(0, max(self.levels.get(step.name, step.level), step.known) + step.unsent) for step in steps]
        exceeded = any(
            step.amount > 0 and step.bound != NO_BOUND and level + step.amount > step.bound
            for step, level in zip(steps, levels, strict=True)
        )
        for step, level in zip(steps, levels, strict=True):
            self.levels[step.name] = level + (0 if exceeded else step.amount)
        if self.loses_answers:
            self.loses_answers -= 1
            return None
        return levels


def no_budgets() -> BudgetLevels:
    """For tests in which nobody has a budget."""
    return BudgetLevels(FakeUsage(Memory()), FakeClock())
