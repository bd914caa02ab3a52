"""Files of texts on the page, in a real Chromium: encodings, cells, columns, and a quota that is used up."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.server import Server
from tests.e2e.small_quota import LABEL, LINES, lines, small_quota

EXCEL = [
    ["编号", "留言", "日期"],
    ["1", "质量太差，\n要求退款", "2026/1/2"],
    ["2", '他说"不错", 我看一般', "2026/1/3"],
    ["3", "请问几点开门", "2026/1/4"],
]
ENCODINGS = {
    "gbk": "GB18030",
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16 (LE)",
    "utf-16-le": "UTF-16 (LE)",
    "utf-16-be": "UTF-16 (BE)",
}


def delimited(records: list[list[str]], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(records)
    return text.getvalue()


def open_file(page: Page, name: str, content: bytes) -> None:
    page.get_by_label("打开文件").set_input_files({"name": name, "mimeType": "text/plain", "buffer": content})
    expect(page.locator("#fileFacts")).to_contain_text(name)


def run(page: Page, labels: str = "投诉,咨询,", *, rows: int, timeout: float = 20_000) -> None:
    page.get_by_label("标签", exact=True).fill(labels)
    page.get_by_role("button", name="全部分类").click()
    expect(page.get_by_role("button", name="全部分类")).to_be_enabled(timeout=timeout)
    expect(page.locator("#progressText")).to_have_text(f"{rows} / {rows}")


def downloaded(page: Page, name: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return Path(download.value.path()).read_bytes().decode("utf-8-sig")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_excel_saves_has_its_cells_and_comes_back_with_the_answers(page: Page, encoding: str) -> None:
    open_file(page, "留言.csv", delimited(EXCEL).encode(encoding))
    expect(page.locator("#fileFacts")).to_have_text(f"留言.csv · {ENCODINGS[encoding]} · 3 行")
    expect(page.get_by_label("文本所在列")).to_have_value("1")
    expect(page.get_by_label("首行是表头")).to_be_checked()
    run(page, rows=3)
    texts = page.locator("#table tbody tr td:nth-child(2)").all()
    assert [cell.text_content() for cell in texts] == [row[1] for row in EXCEL[1:]]
    records = list(csv.reader(io.StringIO(downloaded(page, "CSV"), newline="")))
    assert [record[:3] for record in records] == EXCEL
    assert records[0][3:] == ["label", "score", "咨询", "投诉", "error"]
    assert all(record[3] in ("投诉", "咨询") for record in records[1:])


def test_the_reader_chooses_header_and_column(page: Page) -> None:
    open_file(page, "t.csv", delimited([["甲", "质量太差"], ["乙", "很好"]]).encode())
    expect(page.locator("#fileFacts")).to_contain_text("2 行")
    expect(page.get_by_label("文本所在列").locator("option")).to_have_text(["第 1 列", "第 2 列"])
    page.get_by_label("首行是表头").check()
    expect(page.locator("#fileFacts")).to_contain_text("1 行")
    page.get_by_label("文本所在列").select_option("甲")
    assert page.get_by_label("每行一条文本").input_value() == "乙"
    page.get_by_role("button", name="移除文件").click()
    expect(page.locator("#fileArea")).to_be_hidden()
    page.get_by_label("每行一条文本").fill("又可以输入了")
    run(page, rows=1)


def test_lines_of_json_and_of_text_end_at_line_feeds(page: Page) -> None:
    content = [{"id": 1, "评论": "一行\u2028还是那一行"}, {"id": 2}, {"id": 3, "评论": "好"}]
    broken = "\n".join([*(json.dumps(line, ensure_ascii=False) for line in content), "{broken"])
    open_file(page, "t.jsonl", broken.encode("utf-8-sig"))
    run(page, rows=4)
    rows = [json.loads(line) for line in downloaded(page, "JSONL").split("\n") if line]
    assert [row["text"] for row in rows] == ["一行\u2028还是那一行", "", "好", ""]
    assert ["error" in row for row in rows] == [False, True, False, True]
    open_file(page, "t.txt", "要求退款\r\n\n一行\u2028还是那一行\n".encode("gb18030"))
    expect(page.get_by_label("文本所在列")).to_be_hidden()
    run(page, rows=2)


def test_nothing_of_a_file_becomes_a_formula_of_a_spreadsheet(page: Page) -> None:
    """Seen failing: keys of a file and labels of a label set did."""
    open_file(page, "t.jsonl", json.dumps({"=1+1": "手机质量太差", "@a": "-1"}, ensure_ascii=False).encode())
    run(page, "=投诉,-差评,", rows=1)
    header, record = csv.reader(io.StringIO(downloaded(page, "CSV"), newline=""))
    assert header == ["'=1+1", "'@a", "label", "score", "'-差评", "'=投诉", "error"]
    assert record[:2] == ["手机质量太差", "'-1"]
    assert record[2] in {"'=投诉", "'-差评"}


def test_a_row_with_bad_bytes_is_its_own_error(page: Page) -> None:
    content = delimited([["text"], *([f"第{number}个手机质量太差"] for number in range(20))])
    open_file(page, "t.csv", content.encode("gbk").replace("第4个".encode("gbk"), b"\xff\xff"))
    run(page, rows=20)
    failed = page.locator("#table tbody tr", has_text="无法按文件的编码解码")
    expect(failed).to_have_count(1)
    expect(failed.locator("td").first).to_have_text("5")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.xlsx", b"PK\x03\x04", "请先在 Excel 中另存为 CSV。"),
        ("t.csv", b'text\n"a', "第 2 条记录的引号没有闭合。"),
        ("t.txt", bytes(range(128, 256)) * 3 + b"\xff\x80" * 99, "文件不是 UTF-8、UTF-16 或 GB18030 编码的文本。"),
    ],
)
def test_what_is_no_text_is_refused_in_a_sentence(page: Page, name: str, content: bytes, said: str) -> None:
    file = {"name": name, "mimeType": "text/plain", "buffer": content}
    page.get_by_label("打开文件").set_input_files(file)  # type: ignore[arg-type]
    expect(page.get_by_role("alert")).to_have_text(said)


def test_refused_texts_lose_no_other(page: Page) -> None:
    texts = [f"第{number}个手机" for number in range(20)]
    texts[3] = texts[17] = "\u200b"
    page.get_by_label("每行一条文本").fill("\n".join(texts))
    run(page, rows=20)
    expect(page.locator("#table tbody tr", has_text="失败")).to_have_count(2)


def test_a_hundred_lines_at_a_small_quota_are_answered_and_paid_once(page: Page, server: Server) -> None:
    # So small that it is used up, and the wait is shown, also where a busy machine takes ten seconds until then.
    tenant = small_quota(server, "by_page", pairs_per_minute=80)
    page.get_by_text("密钥", exact=True).click()
    page.get_by_label("租户密钥，只保存在本标签页").fill(tenant.key)
    page.get_by_label("租户密钥，只保存在本标签页").press("Tab")
    page.get_by_label("每行一条文本").fill("\n".join(lines(tenant.name)))
    page.get_by_label("标签", exact=True).fill(f"{LABEL},")
    page.get_by_role("button", name="全部分类").click()
    expect(page.locator("#progressText")).to_contain_text("已限流", timeout=60_000)
    expect(page.locator("#progressText")).to_have_text(f"{LINES} / {LINES}", timeout=60_000)
    rows = [json.loads(line) for line in downloaded(page, "JSONL").split("\n") if line]
    assert [row["text"] for row in rows] == lines(tenant.name)
    assert all(row["labels"] == [LABEL] for row in rows)
    usage = tenant.usage()
    assert (usage.pairs_computed, usage.pairs_cached) == (LINES, 0)


def test_records_are_those_that_python_writes(page: Page) -> None:
    """Any cells, with any delimiter; Python's csv is the oracle."""
    chance = random.Random(7)
    for delimiter in (",", "\t", ";"):
        for _ in range(60):
            width = chance.randint(2, 4)
            records = [
                ["".join(chance.choices('a好",;\t\n ', k=chance.randint(0, 6))) for _ in range(width)]
                for _ in range(chance.randint(1, 5))
            ]
            text = delimited(records, delimiter)
            parse = "async ([text, delimiter]) => (await import('./ui/csv.js')).parse(text, delimiter)"
            assert page.evaluate(parse, [text, delimiter]) == records


@pytest.mark.parametrize(("delimiter", "rows"), [("\t", 9), (";", 9), (",", 9)])
def test_the_delimiter_is_what_cuts_all_rows_alike(page: Page, delimiter: str, rows: int) -> None:
    text = delimited([["id", "text"], *([str(number), f"甲, 乙{number}"] for number in range(rows))], delimiter)
    guess = "async (text) => (await import('./ui/csv.js')).delimiterOf(text)"
    assert page.evaluate(guess, text) == delimiter
    assert page.evaluate(guess, f"sep=;\r\n{text}") == ";"
    assert page.evaluate(guess, "第一行, 有逗号\n第二行没有\n") == ","
