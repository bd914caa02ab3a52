"""Levels of budgets as Redis has them, without Redis: they can be lost, lose an answer, and lose their data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stores.budget_levels import NO_BOUND, BudgetLevels, Heard, Step
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
    """Clear it to lose all data: what gateways then hear is of another generation."""
    bases: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By level: its generation, and the part of it that was used before."""
    counts: int = 0
    """How many were asked for."""

    async def count(self, steps: Sequence[Step]) -> Sequence[Heard] | None:
        self.counts += 1
        if not self.up:
            return None
        heard = [self._heard(step) for step in steps]
        exceeded = any(
            step.amount > 0 and step.bound != NO_BOUND and each.level + step.amount > step.bound
            for step, each in zip(steps, heard, strict=True)
        )
        for step, each in zip(steps, heard, strict=True):
            self.levels[step.name] = each.level + (0 if exceeded else step.amount)
        if self.loses_answers:
            self.loses_answers -= 1
            return None
        return heard

    def _heard(self, step: Step) -> Heard:
        """As `gateway/redis/scripts/count.lua` has it."""
        if step.name in self.levels:
            generation, base = self.bases[step.name]
            taken = self.levels[step.name] - base
            if step.heard.generation != generation:
                base = max(base, step.heard.level)
        else:
            generation, base, taken = str(self.counts), step.heard.level, 0
        base = max(base, step.known - taken)
        self.bases[step.name] = (generation, base)
        return Heard(max(0, base + taken + step.unsent), generation)


def no_budgets() -> BudgetLevels:
    """For tests in which nobody has a budget."""
    return BudgetLevels(FakeUsage(Memory()), FakeClock())
