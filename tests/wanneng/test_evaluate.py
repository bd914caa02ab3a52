"""`wanneng evaluate`: what it reads before it asks anybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wanneng.__main__ import app
from wanneng.errors import CommandError


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"投诉": "有意见", "投诉": "要求退款"}', "the name '投诉' is used twice"),
        ('{"a": ' + "[" * 100_000, "recursion"),
        ("{", "cannot be read"),
        ("[]", "is not a JSON object of strings"),
        ('{"投诉": 1}', "is not a JSON object of strings"),
        ('{"咨询": "x"}', "which the examples do not have"),
    ],
)
def test_a_file_of_wordings_that_cannot_be_meant_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    examples, wording = tmp_path / "examples.csv", tmp_path / "wording.json"
    examples.write_text("text,label\n要求退款,投诉\n")
    wording.write_text(content)
    with pytest.raises(CommandError) as refusal:
        CliRunner().invoke(app, ["evaluate", str(examples), "--wording", str(wording)], catch_exceptions=False)
    assert f"--wording {wording}" in str(refusal.value)
    assert reason in str(refusal.value)
