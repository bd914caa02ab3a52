"""Files as people have them, and what they are taken for."""

from __future__ import annotations

import datetime as dt
import gzip
import random
import re
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.chart import BarChart

from wanneng.errors import CommandError
from wanneng.tables.readers import ReadOptions, read_options, read_table
from wanneng.tables.table import Table

EXCEL = (
    '编号,评论,日期\r\n1,"质量太差，\r\n要求""退款""",2026/1/2\r\n2,"物流快, 包装好",2026/1/3\r\n3,,2026/1/4\r\n'
)
"""As Excel saves it: line breaks, commas and quotes inside of quotes."""
DAY = dt.datetime(2026, 1, 2)  # noqa: DTZ001 - cells have no time zone
TEXTS = ['质量太差，\r\n要求"退款"', "物流快, 包装好", ""]


def read(tmp_path: Path, name: str, content: bytes | str, **options: Any) -> Table:
    source = tmp_path / name
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(source, ReadOptions(**options))


def texts(table: Table) -> list[str]:
    return [row.text for row in table.rows]


@pytest.mark.parametrize("encoding", ["gbk", "utf-8-sig", "utf-8", "utf-16"])
def test_a_table_of_excel_has_a_header_and_cells_with_line_breaks(tmp_path: Path, encoding: str) -> None:
    table = read(tmp_path, "reviews.csv", EXCEL.encode(encoding))
    assert texts(table) == TEXTS
    assert table.columns == ["编号", "评论", "日期"]
    assert table.rows[1].cells == {"编号": "2", "评论": "物流快, 包装好", "日期": "2026/1/3"}
    assert [row.error for row in table.rows] == [None, None, "the text is empty"]
    assert "separated by commas; the first row is the header; texts are in column 2 (评论)" in table.description


@pytest.mark.parametrize(("name", "delimiter"), [("t.tsv", "\t"), ("t.csv", "\t"), ("t.csv", ";")])
def test_tabs_and_semicolons_separate_too(tmp_path: Path, name: str, delimiter: str) -> None:
    lines = [delimiter.join(("编号", "内容")), *(delimiter.join((str(n), f"物流快, 包装好{n}")) for n in range(5))]
    table = read(tmp_path, name, "\n".join(lines))
    assert texts(table) == [f"物流快, 包装好{n}" for n in range(5)]


def test_a_carriage_return_alone_ends_a_record_outside_of_quotes(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "t.csv", 'id,text\r1,"甲\r乙"\r2,丙\r')) == ["甲\r乙", "丙"]


def test_a_first_line_may_tell_the_delimiter(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "t.csv", "sep=;\r\nid;text\r\n1;a,b\r\n")) == ["a,b"]


def test_commas_in_one_column_do_not_make_it_two(tmp_path: Path) -> None:
    content = "text\n" + "\n".join(f'"第{n}个，a;b"' for n in range(9))
    assert texts(read(tmp_path, "t.csv", content)) == [f"第{n}个，a;b" for n in range(9)]


@pytest.mark.parametrize(
    ("first", "rows", "expected"),
    [
        ("text,label", ["好,1"], True),
        ("编号,客户留言", ["1,好"], True),
        ("number,words", ["1,好", "2,坏"], True),
        ("1,这个手机不错", ["2,坏"], False),
        ("手机不错,满意", ["坏,不满意"], False),
    ],
)
def test_a_header_is_recognized(tmp_path: Path, first: str, rows: list[str], expected: bool) -> None:
    table = read(tmp_path, "t.csv", "\n".join([first, *rows]), text_column="2")
    assert len(table.rows) == len(rows) + (0 if expected else 1)
    assert (f"the first row is {'the header' if expected else 'no header'}") in table.description


def test_a_header_and_the_column_may_be_told(tmp_path: Path) -> None:
    content = "甲,乙\n丙,丁\n"
    assert texts(read(tmp_path, "t.csv", content, text_column="乙")) == ["丁"]
    assert texts(read(tmp_path, "t.csv", content, text_column="1", header=False)) == ["甲", "丙"]
    assert texts(read(tmp_path, "t.csv", content, text_column="1", header=True)) == ["丙"]


