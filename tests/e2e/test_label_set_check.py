"""`wanneng label-set check` with the embedded engine in process, and through a running server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import ROOT, Server, free_ports

TEXTS = ROOT / "tests/data/unlabelled_shop_texts.txt"
CONFUSABLE = ["--labels", "退款,退货,物流"]


def run(*arguments: str, texts: Path = TEXTS) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wanneng", "label-set", "check", str(texts), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def numbers(value: Any) -> list[float]:
    """All figures of a report, in its order."""
    if isinstance(value, dict):
        return [number for name in sorted(value) for number in numbers(value[name])]
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [float(value)] if isinstance(value, int | float) else []


def put_set(server: Server, name: str, **content: Any) -> None:
    httpx.put(f"{server.url}/v1/label-sets/{name}", json=content, trust_env=False).raise_for_status()


def test_an_engine_and_a_gateway_with_it_give_the_same_figures(server: Server) -> None:
    options = [*CONFUSABLE, "--template", "{}", "--template", "用户在问{}", "--try", "退货=寄回商品", "--json"]
    engine, gateway = report(run("--engine", "embedded", *options)), report(run("--url", server.url, *options))
    assert engine["target"] | {"kind": "", "name": ""} == gateway["target"] | {"kind": "", "name": ""}
    assert [pair["labels"] for pair in engine["pairs"] if pair["confusable"]] == [["退款", "退货"]]
    assert [found["wording"] for found in engine["wordings"]] == [
        found["wording"] for found in gateway["wordings"]
    ]
    assert numbers(engine) == pytest.approx(numbers(gateway), abs=2e-4)


def test_two_runs_give_the_same_bytes_and_strict_tells_by_its_exit_code(server: Server) -> None:
    first, second = (run("--url", server.url, *CONFUSABLE) for _ in range(2))
    assert (first.returncode, first.stdout) == (0, second.stdout)
    assert "退款 and 退货 are confusable" in first.stdout
    assert run("--url", server.url, *CONFUSABLE, "--strict").returncode == 3
    assert run("--url", server.url, "--labels", "退货,物流", "--strict").returncode == 0


def test_a_label_set_is_judged_as_it_answers(server: Server) -> None:
    """With its hypotheses, and with its correction."""
    labels = [{"label": "退", "hypothesis": "退货"}, {"label": "送", "hypothesis": "物流"}]
    put_set(server, "checked", labels=labels)
    put_set(server, "checked-and-corrected", labels=labels, correction={"biases": [0.0, 50.0]})
    plain, corrected = (
        report(run("--url", server.url, "--label-set", name, "--json"))
        for name in ("checked", "checked-and-corrected")
    )
    asked = report(run("--url", server.url, "--labels", "退货,物流", "--json"))
    assert [label["first"] for label in plain["labels"]] == [label["first"] for label in asked["labels"]]
    assert [label["dominant"] for label in corrected["labels"]] == [False, True]
    assert numbers(corrected["templates"]) == numbers(plain["templates"])


def test_a_text_that_is_refused_is_named_and_the_others_are_judged(server: Server, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    lines = TEXTS.read_text(encoding="utf-8").splitlines()
    rows = [*({"text": line} for line in lines), {"text": "\u200b"}, {"text": 3}, {"text": "长" * 100_001}]
    texts.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = run("--url", server.url, *CONFUSABLE, "--json", texts=texts)
    assert done.returncode == 1
    assert json.loads(done.stdout)["texts"] == len(lines)
    assert "line 51: " in done.stderr
    assert "line 52: 'text' is not a text; left out" in done.stderr
    assert "line 53: the text has 100001 characters, at most 100000; left out" in done.stderr
    assert "1 texts were refused" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give either --labels or --label-set"),
        ([*CONFUSABLE, "--label-set", "x"], "give either --labels or --label-set"),
        (["--labels", "退款"], "the number of labels is 1; from 2 to 256 can be checked"),
        ([*CONFUSABLE, "--template", "x"], "needs exactly one {}"),
        ([*CONFUSABLE, "--try", "退款"], "is not LABEL=WORDING"),
        ([*CONFUSABLE, "--engine", "docs"], "is not an engine folder"),
        (
            ["--label-set", "x", "--engine", "embedded"],
            "--engine is a folder, which has no address and no label sets",
        ),
        ([*CONFUSABLE, "--text-column", "x", "--input-format", "csv"], "there is no column 'x'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(options: list[str], message: str) -> None:
    done = run(*options)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_gateway_lacks_is_one_sentence(server: Server, tmp_path: Path) -> None:
    put_set(server, "several-apply", labels=["退货", "物流"], multi_label=True)
    several = run("--url", server.url, "--label-set", "several-apply")
    assert (several.returncode, "several-apply@1 scores each label by itself" in several.stderr) == (1, True)
    missing = run("--url", server.url, "--label-set", "no-such-set")
    assert (missing.returncode, "Traceback" in missing.stderr) == (1, False)
    (port,) = free_ports(1)
    nobody = run("--url", f"http://127.0.0.1:{port}", *CONFUSABLE)
    assert nobody.returncode == 1
    assert f"nothing listens at http://127.0.0.1:{port}" in nobody.stderr
    empty = tmp_path / "empty.txt"
    empty.write_text("\n", encoding="utf-8")
    assert "empty.txt has no text" in run("--url", server.url, *CONFUSABLE, texts=empty).stderr
