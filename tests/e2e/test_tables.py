"""Files of texts through the command line and batches: encodings, small quotas, and runs that are interrupted."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import openpyxl
import pytest

from tests.e2e.gate import gate
from tests.e2e.server import ROOT, Server
from tests.e2e.small_quota import LABEL, LINES, SmallQuota, lines, small_quota
from tests.polling import until
from wanneng import Client
from wanneng.client.streams import TEXTS_PER_CALL

EXCEL = [
    ["编号", "留言", "日期"],
    ["1", "质量太差，\n要求退款", "2026/1/2"],
    ["2", '他说"不错", 我看一般', "2026/1/3"],
    ["3", "请问几点开门", "2026/1/4"],
]
WAIT_S = 120


def command(*arguments: str | Path, url: str) -> list[str]:
    return [sys.executable, "-m", "wanneng", *map(str, arguments), "--url", url]


def wanneng(*arguments: str | Path, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, url=url), cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False
    )


def by_command_line(tenant: SmallQuota, texts: list[str], folder: Path) -> list[str]:
    return _by_command(tenant, texts, folder, "classify", "--input")


def by_batch(tenant: SmallQuota, texts: list[str], folder: Path) -> list[str]:
    return _by_command(tenant, texts, folder, "batch", "run")


def _by_command(tenant: SmallQuota, texts: list[str], folder: Path, *arguments: str) -> list[str]:
    (folder / "in.txt").write_text("\n".join(texts), encoding="utf-8")
    output = ("--output", folder / "out.jsonl", "--labels", LABEL, "--key-file", tenant.key_file)
    done = wanneng(*arguments, folder / "in.txt", *output, url=tenant.server.url)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").split("\n") if line]
    return [answer["text"] for answer in answers if answer["labels"] == [LABEL]]


def by_stream(tenant: SmallQuota, texts: list[str], folder: Path) -> list[str]:
    with Client(tenant.server.url, tenant.key) as client:
        return [found.text for found in client.stream(texts, [LABEL]) if found.labels == (LABEL,)]


@pytest.mark.parametrize("entrance", [by_command_line, by_stream, by_batch])
def test_a_hundred_lines_at_a_small_quota_are_answered_and_paid_once(
    server: Server, tmp_path: Path, entrance: Callable[[SmallQuota, list[str], Path], list[str]]
) -> None:
    tenant = small_quota(server, entrance.__name__)
    assert entrance(tenant, lines(tenant.name), tmp_path) == lines(tenant.name)
    usage = tenant.usage()
    assert (usage.pairs_computed, usage.pairs_cached) == (LINES, 0)


SOON = 60
"""Lines after which a run is interrupted."""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_goes_on_and_asks_for_nothing_twice(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    tenant = small_quota(server, f"interrupted-{number.value}")
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(
        "\n".join(["id,text", *(f"{n},{text}" for n, text in enumerate(lines(tenant.name)))]), "utf-8"
    )
    arguments = ("classify", "--input", source, "--output", target, "--labels", LABEL)
    run = command(*arguments, "--key-file", tenant.key_file, url=server.url)
    asked = 0

    def is_later(_method: str, _path: str, body: bytes) -> bool:
        nonlocal asked
        if asked >= SOON:
            return True
        asked += len(json.loads(body)["texts"])
        return False

    with (
        gate(server.url, is_later) as held,
        subprocess.Popen([*run[:-1], held.url], cwd=ROOT, stderr=subprocess.PIPE) as interrupted,
    ):
        # It cannot end meanwhile, however long this takes.
        assert held.held.wait(WAIT_S)
        until(lambda: count(tmp_path / "out.csv.partial") >= SOON, "its first answers are not kept", WAIT_S)
        interrupted.send_signal(number)
    assert not target.exists()
    refused = wanneng(*arguments[:-1], "别的", "--key-file", tenant.key_file, url=server.url)
    assert "another input or other options" in refused.stderr
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=True)
    told = re.search(r"(\d+) rows are answered already; (\d+) are left", done.stderr)
    assert told is not None, done.stderr
    answered, left = map(int, told.groups())
    assert (answered >= SOON, answered + left) == (True, LINES)
    with target.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["text"], row["best_label"], row["error"]) for row in rows] == [
        (text, LABEL, "") for text in lines(tenant.name)
    ]
    usage = tenant.usage()
    # A call that was under way when the run ended was computed, and its texts are asked for again.
    assert LINES <= usage.pairs_computed <= LINES + TEXTS_PER_CALL
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["in.csv", "out.csv"]


def count(journal: Path) -> int:
    """Answers in it."""
    return journal.read_bytes().count(b'"row"') if journal.exists() else 0


def excel_file(folder: Path, name: str, encoding: str) -> Path:
    source = folder / name
    if source.suffix == ".xlsx":
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet()
        for row in EXCEL:
            sheet.append(row)
        book.save(source)
    else:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter="\t" if source.suffix == ".tsv" else ",").writerows(EXCEL)
        source.write_bytes(text.getvalue().encode(encoding))
    return source


CLASSIFY, BATCH = ("classify", "--input"), ("batch", "run")


@pytest.mark.parametrize(
    ("way", "name", "encoding", "told"),
    [
        (CLASSIFY, "in.csv", "gbk", "GB18030, separated by commas"),
        (CLASSIFY, "in.csv", "utf-8-sig", "UTF-8 with a byte order mark, separated by commas"),
        (CLASSIFY, "in.csv", "utf-16-be", "UTF-16 (BE), separated by commas"),
        (CLASSIFY, "in.xlsx", "", "sheet 'Sheet'"),
        (BATCH, "in.csv", "gbk", "GB18030, separated by commas"),
        (BATCH, "in.tsv", "utf-16", "UTF-16 (LE) with a byte order mark, separated by tabs"),
        (BATCH, "in.xlsx", "", "sheet 'Sheet'"),
    ],
)
def test_what_excel_saves_comes_back_with_the_answers_beside(
    server: Server, tmp_path: Path, way: tuple[str, ...], name: str, encoding: str, told: str
) -> None:
    source = excel_file(tmp_path, name, encoding)
    for target in (tmp_path / "out.csv", tmp_path / "out.xlsx"):
        done = wanneng(*way, source, "--output", target, "--labels", "投诉,咨询", url=server.url)
        assert done.returncode == 0, done.stderr
        assert f"{told}; the first row is the header; texts are in column 2 (留言)" in done.stderr
    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        records = list(csv.reader(file))
    assert [record[:3] for record in records] == EXCEL
    assert records[0][3:] == ["best_label", "best_score", "投诉", "咨询", "truncated", "model_version", "error"]
    alone = [server.classify(text=row[1], labels=["投诉", "咨询"]).json() for row in EXCEL[1:]]
    assert [record[3] for record in records[1:]] == [answer["labels"][0] for answer in alone]
    scores = [float(score) for record in records[1:] for score in record[5:7]]
    expected = [
        dict(zip(a["labels"], a["scores"], strict=True))[label] for a in alone for label in ("投诉", "咨询")
    ]
    assert scores == pytest.approx(expected, abs=1e-4)
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx")["wanneng"]
    assert [[cell.value for cell in row[:3]] for row in sheet.iter_rows(max_col=3)] == EXCEL
    assert [row[4].value for row in sheet.iter_rows(min_row=2)] == pytest.approx(
        [float(record[4]) for record in records[1:]], abs=1e-4
    )


def test_a_batch_that_is_not_waited_for_to_its_end_is_not_created_twice(server: Server, tmp_path: Path) -> None:
    tenant = small_quota(server, "waiting")
    source = tmp_path / "in.txt"
    source.write_text("\n".join(lines(tenant.name)), encoding="utf-8")
    output = ("--output", tmp_path / "out.jsonl", "--labels", LABEL, "--key-file", tenant.key_file)
    run = command("batch", "run", source, *output, url=server.url)
    polls = re.compile(r"/v1/batches/[^/]+")
    with (
        gate(server.url, lambda method, path, _: method == "GET" and polls.fullmatch(path) is not None) as held,
        subprocess.Popen([*run[:-1], held.url], cwd=ROOT) as interrupted,
    ):
        assert held.held.wait(WAIT_S)
        interrupted.send_signal(signal.SIGKILL)
    assert b"batch_id" in (tmp_path / "out.jsonl.partial").read_bytes()
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert "which was created before" in done.stderr
    with Client(server.url, tenant.key) as client:
        (batch,) = client.batches.list()
        assert (batch.total, batch.completed, batch.metadata) == (LINES, LINES, {"source": "in.txt"})
    usage = tenant.usage()
    assert (usage.pairs_computed, usage.pairs_cached) == (LINES, 0)
    for arguments, expected in ((("list",), batch.id), (("show", batch.id), f"{LINES} of {LINES} lines done")):
        shown = wanneng("batch", *arguments, "--key-file", tenant.key_file, url=server.url)
        assert expected in shown.stdout
    printed = wanneng("batch", "results", batch.id, "--key-file", tenant.key_file, url=server.url).stdout
    assert [json.loads(line)["labels"] for line in printed.splitlines()] == [[LABEL]] * LINES


@pytest.mark.parametrize(
    ("locale", "encoding"),
    [("C", None), ("C", "ascii"), ("POSIX", "utf-8"), ("C.UTF-8", "latin-1"), ("zh_CN.GBK", "gbk")],
)
def test_texts_come_through_standard_input_and_output_of_any_locale(
    server: Server, locale: str, encoding: str | None
) -> None:
    """As GBK, which a Chinese Windows or an old terminal pipes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON"))}
    environment |= {"LC_ALL": locale} | ({"PYTHONIOENCODING": encoding} if encoding else {})
    content = "这个手机质量太差，要求退款\n请问几点开门😀\n".encode("gb18030")
    run = command("classify", "--input", "-", "--labels", "投诉,咨询", url=server.url)
    done = subprocess.run(
        run, cwd=ROOT, env=environment, input=content, capture_output=True, timeout=60, check=True
    )
    answers = [json.loads(line) for line in done.stdout.decode(encoding or "utf-8").split("\n") if line]
    assert [answer["text"] for answer in answers] == ["这个手机质量太差，要求退款", "请问几点开门😀"]
    assert b"GB18030; 2 lines of text" in done.stderr


