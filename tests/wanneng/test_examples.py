"""Labelled texts as people have them, and what is said of files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from wanneng import examples
from wanneng.errors import CommandError
from wanneng.examples import Example, Examples, read_examples
from wanneng.tables.answers import MAX_LABELS
from wanneng.tables.readers import ReadOptions

TWO = [Example("要求退款", "投诉"), Example("几点开门", "咨询")]


def read(tmp_path: Path, name: str, content: str | bytes, **options: Any) -> Examples:
    source = tmp_path / name
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    label_column = options.pop("label_column", None)
    return read_examples(source, ReadOptions(**options), label_column)


def test_json_lines_may_have_any_character_but_a_line_feed(tmp_path: Path) -> None:
    content = '\ufeff{"text": "一\u2028二\x85", "label": "a"}\r\n\n{"text": "三", "label": null}\n'
    for name in ("labelled.jsonl", "labelled", "labelled.txt"):
        read_ = read(tmp_path, name, content)
        assert read_.items == [Example("一\u2028二\x85", "a"), Example("三", None)]
        assert (read_.labels, read_.unlabelled, read_.items[1].location) == (["a"], 1, "line 3")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_csv_is_read_in_the_encodings_of_excel(tmp_path: Path, encoding: str) -> None:
    content = "编号,留言,类别\r\n1,要求退款,投诉\r\n2,几点开门, 咨询 \r\n3,天是蓝的,\r\n"
    read_ = read(tmp_path, "labelled.csv", content.encode(encoding))
    assert read_.items == [*TWO, Example("天是蓝的", None)]
    assert (read_.items[0].location, read_.counts()) == ("row 2", {"投诉": 1, "咨询": 1})
    assert "labels are in '类别'" in read_.description


def test_numbers_of_a_sheet_are_labels(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    for row in (("text", "stars"), ("很好", 5), ("不行", 1.0)):
        workbook.active.append(row)
    workbook.save(tmp_path / "labelled.xlsx")
    read_ = read_examples(tmp_path / "labelled.xlsx", label_column="stars")
    assert read_.items == [Example("很好", "5"), Example("不行", "1")]


def test_columns_may_be_named_or_numbered(tmp_path: Path) -> None:
    content = "甲,要求退款,投诉\n乙,几点开门,咨询\n"
    read_ = read(tmp_path, "labelled.csv", content, text_column="2", header=False, label_column="3")
    assert read_.items == TWO


def test_a_json_list_of_objects_is_a_table(tmp_path: Path) -> None:
    items = [{"text": item.text, "labels": ["投诉", "咨询"], "answer": item.label} for item in TWO]
    assert read(tmp_path, "labelled.json", json.dumps(items)).items == TWO


def task(number: int, text: str, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": number, "data": {"text": text, "choice": "of another"}, "annotations": list(annotations)} | more


def annotation(*choices: str, control: str = "sentiment", **more: Any) -> dict[str, Any]:
    value = {"choices": list(choices)}
    result = {"type": "choices", "from_name": control, "to_name": "text", "value": value}
    return {"result": [result], "was_cancelled": False, "ground_truth": False} | more


def exported(tmp_path: Path, *tasks: dict[str, Any], **options: Any) -> Examples:
    return read(tmp_path, "export.json", json.dumps(tasks), **options)


def test_an_export_of_label_studio_has_the_choices_of_its_tasks(tmp_path: Path) -> None:
    predicted = {"predictions": [annotation("负面")]}
    region = annotation("负面")
    region["result"][0]["value"] |= {"start": 0, "end": 2}
    read_ = exported(
        tmp_path,
        task(11, "很好", annotation("正面")),
        task(12, "跳过", annotation("正面", was_cancelled=True)),
        task(13, "只有预测", **predicted),
        task(14, "没选", {"result": [], "was_cancelled": False}),
        task(15, "只选了片段", region),
        task(16, "多数", annotation("负面"), annotation("正面"), annotation("负面")),
        task(17, "不一致", annotation("负面"), annotation("正面")),
        task(18, "有标准", annotation("负面"), annotation("正面", ground_truth=True)),
    )
    assert read_.items == [Example("很好", "正面"), Example("多数", "负面"), Example("有标准", "正面")]
    assert [item.location for item in read_.items] == ["task 11", "task 16", "task 18"]
    assert "choices of 'sentiment'" in read_.description
    for told in ("1 skipped by", "1 without an annotation", "2 without a choice", "1 on which the annotators"):
        assert told in read_.description


def test_one_of_several_controls_is_named(tmp_path: Path) -> None:
    tasks = [task(1, "很好", annotation("正面"), annotation("价格", control="aspect"))]
    with pytest.raises(CommandError, match="name one with --label-column: 'aspect', 'sentiment'"):
        exported(tmp_path, *tasks)
    assert exported(tmp_path, *tasks, label_column="aspect").items == [Example("很好", "价格")]
    with pytest.raises(CommandError, match="no Choices control 'mood'"):
        exported(tmp_path, *tasks, label_column="mood")


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([task(7, "很好", annotation("正面", "负面"))], "task 7: it has 2 choices"),
        ([task(7, "", annotation("正面"))], "task 7: the text is empty"),
        (
            [task(1, "好", annotation("a")), {"id": 8, "data": 3, "annotations": []}],
            "task 8: the task's data is not",
        ),
        ([task(7, "很好")], "no task of this Label Studio export has an annotation with a choice"),
        ([task(7, "很好", annotation("a", was_cancelled=True))], "no labelled task: left out 1 skipped"),
    ],
)
def test_a_task_that_cannot_be_used_is_named(tmp_path: Path, tasks: list[Any], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        exported(tmp_path, *tasks)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "x", "a.jsonl cannot be read as lines of JSON"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n[]', "line 2: the line is not an object"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n{"label": "a"}', "line 2: 'text' is not a text"),
        ("a.jsonl", '{"text": "a", "label": 1}', "line 1: the label is a string"),
        ("a.jsonl", '{"text": "a", "label": ["b"]}', "line 1: the label is a string"),
        ("a.jsonl", '{"text": "a"}', "--label-column"),
        ("a.jsonl", '{"text": "a", "label": null}', "no labelled text"),
        ("a.jsonl", '{"text": " ", "label": "b"}', "line 1: the text is empty"),
        ("a.jsonl", b'{"text": "\xff", "label": "b"}', "not"),
        ("a.json", "{}", "not a JSON list"),
        ("a.json", "[", "cannot be read as JSON"),
        ("a.json", '[{"text": "a", "label": "b", "label": "c"}]', "the name 'label' is used twice"),
        ("a.jsonl", '{"text": "a", "label": "b", "label": "c"}', "the name 'label' is used twice"),
        ("rand.json", bytes(range(256)) * 3, r"rand\.json cannot be read: it is not text"),
        ("a.json", b"[" + b"\x81\xff" * 9, r"a\.json cannot be read: line 1 is neither UTF-8 nor GB18030"),
        ("a.json", b"PK\x03\x04", r"a\.json is a ZIP archive"),
        ("a.json", '[{"text": "a", "label": "b"}, 1]', "item 2: the item is not an object"),
        ("a.json", "[" * 100_000, "cannot be read as JSON"),
        ("a.csv", "text,label\n,b\n", "row 2: the text is empty"),
        ("a.csv", "text,label\n" + "长" * 100_001 + ",b\n", "row 2: the text has 100001 characters"),
        ("a.csv", "text,note\na,b\n", "use --label-column"),
        ("a.csv", "text," + ",".join(f"c{n}" for n in range(999)) + "\na\n", "20 'c18' and 980 more$"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        read(tmp_path, name, content)


def test_texts_and_labels_are_bounded(tmp_path: Path) -> None:
    labels = "text,label\n" + "".join(f"a,{n}\n" for n in range(MAX_LABELS + 1))
    with pytest.raises(CommandError, match="257 different labels, at most 256"):
        read(tmp_path, "a.csv", labels)
    with pytest.raises(CommandError, match="100001 texts, at most 100000"):
        read(tmp_path, "a.csv", "text,label\n" + "a,b\n" * (examples.MAX_EXAMPLES + 1))
