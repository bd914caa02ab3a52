"""The same table with the answers beside, in each format, and the journal of an interrupted run."""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from gateway.classification.schema import ClassifyAnswer
from wanneng.errors import CommandError
from wanneng.tables.answers import AnswerColumns, most_columns
from wanneng.tables.excel import MAX_COLUMNS, MAX_ROWS
from wanneng.tables.journal import Journal
from wanneng.tables.readers import read_table
from wanneng.tables.table import Row, Table
from wanneng.tables.writers import check_target, write_table

CELLS: list[dict[str, Any]] = [
    {"id": "1", "text": "要求\n退款"},
    {"id": "2", "text": "=1+1"},
    {"id": "3", "text": ""},
]
ANSWERS: dict[int, dict[str, Any]] = {
    2: {"labels": ["咨询", "投诉"], "scores": [0.75, 0.25], "truncated": False, "entailment": [0.5, 0.1]},
    3: {"error": "the text is empty"},
}
EXPECTED: list[list[Any]] = [
    [
        "id",
        "text",
        "best_label",
        "best_score",
        "投诉",
        "咨询",
        "entailment_投诉",
        "entailment_咨询",
        "truncated",
        "error",
    ],
    ["1", "要求\n退款", "咨询", 0.75, 0.25, 0.75, 0.1, 0.5, False, ""],
    ["2", "=1+1", "", None, None, None, None, None, None, "the text is empty"],
    ["3", "", "", None, None, None, None, None, None, ""],
]


def table(cells: list[dict[str, Any]] = CELLS, *, is_spreadsheet: bool = True) -> Table:
    rows = [Row(number, row, row["text"]) for number, row in enumerate(cells, 2)]
    return Table(list(cells[0]), rows, "", is_spreadsheet)


def written(target: Path, of: Table) -> Path:
    write_table(target, of, ANSWERS, ["投诉", "咨询"])
    assert [path.name for path in target.parent.iterdir()] == [target.name], "nothing else is left"
    return target


@pytest.mark.parametrize(("name", "delimiter"), [("out.csv", ","), ("out.tsv", "\t")])
def test_csv_begins_with_a_mark_for_excel(tmp_path: Path, name: str, delimiter: str) -> None:
    target = written(tmp_path / name, table())
    assert target.read_bytes().startswith(b"\xef\xbb\xbf")
    with target.open(encoding="utf-8-sig", newline="") as file:
        records = list(csv.reader(file, delimiter=delimiter))
    assert records == [
        ["" if cell is None else str(cell).replace("False", "FALSE") for cell in row] for row in EXPECTED
    ]


def test_a_text_that_was_in_no_spreadsheet_does_not_become_a_formula(tmp_path: Path) -> None:
    assert "\r\n2,'=1+1," in written(tmp_path / "out.csv", table(is_spreadsheet=False)).read_bytes().decode()


def test_what_is_added_to_a_spreadsheet_does_not_become_a_formula(tmp_path: Path) -> None:
    answers: dict[int, dict[str, Any]] = {2: {"labels": ["=1+1"], "scores": [0.5]}, 3: {"error": "@SUM(A1)"}}
    write_table(tmp_path / "out.csv", table(), answers, ["=1+1"])
    text = (tmp_path / "out.csv").read_text(encoding="utf-8-sig")
    assert "'=1+1" in text
    assert "'@SUM(A1)" in text
    assert "\n2,=1+1," in text, "the spreadsheet's own cell"


def test_a_sheet_has_numbers_and_texts_that_excel_does_not_compute(tmp_path: Path) -> None:
    sheet: Any = openpyxl.load_workbook(written(tmp_path / "out.xlsx", table()))["wanneng"]
    assert [[cell.value for cell in row] for row in sheet.rows] == [
        [cell if cell != "" else None for cell in row] for row in EXPECTED
    ]
    assert sheet["B3"].data_type == "s"


def test_a_sheet_takes_what_xml_forbids(tmp_path: Path) -> None:
    cells = [{"id": "1", "text": "a\x00b\ud800c" + "长" * 40_000}]
    sheet: Any = openpyxl.load_workbook(written(tmp_path / "out.xlsx", table(cells)))["wanneng"]
    assert sheet["B2"].value == "a\ufffdb\ufffdc" + "长" * (32_767 - 5)