def test_a_bad_line_of_a_batch_is_its_own_error(server: Server) -> None:
    """A mark, a lone surrogate, bad bytes, separators that end no line, and a zero character."""
    good = {"method": "POST", "url": "/v1/classify"}
    texts = ["一行\u2028还是\x85那一行", "有\0零"]
    content = [
        b"\xef\xbb\xbf"
        + json.dumps({"custom_id": "mark", "body": {"text": "好", "labels": "投诉"}, **good}).encode(),
        *(
            json.dumps(
                {"custom_id": str(n), "body": {"text": text, "labels": "投诉"}, **good}, ensure_ascii=False
            ).encode()
            for n, text in enumerate(texts)
        ),
        json.dumps({"custom_id": "surrogate", "body": {"text": "\ud83d", "labels": "投诉"}, **good}).encode(),
        json.dumps({"custom_id": "bytes", "body": {"text": "?", "labels": "a"}, **good})
        .encode()
        .replace(b"?", b"\xff"),
        b'{"custom_id": "\xff"}',
    ]
    with Client(server.url) as client:
        batch = client.batches.wait(client.batches.create(client.batches.upload(b"\r\n".join(content))).id)
        results = {result.custom_id: result.error for result in client.batches.results(batch)}
    assert batch.status == "completed"
    assert (batch.completed, batch.failed) == (3, 3)
    assert {name for name, error in results.items() if error is None} == {"mark", "0", "1"}


def test_the_input_is_not_overwritten(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\n好\n", encoding="utf-8")
    done = wanneng("classify", "--input", source, "--output", source, "--labels", "投诉", url=server.url)
    assert (done.returncode, source.read_text(encoding="utf-8")) == (1, "text\n好\n")
    assert "is the input; choose another --output" in done.stderr


def test_a_table_of_a_label_set_says_what_is_none_of_these(server: Server, tmp_path: Path) -> None:
    address = f"{server.url}/v1/label-sets/table-set"
    httpx.put(address, json={"labels": ["投诉", "咨询"], "threshold": 0.999}, trust_env=False).raise_for_status()
    (tmp_path / "in.csv").write_text("text\n今天下雨了\n", encoding="utf-8")
    done = wanneng(
        *("classify", "--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv"),
        *("--label-set", "table-set", "--entailment"),
        url=server.url,
    )
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines())
    assert (row["best_label"], row["none_of_these"]) == ("", "TRUE")
    assert 0 < float(row["entailment_投诉"]) < 1