def test_who_does_not_say_which_column_is_told_the_columns(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--text-column .*: 1 \('甲'\), 2 \('乙'\)"):
        read(tmp_path, "t.csv", "甲,乙\n丙,丁\n")
    with pytest.raises(CommandError, match=r"no column '3'; the columns are 1 'id', 2 'name'"):
        read(tmp_path, "t.csv", "id,name\n1,a\n", text_column="3")


@pytest.mark.parametrize("options", [{}, {"text_column": "x"}, {"header": False}])
def test_a_message_lists_some_of_many_columns(tmp_path: Path, options: dict[str, Any]) -> None:
    content = ",".join(f"{number} {'长' * 200}" for number in range(16_384)) + "\n"
    with pytest.raises(CommandError, match=r"20 .*…'\)? and 16364 more") as refused:
        read(tmp_path, "t.csv", content * 2, **options)
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('id,text\n1,好\n2,"没有', "record 3 begins a quoted cell that is never closed"),
        ("", "has no rows"),
        (b"\xd0\xcf\x11\xe0 old", r"an Excel or Word file that is old .*save it as \.xlsx or \.csv"),
        (gzip.compress(EXCEL.encode()), "a gzip archive; unpack it first"),
        (b"PK\x03\x04 no more", "a ZIP archive; unpack it first"),
        (b"PAR1\x15\x04\x15\xff\x9e\x00", r"a Parquet file; save its table as \.csv"),
        (b"\x89PNG\r\n\x1a\n\x00", "a picture"),
        (b"SQLite format 3\x00\x10", "an SQLite database; export a table"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE HTML><html>", "an HTML page; open it and save it"),
        (random.Random(0).randbytes(3000), "it is not text, or in an encoding that is not detected"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        read(tmp_path, "t.csv", content)


def test_a_control_character_in_a_file_of_excel_is_no_reason_to_refuse_it(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "t.txt", "质量\0太差".encode("gbk"))) == ["质量\0太差"]


def test_a_cell_with_bad_bytes_is_its_rows_error(tmp_path: Path) -> None:
    rows = [f"{n},第{n}个手机质量太差" for n in range(9)]
    content = "\n".join(["id,text", *rows]).encode("gb18030").replace("第4个".encode("gb18030"), b"\xff")
    table = read(tmp_path, "t.csv", content)
    assert [row.number for row in table.rows if row.error] == [6]
    assert table.rows[4].error == "the text is not GB18030"


def test_a_workbook_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (
        ("编号", "评论", "日期"),
        (1, "要求\n退款", DAY),
        (2.5, 12.0, None),
        (None,),
    ):
        book.active.append(row)
    book.create_sheet("另一张").append(["只有一列"])
    book.save(tmp_path / "book.xlsx")
    for name in ("book.xlsx", "renamed.csv"):
        table = read(tmp_path, name, (tmp_path / "book.xlsx").read_bytes())
        assert texts(table) == ["要求\n退款", "12"]
        assert table.rows[0].cells["日期"] == DAY
        assert table.description.startswith(
            "sheet 'Sheet'; the first row is the header; texts are in column 2 (评论)"
        )
    other = read_table(tmp_path / "book.xlsx", ReadOptions(sheet="另一张"))
    assert texts(other) == ["只有一列"]
    with pytest.raises(CommandError, match=r"no sheet 'x' with cells; its sheets are 'Sheet', '另一张'$"):
        read_table(tmp_path / "book.xlsx", ReadOptions(sheet="x"))


def test_a_workbook_that_is_cut_short_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot be read as \.xlsx: it is a damaged ZIP archive"):
        read(tmp_path, "t.xlsx", b"PK\x03\x04 no more")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (EXCEL.encode(), "it is not an Excel file; if it is a text file, name it .csv or give --format csv"),
        (b"<html><table>", r"it is an HTML page; open it and save it as \.xlsx"),
        (b"\xd0\xcf\x11\xe0 old", "it is an Excel or Word file that is old or has a password"),
        (b"", "it is empty"),
    ],
)
def test_what_is_no_workbook_is_said_to_be_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(CommandError, match=rf"t\.xlsx cannot be read as \.xlsx: {message}"):
        read(tmp_path, "t.xlsx", content)


def test_a_chart_that_was_open_last_is_passed_over(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["要求退款"])
    book.create_chartsheet("图").add_chart(BarChart())
    book.active = 1
    book.save(tmp_path / "book.xlsx")
    assert texts(read_table(tmp_path / "book.xlsx")) == ["要求退款"]
    with pytest.raises(CommandError, match=r"no sheet '图' with cells; its sheets are 'Sheet'$"):
        read_table(tmp_path / "book.xlsx", ReadOptions(sheet="图"))


def with_formula(tmp_path: Path, cell: str) -> Path:
    """A sheet of which the XML of B3 is `cell`."""
    book = openpyxl.Workbook()
    for row in (("id", "text"), (1, "甲"), (2, "=A2&B2"), (3, "乙")):
        book.active.append(row)
    book.save(tmp_path / "library.xlsx")
    target = tmp_path / "book.xlsx"
    with zipfile.ZipFile(tmp_path / "library.xlsx") as library, zipfile.ZipFile(target, "w") as changed:
        for name in library.namelist():
            content = library.read(name).decode()
            changed.writestr(name, re.sub(r'<c r="B3">.*?</c>', cell, content))
    return target


