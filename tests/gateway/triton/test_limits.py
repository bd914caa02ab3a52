"""The gateway's settings against the engine's limits: a contradiction is refused at start, by name."""

from __future__ import annotations

import pytest

from gateway.settings import Settings
from gateway.triton.backend import EngineLimits
from gateway.triton.limits import contradiction

LIMITS = EngineLimits(64, 100_000, 1_024, 1_024)


def test_the_defaults_are_within_the_limits() -> None:
    assert not contradiction(Settings(), LIMITS)


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (Settings(max_pairs_per_call=65), "WANNENG_MAX_PAIRS_PER_CALL is 65, but Triton takes at most 64"),
        (Settings(max_text_characters=100_001), "WANNENG_MAX_TEXT_CHARACTERS"),
        (Settings(max_label_characters=2_000), "WANNENG_MAX_LABEL_CHARACTERS"),
        (Settings(max_template_characters=2_000), "WANNENG_MAX_TEMPLATE_CHARACTERS"),
    ],
)
def test_a_setting_above_a_limit_is_named(settings: Settings, variable: str) -> None:
    assert variable in contradiction(settings, LIMITS)
