"""The request of the README gets the README's answer."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.e2e.server import ROOT, Server

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_request_of_the_readme_gets_its_answer(server: Server) -> None:
    command, shown = BLOCK.findall(README.split("## A request")[1])[:2]
    command = command.replace("http://127.0.0.1:8080", server.url)
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30, check=True)
    answer, expected = json.loads(done.stdout), json.loads(shown)
    assert answer["labels"] == expected["labels"]
    assert answer["scores"] == pytest.approx(expected["scores"], abs=1e-4)
    assert answer.keys() == expected.keys()
    assert (answer["model"], answer["model_version"]) == (expected["model"], expected["model_version"])