@pytest.mark.parametrize(
    "cell",
    [
        r"\g<0>",
        '<c r="B3"><f>A2&amp;B2</f></c>',
        '<c r="B3" s="1"><f t="shared" si="0"/></c>',
        '<c r="B3"><f t="array" ref="B3">A2</f><v></v></c>',
    ],
)
def test_a_formula_that_nobody_computed_is_no_empty_text(tmp_path: Path, cell: str) -> None:
    with pytest.raises(CommandError, match=r"cell B3 of sheet 'Sheet' has no stored value, .* save it as \.xlsx$"):
        read_table(with_formula(tmp_path, cell))


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('<c r="B3" t="str"><f>A2&amp;B2</f><v>1甲</v></c>', "1甲"),
        ('<c r="B3" t="str"><f>A2&amp;B2</f><v></v></c>', ""),
        ('<c r="B3"><f t="shared" si="0"/><v>7</v></c>', "7"),
    ],
)
def test_a_formula_is_its_stored_value(tmp_path: Path, cell: str, text: str) -> None:
    assert texts(read_table(with_formula(tmp_path, cell))) == ["甲", text, "乙"]


def test_lines_of_json_have_their_own_errors(tmp_path: Path) -> None:
    lines = [
        b"\xef\xbb\xbf" + '{"text": "好", "id": 1}'.encode(),
        '{"text": "一行\u2028还是那一行\\u0000"}'.encode(),
        b"{nonsense",
        b'{"text": "\\ud83d"}',
        b"",
        '"只有文本"'.encode(),
        b'{"id": 7}',
        b"[1]",
        b'{"text": "\xff"}',
        b'{"text": " "}',
        b'{"text": "a", "text": "b"}',
        b'{"text": "a", "more": {"n": 1, "n": 2}}',
    ]
    table = read(tmp_path, "t.jsonl", b"\r\n".join(lines))
    good = {1: "好", 2: "一行\u2028还是那一行\0", 6: "只有文本"}
    assert {row.number: row.text for row in table.rows if row.error is None} == good
    errors = {row.number: row.error for row in table.rows if row.error is not None}
    assert set(errors) == {3, 4, 7, 8, 9, 10, 11, 12}
    assert "surrogates" in str(errors[4])
    assert errors[7] == "'text' is not a text"
    assert errors[11] == "the line is not JSON: the name 'text' is used twice"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ('"n": 1e400', "a number that is not finite"),
        ('"n": -1e400', "a number that is not finite"),
        ('"n": [{"m": 1e400}]', "a number that is not finite"),
        ('"\\ud800": 1', "surrogates"),
        ('"n": {"m": ["\\ud800"]}', "surrogates"),
        ('"n": {"\\udfff": 1}', "surrogates"),
        (f'"n": {"[" * 101}{"]" * 101}', "more than 100 deep"),
    ],
)
def test_what_json_cannot_hold_is_an_error_of_its_line(tmp_path: Path, fields: str, problem: str) -> None:
    table = read(tmp_path, "t.jsonl", f'{{"text": "好", {fields}}}\n{{"text": "好", "n": 1e300}}\n')
    first, second = table.rows
    assert problem in str(first.error)
    assert (first.cells, second.error) == ({}, None)


def test_what_pandas_writes_for_an_empty_cell_is_one(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "t.jsonl", '{"text": "好", "n": NaN, "m": [Infinity]}\n').rows
    assert (row.text, row.error, row.cells) == ("好", None, {"text": "好", "n": None, "m": [None]})


def test_html_is_text_for_whoever_says_so(tmp_path: Path) -> None:
    lines = ["<html>要求退款</html>", "<p>别的</p>"]
    assert texts(read(tmp_path, "t.txt", "\n".join(lines), encoding="utf-8")) == lines


@pytest.mark.parametrize("header", ["PAR1,PAR2,text", "FEA1,FEA2,text"])
def test_columns_may_be_named_as_formats_begin(tmp_path: Path, header: str) -> None:
    assert texts(read(tmp_path, "t.csv", f"{header}\n1,2,要求退款\n")) == ["要求退款"]


def test_a_field_of_json_lines_may_be_named(tmp_path: Path) -> None:
    content = '{"a": "x", "b": "y"}\n'
    assert texts(read(tmp_path, "t.jsonl", content, text_column="b")) == ["y"]
    with pytest.raises(CommandError, match=r"--text-column .*: 1 'a', 2 'b'"):
        read(tmp_path, "t.jsonl", content)


def test_plain_lines_end_at_line_feeds_and_empty_ones_do_not_count(tmp_path: Path) -> None:
    table = read(tmp_path, "t.txt", "\ufeff要求退款\r\n\n一行\u2028还是\x85那\x0b一行\n".encode())
    assert [(row.number, row.text) for row in table.rows] == [(1, "要求退款"), (3, "一行\u2028还是\x85那\x0b一行")]


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(CommandError, match="use one of csv, tsv, xlsx, jsonl, txt"):
        read_options("pdf", None, None, None, None)
    assert read_options("csv", None, None, None, None).format == "csv"


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"t\.csv cannot be read: No such file"):
        read_table(tmp_path / "t.csv")
