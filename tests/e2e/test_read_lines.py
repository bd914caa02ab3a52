"""What the model did not read of a line is told by the command line, batches and the page, as by the API."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.server import ROOT, Server
from wanneng import Client

GOOD, LONG, UNKNOWN, UNREADABLE = "质量太差，要求退款", "很长" * 300, "🦤🦤", "\u200b"
TEXTS = (GOOD, LONG, UNKNOWN, UNREADABLE)
LABELS = "投诉,咨询"
WAIT_S = 120


def answers(server: Server, folder: Path, *arguments: str, flags: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Of each text, in order, by the command with these arguments."""
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), "utf-8")
    output = folder / "out.jsonl"
    where = [folder / "in.jsonl", "--output", output, "--labels", LABELS, *flags, "--url", server.url]
    command = [sys.executable, "-m", "wanneng", *arguments, *map(str, where)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert output.exists(), done.stderr
    lines = [json.loads(line) for line in output.read_text("utf-8").split("\n") if line]
    output.unlink()
    return lines


@pytest.mark.parametrize("arguments", [("classify", "--input"), ("batch", "run")], ids=["classify", "batch"])
def test_each_line_tells_what_was_not_read(server: Server, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with Client(server.url) as client:
        version = client.classify(GOOD, LABELS).model_version
    good, long, unknown, unreadable = answers(server, tmp_path, *arguments)
    assert [line["text"] for line in (good, long, unknown, unreadable)] == list(TEXTS)
    assert {line["model_version"] for line in (good, long, unknown)} == {version}
    assert (good["truncated"], long["truncated"]) == (False, True)
    assert ("unknown_share" in good, unknown["unknown_share"]) == (False, 1.0)
    assert "has no token" in unreadable["error"]
    whole = answers(server, tmp_path, *arguments, flags=("--no-truncation",))
    assert ["error" in line for line in whole] == [False, True, False, True]


def test_the_page_tells_it_below_the_bars(page: Page) -> None:
    page.get_by_label("标签", exact=True).fill("投诉,🦤,")
    for text, told in (
        (UNKNOWN, "模型不认识文本中 100.0% 的 token。"),
        (GOOD, "标签中有模型不认识的 token：🦤。"),
    ):
        page.get_by_label("文本", exact=True).fill(text)
        page.get_by_role("button", name="分类", exact=True).click()
        expect(page.locator("#notice")).to_contain_text(told)
    page.get_by_label("文本", exact=True).fill(UNREADABLE)
    page.get_by_role("button", name="分类", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("没有模型能识别的内容")
