"""The request of the README, pasted, gets the README's answer."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.e2e.server import ROOT, Server

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_request_of_the_readme_gets_its_answer(server: Server) -> None:
    section = README.split("## A request")[1]
    command = section.split("```")[1].strip().replace("http://127.0.0.1:8080", server.url)
    shown = json.loads(re.sub(r"^json", "", section.split("```")[3]))
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30, check=True)
    answer = json.loads(done.stdout)
    assert answer["labels"] == shown["labels"]
    assert answer["scores"] == pytest.approx(shown["scores"], abs=1e-4)
    assert answer.keys() == shown.keys()
    assert (answer["model"], answer["model_version"]) == (shown["model"], shown["model_version"])


def test_the_label_set_of_the_readme_is_kept_and_used(server: Server) -> None:
    """As the local tenant, whose key is not asked for on loopback."""
    section = README.split("## Label sets")[1]
    commands = section.split("```")[1].strip().replace("http://127.0.0.1:8080", server.url)
    done = subprocess.run(commands, shell=True, capture_output=True, text=True, timeout=30, check=True)
    kept, answer = done.stdout.split("}{")
    assert '"version":1' in kept
    assert json.loads("{" + answer)["label_set"] == "tickets@1"
    assert json.loads("{" + answer)["labels"][0] == "投诉"
