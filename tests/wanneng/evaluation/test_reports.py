"""Reports: the same bytes for the same input, aligned tables, a page that runs and loads nothing."""

from __future__ import annotations

import json
import re

import pytest
from rich.cells import cell_len

from tests.wanneng.evaluation.answers import TableTarget, evaluation, examples
from wanneng.evaluation.names import cut, printable
from wanneng.evaluation.report_html import as_html
from wanneng.evaluation.report_json import as_json
from wanneng.evaluation.report_table import as_table
from wanneng.evaluation.run import evaluate, variants

LABELS = ["投诉", "refund, or exchange", "劳动和社会保障"]


def test_the_same_input_gives_the_same_bytes() -> None:
    for render in (as_json, as_table, lambda found: as_html(found, "zh")):
        assert render(evaluation(LABELS)) == render(evaluation(LABELS))


def test_json_is_canonical_and_has_every_figure() -> None:
    text = as_json(evaluation(LABELS))
    report = json.loads(text)
    assert text == json.dumps(report, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    assert report["examples"] == {
        "source": "labelled.csv",
        "texts": 61,
        "unlabelled": 1,
        "labels": dict.fromkeys(LABELS, 20),
    }
    first, _ = report["variants"]
    assert (first["name"], first["target"]["model"], first["texts"], first["refused"]) == (
        "first",
        "first-1",
        60,
        1,
    )
    assert first["accuracy"] == {"value": 0.8, "low": 0.6822, "high": 0.8817}
    assert first["confusion"]["投诉"] == {"投诉": 16, LABELS[1]: 4}
    assert [point["threshold"] for point in first["thresholds"]] == [0.5, 0.9]
    (comparison,) = report["comparisons"]
    assert comparison["sentence"].startswith("first is better than second: +60.0 points, 95% CI ")
    assert comparison["significant"]
    assert not re.search(r"\d\.\d{5}", text.replace(str(comparison["p_value"]), "").replace("e-", ""))
    assert "duration" not in text


def test_a_small_difference_is_said_to_be_perhaps_chance() -> None:
    table = as_table(evaluation(LABELS, right=11, wrong=10))
    assert "The difference between first and second may be chance: +5.0 points, 95% CI " in table


def test_columns_are_aligned_with_wide_characters() -> None:
    lines = as_table(evaluation(LABELS)).splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("label  "))
    table = lines[head : head + 4]
    assert len({cell_len(line) for line in table}) == 1
    matrix = next(n for n, line in enumerate(lines) if line.startswith("label \\ predicted"))
    assert len({cell_len(line) for line in lines[matrix : matrix + 4]}) == 1


def test_many_labels_are_shown_by_their_most_frequent_mistakes() -> None:
    labels = [f"标签{n}" for n in range(20)]
    table = as_table(evaluation(labels, right=16, wrong=16))
    assert "label \\ predicted" not in table
    assert re.search(r"^label +predicted +texts$", table, re.MULTILINE)


def test_a_refused_text_has_a_column() -> None:
    table = TableTarget("one", {"甲": ("a", 0.9)})
    found = evaluate(examples(("甲", "a"), ("乙", "a")), ["a"], variants([table], ["a"]))
    assert "(refused)" in as_table(found)
    assert json.loads(as_json(found))["variants"][0]["confusion"] == {"a": {"a": 1, "": 1}}


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\u202eb", "line\nbreak", "bell\x07", "\u2066x"])
def test_nothing_that_a_terminal_or_browser_would_obey_is_printed(hostile: str) -> None:
    found = evaluation(["a", hostile])
    for text in (as_table(found), as_html(found, "en")):
        assert hostile not in text
        assert not set(text) & set("\x1b\x07\u202e\u2066")


def test_names_are_cut_by_their_width() -> None:
    assert cut("很长的名字", 5) == "很长…"
    assert cut("short", 5) == "short"
    assert printable("👨‍👩‍👧❤️") == "👨‍👩‍👧❤️"


def test_a_page_names_no_other_address_and_has_no_script() -> None:
    page = as_html(evaluation(["<script>alert(1)</script>", '"><img src=//x.test onerror=alert(2)>']), "zh")
    assert not re.search(r"<(script|link|img|iframe|object|form|a)\b", page)
    assert not [tag for tag in re.findall(r"<[a-z][^>]*>", page) if re.search(r"\s(src|href|on\w+|style)=", tag)]
    assert "url(" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert '<html lang="zh">' in page
    assert 'id="zh" checked' in page
    assert "default-src 'none'" in page


def test_every_text_of_the_page_is_there_in_both_languages() -> None:
    page = as_html(evaluation(LABELS), "en")
    english, chinese = (re.findall(rf'class="(?:axis )?{code}"', page) for code in ("en", "zh"))
    assert len(english) == len(chinese) > 40
    assert not [
        text for text in re.findall(r'class="en" lang="en">([^<]*)<', page) if re.search("[\u4e00-\u9fff]", text)
    ]


@pytest.mark.parametrize("count", [1, 30, 61])
def test_any_number_of_labels_has_a_page(count: int) -> None:
    """A matrix up to 60 labels, the most frequent mistakes beyond."""
    page = as_html(evaluation([f"label {n}" for n in range(count)]), "en")
    assert ("Confusion matrix" in page) == (count <= 60)
    assert len(page) < 3_000_000
