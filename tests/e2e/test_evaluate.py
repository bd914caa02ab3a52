"""`wanneng evaluate` against a running server, its compatible APIs and the engine's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from tests.e2e.server import ROOT, Server, free_ports
from tests.wanneng.evaluation.answers import evaluation
from wanneng.evaluation.report_html import as_html

EXAMPLES = [
    ("这个手机质量太差，要求退款", "投诉"),
    ("货是坏的，我要退钱", "投诉"),
    ("请问你们周末几点开门", "咨询"),
    ("怎么修改收货地址", "咨询"),
    ("希望增加夜间配送", "建议"),
    ("建议把按钮做大一点", "建议"),
    ("今天下雨了", None),
]
HOSTILE = [
    "<script>document.title='owned'</script>",
    '"><img src=http://other.test/x onerror=alert(1)>',
    "</style></svg><b onmouseover=alert(1)>x",
    "a\u202eb",
    "'&amp;",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wanneng", "evaluate", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.jsonl"
    path.write_text(
        "\n".join(json.dumps({"text": text, "label": label}) for text, label in EXAMPLES), encoding="utf-8"
    )
    return path


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def figures(variant: dict[str, Any]) -> dict[str, Any]:
    """All that the texts decide."""
    return {name: value for name, value in variant.items() if name not in ("name", "target")}


def test_every_way_to_ask_the_same_model_gives_the_same_figures(server: Server, examples: Path) -> None:
    """The engine in process, the gateway, and the gateway's compatible APIs as peers."""
    peers = [f"huggingface={server.url}/hf/{name}" for name in ("inference", "pipeline")]
    peers += [f"tei={server.url}", f"kserve={server.url}"]
    options = [option for peer in peers for option in ("--peer", peer)]
    done = run(str(examples), "--engine", "embedded", "--url", server.url, *options, "--format", "json")
    engine, *others = answer(done)["variants"]
    assert (engine["texts"], engine["refused"]) == (6, 0)
    assert engine["accuracy"]["value"] >= 0.5
    assert [other["target"]["kind"] for other in others] == [
        "gateway",
        "huggingface",
        "huggingface",
        "tei",
        "kserve",
    ]
    for other in others:
        assert figures(other) == figures(engine), other["target"]
    assert others[0]["target"]["model"] == engine["target"]["model"]


def test_two_runs_give_the_same_bytes_and_times_are_on_standard_error_alone(
    server: Server, examples: Path, tmp_path: Path
) -> None:
    runs = []
    for number in range(2):
        paths = [tmp_path / f"report{number}.{suffix}" for suffix in ("json", "html", "txt")]
        outputs = [option for path in paths for option in ("--output", str(path))]
        done = run(str(examples), "--url", server.url, "--template", "{}", "--template", "用户在{}", *outputs)
        assert done.returncode == 0, done.stderr
        assert "texts/s" in done.stderr
        assert done.stdout == paths[2].read_text(encoding="utf-8")
        runs.append([path.read_bytes() for path in paths])
    assert runs[0] == runs[1]
    assert not any(b"texts/s" in content for content in runs[0])


def test_wordings_and_label_sets_are_compared(server: Server, examples: Path, tmp_path: Path) -> None:
    wording = tmp_path / "verbs.json"
    wording.write_text(json.dumps({"投诉": "不满意，要求退款", "咨询": "提问"}), encoding="utf-8")
    labels = [{"label": "投诉", "hypothesis": "用户在投诉"}, "咨询", "建议", "表扬"]
    path = f"{server.url}/v1/label-sets/evaluated"
    assert httpx.put(path, json={"labels": labels}, trust_env=False).status_code == 201
    options = ["--url", server.url, "--wording", str(wording), "--label-set", "evaluated@1", "--format", "json"]
    report = answer(run(str(examples), *options))
    assert [variant["name"] for variant in report["variants"]] == ["verbs.json", "evaluated@1"]
    assert report["variants"][1]["label_set"] == "evaluated@1"
    (comparison,) = report["comparisons"]
    assert "may be chance" in comparison["sentence"]
    done = run(str(examples), "--url", server.url, "--label-set", "nothing")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_a_label_that_a_set_lacks_is_named(server: Server, examples: Path) -> None:
    path = f"{server.url}/v1/label-sets/narrow"
    assert httpx.put(path, json={"labels": ["投诉", "咨询"]}, trust_env=False).status_code == 201
    done = run(str(examples), "--url", server.url, "--label-set", "narrow")
    assert done.returncode == 1
    assert "the label set narrow@1 has no label '建议', which the examples have" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--template", "x"], "needs exactly one {}"),
        (["--format", "pdf"], "--format 'pdf' is unknown"),
        (["--output", "report.pdf"], "has an unknown extension; use one of .txt"),
        (["--output", "nowhere/report.json"], "there is no folder"),
        (["--peer", "http://127.0.0.1"], "is not API=URL"),
        (["--peer", "grpc=http://127.0.0.1"], "is no known API"),
        (["--engine", "docs"], "is not an engine folder"),
        (["--engine", "embedded", "--label-set", "x"], "has no label sets"),
        (["--label-column", "x"], "there is no column 'x'"),
        (["--wording", "engine.json"], "cannot be read"),
        (["--wording", "embedded/config.json"], "is not a JSON object of strings"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(examples: Path, options: list[str], message: str) -> None:
    done = run(str(examples), *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_at_the_address_is_one_sentence(examples: Path) -> None:
    (port,) = free_ports(1)
    for options in (["--url", f"http://127.0.0.1:{port}"], ["--peer", f"tei=http://127.0.0.1:{port}"]):
        done = run(str(examples), *options)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert f"nothing listens at http://127.0.0.1:{port}" in done.stderr


def test_the_page_shows_hostile_names_as_text_in_both_languages(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(as_html(evaluation(HOSTILE), "zh"), encoding="utf-8")
    problems: list[str] = []
    backgrounds = set()
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.on("console", lambda message: problems.append(message.text))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.on("request", lambda sent: None if sent.url == file.as_uri() else problems.append(sent.url))
        page.goto(file.as_uri())
        assert page.get_by_role("heading", name="评测报告").is_visible()
        assert page.get_by_role("cell", name=HOSTILE[0], exact=True).first.is_visible()
        page.get_by_label("English").check()
        assert page.get_by_role("heading", name="Evaluation").is_visible()
        assert not page.get_by_role("heading", name="评测报告").is_visible()
        assert page.title() == "labelled.csv · wanneng evaluate"
        assert page.evaluate("document.querySelectorAll('script, img, b').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()
    assert problems == []
    assert len(backgrounds) == 2