NUMBERS = [
    *(1234567890123456789, -(10**15), 10**15 - 1, 2**53 + 1, 10**400, 0, -7),
    *(1700000000.1234567, 0.1 + 0.2, 1e300, 5e-324, 123456789012345680.0, 3.0, -0.5),
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".jsonl"])
def test_every_number_reads_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / f"out{suffix}"
    source.write_text("\n".join(json.dumps({"text": "好", "number": number}) for number in NUMBERS))
    write_table(target, read_table(source), {}, [])
    cells = [row.cells["number"] for row in read_table(target).rows]
    back = [type(number)(cell) for number, cell in zip(NUMBERS, cells, strict=True)]
    assert back == NUMBERS


def test_a_number_that_json_cannot_hold_is_text_in_json_lines(tmp_path: Path) -> None:
    written(tmp_path / "out.jsonl", table([{"text": "好", "n": float("inf")}]))
    assert json.loads((tmp_path / "out.jsonl").read_text())["n"] == "inf"


def test_the_cells_of_a_sheet_read_back_as_they_were(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 12, 10**15 - 1, True, dt.datetime(2026, 1, 2, 3, 4), dt.timedelta(hours=30)]  # noqa: DTZ001
    cells: dict[str, Any] = {f"c{number}": value for number, value in enumerate(values)} | {"text": "好"}
    write_table(tmp_path / "in.xlsx", table([cells]), {}, [])
    write_table(tmp_path / "out.xlsx", read_table(tmp_path / "in.xlsx"), {}, [])
    (row,) = read_table(tmp_path / "out.xlsx").rows
    assert [row.cells[name] for name in cells] == list(cells.values())


def test_json_lines_have_the_cells_and_the_answer(tmp_path: Path) -> None:
    lines = written(tmp_path / "out.jsonl", table()).read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [
        CELLS[0] | ANSWERS[2],
        CELLS[1] | ANSWERS[3],
        CELLS[2],
    ]


def test_columns_of_the_same_name_stay_apart(tmp_path: Path) -> None:
    cells = [{"text": "x", "error": "theirs", "best_label": "theirs", "labels": "theirs"}]
    header = written(tmp_path / "out.csv", table(cells)).read_text(encoding="utf-8-sig").splitlines()[0]
    assert header.split(",") == [
        *("text", "error", "best_label", "labels", "best_label_2", "best_score", "投诉", "咨询"),
        *("entailment_投诉", "entailment_咨询", "truncated", "error_2"),
    ]
    (tmp_path / "out.csv").unlink()
    line = json.loads(written(tmp_path / "out.jsonl", table(cells)).read_text(encoding="utf-8"))
    assert (line["labels"], line["labels_2"]) == ("theirs", ["咨询", "投诉"])


