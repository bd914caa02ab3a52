"""The committed golden data equals what ModelScope answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_script_reproduces_the_committed_answers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.golden.make_golden", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    fresh = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    committed = json.loads((ROOT / "tests/golden/answers.json").read_text(encoding="utf-8"))
    assert fresh.keys() == committed.keys()
    for name, answers in committed.items():
        for expected, answer in zip(answers, fresh[name], strict=True):
            assert dict(zip(answer["labels"], answer["scores"], strict=True)) == pytest.approx(
                dict(zip(expected["labels"], expected["scores"], strict=True)), abs=1e-5
            )
        for file in ("tokenizer.json", "config.json"):
            assert (tmp_path / name / file).read_bytes() == (ROOT / "tests/golden" / name / file).read_bytes()
