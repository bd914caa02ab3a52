"""What is refused before anything is asked, and what becomes of the output."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanneng.errors import CommandError
from wanneng.table_run import table_run
from wanneng.tables.table import Table


@pytest.mark.parametrize("body", [{"labels": "甲,乙"}, {"label_set": "tickets"}])
def test_a_sheet_without_room_for_the_answers_is_refused_at_once(tmp_path: Path, body: dict[str, str]) -> None:
    wide = Table([f"c{number}" for number in range(16_370)], [], "", is_spreadsheet=True)
    with (
        pytest.raises(CommandError, match="an Excel sheet holds at most 16384"),
        table_run(Path("-"), wide, tmp_path / "out.xlsx", body, "classify"),
    ):
        raise AssertionError("it began")