def test_none_of_these_has_no_best_label(tmp_path: Path) -> None:
    answers = {2: ANSWERS[2] | {"none_of_these": True}}
    write_table(tmp_path / "out.csv", table(), answers, [])
    second = (tmp_path / "out.csv").read_bytes().decode("utf-8-sig").split("\r\n")[1]
    assert second.endswith('",,0.75,0.75,0.25,0.5,0.1,FALSE,TRUE,')


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.doc", r"unknown extension; use one of \.csv"),
        ("missing/out.csv", "there is no folder .*missing"),
        ("link.csv", "there is no folder .*elsewhere"),
        ("loop.csv", "is not a regular file"),
        ("folder.csv", r"is a folder; name a file, such as .*folder\.csv/answers\.csv"),
        ("pipe.csv", "is not a regular file"),
        ("n" * 999 + ".csv", "cannot be written: File name too long"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_asked(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere" / "out.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(CommandError, match=message):
        check_target(tmp_path / name, table(), 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("-", r"--output - is not a file; .* without --output, `wanneng classify` prints JSON Lines"),
        ("/dev/stdout", "without --output, `wanneng classify` prints JSON Lines"),
        ("", r"--output is empty or the current folder; name a file, such as answers\.csv"),
    ],
)
def test_an_output_that_is_no_file_is_refused_with_the_way_out(name: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        check_target(Path(name), table(), 2)


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    written(tmp_path / ("n" * 251 + ".csv"), table())


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    place, link = tmp_path / "data" / "answers", tmp_path / "links" / "out.csv"
    for path in (place, link):
        path.parent.mkdir()
    link.symlink_to(Path("..") / "data" / "answers")
    check_target(link, table(), 2)
    for _ in range(2):
        written(link, table())
        assert link.is_symlink()
        assert place.read_bytes().startswith(b"\xef\xbb\xbfid,text")
        assert [path.name for path in place.parent.iterdir()] == ["answers"]


def test_more_rows_than_a_sheet_has_are_refused(tmp_path: Path) -> None:
    many = Table(["text"], [Row(1, {"text": "x"}, "x")] * MAX_ROWS, "", is_spreadsheet=False)
    with pytest.raises(CommandError, match=r"choose an --output that ends in \.csv"):
        check_target(tmp_path / "out.xlsx", many, 2)
    check_target(tmp_path / "out.csv", many, 2)


def test_more_columns_than_a_sheet_has_are_refused_with_those_of_the_answers(tmp_path: Path) -> None:
    def with_columns(count: int) -> Table:
        return Table([f"c{number}" for number in range(count)], [], "", is_spreadsheet=True)

    own = with_columns(MAX_COLUMNS - most_columns(300, entailment=True))
    check_target(tmp_path / "out.xlsx", own, 300, entailment=True)
    for wider, labels in ((own, 301), (with_columns(MAX_COLUMNS), 2)):
        with pytest.raises(CommandError, match=r"columns, but an Excel sheet holds at most 16384: .* \.csv"):
            check_target(tmp_path / "out.xlsx", wider, labels, entailment=True)
        check_target(tmp_path / "out.csv", wider, labels, entailment=True)


def test_answers_add_no_more_columns_than_are_expected() -> None:
    labelled = {"labels": ["a", "b"], "scores": [1, 0], "entailment": [1, 0]}
    answer = dict.fromkeys(ClassifyAnswer.__struct_fields__, 1) | labelled
    assert len(AnswerColumns([answer], ["a", "b"], []).names) <= most_columns(2, entailment=True)


def test_a_journal_goes_on_where_it_was_even_after_half_a_line(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with Journal(target, {"body": 1}) as journal:
        journal.add(1, {"labels": ["投诉"]})
        journal.note("batch_id", "b")
    path = tmp_path / "out.csv.partial"
    path.write_bytes(path.read_bytes() + b'{"row": 2, "ans')
    with Journal(target, {"body": 1}) as journal:
        assert (journal.answers, journal.notes) == ({1: {"labels": ["投诉"]}}, {"batch_id": "b"})
        journal.add(2, {})
    with Journal(target, {"body": 1}) as journal:
        assert list(journal.answers) == [1, 2]
        journal.remove()
    assert not path.exists()


def test_a_journal_of_another_run_or_another_process_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with Journal(target, {"body": 1}), pytest.raises(CommandError, match="another command is writing"):
        Journal(target, {"body": 1}).__enter__()
    with pytest.raises(CommandError, match="another input or other options"):
        Journal(target, {"body": 2}).__enter__()


@pytest.mark.parametrize(
    "theirs", [b"theirs\n", b"theirs", b"theirs\nwithout an end", b'{"run": {"body": 1}}\n[1]\n', b'{"a": 1}\n{']
)
def test_a_file_that_is_no_journal_stays_as_it_is(theirs: bytes, tmp_path: Path) -> None:
    path = tmp_path / "out.csv.partial"
    path.write_bytes(theirs)
    with pytest.raises(CommandError, match="was not written by an interrupted command"):
        Journal(tmp_path / "out.csv", {"body": 1}).__enter__()
    assert path.read_bytes() == theirs


@pytest.mark.parametrize("left", [b"", b"{", b'{"run": {"bo'])
def test_a_journal_that_ends_within_its_first_line_begins_anew(left: bytes, tmp_path: Path) -> None:
    (tmp_path / "out.csv.partial").write_bytes(left)
    with Journal(tmp_path / "out.csv", {"body": 1}) as journal:
        journal.add(1, {})
    with Journal(tmp_path / "out.csv", {"body": 1}) as journal:
        assert journal.answers == {1: {}}
