"""`wanneng classify` against a running server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import ROOT, Server, free_ports

TEXT = "这个手机质量太差，要求退款"


def wanneng(*arguments: str, url: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wanneng", "classify", "--url", url, *arguments]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def test_bars_show_the_best_label_first(server: Server) -> None:
    done = wanneng(TEXT, "--labels", "投诉,咨询,建议", url=server.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("投诉")
    assert "█" in done.stdout


def test_json_is_the_gateways_answer(server: Server) -> None:
    done = wanneng(TEXT, "--labels", "投诉", "--labels", "咨询", "--json", url=server.url)
    answer = json.loads(done.stdout)
    assert answer["labels"][0] == "投诉"
    assert sum(answer["pairs"].values()) == 2


def test_special_tokens_can_be_text(server: Server) -> None:
    answers = []
    for meaning in ("model", "text"):
        done = wanneng(
            f"{TEXT}[MASK]", "--labels", "投诉,建议", "--special-tokens", meaning, "--json", url=server.url
        )
        answers.append(json.loads(done.stdout)["scores"])
    assert answers[0] != answers[1]


def test_standard_input_becomes_json_lines_in_order(server: Server) -> None:
    texts = [f"第{i}个手机质量太差" for i in range(40)]
    done = wanneng("--input", "-", "--labels", "投诉，表扬", url=server.url, stdin="\n".join(texts) + "\n\n")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in lines] == texts
    assert {frozenset(line["labels"]) for line in lines} == {frozenset({"投诉", "表扬"})}


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "utf-8"])
def test_output_is_json_in_every_locale(server: Server, encoding: str) -> None:
    texts = ["我要退款😀", "一行\u2028还是那一行"]
    command = [*(sys.executable, "-m", "wanneng", "classify", "--url", server.url), "--labels", "投诉,表扬"]
    environment = dict(os.environ) | {"PYTHONIOENCODING": encoding}
    for arguments, stdin in ((["--input", "-"], "\n".join(texts)), (["--json", texts[0]], "")):
        done = subprocess.run(
            [*command, *arguments],
            input=("\ufeff" + stdin).encode(),
            env=environment,
            cwd=ROOT,
            capture_output=True,
            timeout=60,
            check=True,
        )
        answers = [json.loads(line) for line in done.stdout.decode(encoding).split("\n") if line]
        if stdin:
            assert [answer["text"] for answer in answers] == texts
        assert all(set(answer["labels"]) == {"投诉", "表扬"} for answer in answers)


def test_one_refused_line_loses_no_other(server: Server, tmp_path: Path) -> None:
    source, target = tmp_path / "texts.txt", tmp_path / "answers.jsonl"
    source.write_text(f"{TEXT}\n{'长' * 100_001}\n{TEXT}\n", encoding="utf-8")
    done = wanneng("--input", str(source), "--output", str(target), "--labels", "投诉,咨询", url=server.url)
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert done.returncode == 1
    assert "1 of 3 lines" in done.stderr
    assert ["error" in line for line in lines] == [False, True, False]


def test_a_refusal_is_one_sentence(server: Server) -> None:
    done = wanneng(TEXT, "--labels", "投诉,投诉", url=server.url)
    assert done.returncode == 1
    assert done.stderr.strip() == "wanneng: labels[1]: duplicate label"


def test_nobody_at_the_address_is_one_sentence() -> None:
    (port,) = free_ports(1)
    done = wanneng(TEXT, "--labels", "投诉,咨询", url=f"http://127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"nothing listens at http://127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_tokens_that_are_counted_beforehand_are_those_of_the_answer(server: Server) -> None:
    body = {"text": TEXT * 40, "labels": "投诉,咨询服务", "max_tokens": 64}
    counted = httpx.post(f"{server.url}/v1/tokenize", json=body, trust_env=False).json()
    answer = server.classify(**body).json()
    assert (counted["max_tokens"], counted["truncated"]) == (64, True)
    assert counted["text_tokens"] > 400
    assert max(label["text_cut"] for label in counted["labels"]) == answer["cut"]["text_tokens"]
    whole = httpx.post(f"{server.url}/v1/tokenize", json={"text": TEXT}, trust_env=False).json()
    expected = {"max_tokens": 512, "text_tokens": len(TEXT), "unknown_share": 0.0}
    assert whole == expected | {"labels": [], "truncated": False}


def test_a_threshold_is_found_from_labelled_texts_and_kept(server: Server, tmp_path: Path) -> None:
    labelled = [
        (TEXT, "投诉"),
        ("你们几点开门", "咨询"),
        ("货是坏的，我要退钱", "投诉"),
        ("今天下雨了", None),
    ]
    examples = tmp_path / "labelled.jsonl"
    lines = [json.dumps({"text": text, "label": label}) for text, label in labelled]
    examples.write_text("\n".join(lines), encoding="utf-8")
    path = f"{server.url}/v1/label-sets/calibrated"
    assert httpx.put(path, json={"labels": ["投诉", "咨询"]}, trust_env=False).status_code == 201
    command = [sys.executable, "-m", "wanneng", "calibrate", "calibrated", "--examples", str(examples), "--keep"]
    done = subprocess.run(
        [*command, "--url", server.url], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "precision" in done.stdout
    kept = httpx.get(path, trust_env=False).json()
    assert (kept["version"], done.stdout.splitlines()[-1]) == (2, "calibrated@2")
    assert 0 < kept["threshold"] < 1
    assert "投诉 has 2" in done.stderr


def test_a_correction_is_learned_and_answers_with_the_next_version(server: Server, tmp_path: Path) -> None:
    """The examples say the opposite of what the model says: only a correction can follow them."""
    complaints = [
        "退钱",
        "货是坏的，差评",
        "质量太差",
        "态度恶劣",
        "迟迟不发货",
        "包装破了",
        "少了一件",
        "坏了没人管",
    ]
    weather = ["今天下雨", "明天多云", "台风要来了", "气温下降", "大雪封山", "阳光很好", "雾很大", "刮风了"]
    path = f"{server.url}/v1/label-sets/corrected"
    assert httpx.put(path, json={"labels": ["投诉", "天气"]}, trust_env=False).status_code == 201
    before = server.classify(texts=complaints, label_set="corrected").json()
    rows = [(text, "天气") for text in complaints] + [(text, "投诉") for text in weather]
    examples = tmp_path / "labelled.csv"
    examples.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
    command = [sys.executable, "-m", "wanneng", "calibrate", "corrected", "--examples", str(examples), "--keep"]
    done = subprocess.run(
        [*command, "--url", server.url], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    kept = httpx.get(path, trust_env=False).json()
    assert (kept["version"], done.stdout.splitlines()[-1]) == (2, "corrected@2")
    assert kept["correction"]["map"] is not None, done.stdout
    after = server.classify(texts=complaints, label_set="corrected").json()
    numbers = kept["evaluation"]
    assert (numbers["texts"], numbers["labelled"], numbers["compared_with"]) == (16, 16, 1)
    assert (numbers["in_sample"], numbers["model_version"]) == (True, after["model_version"])
    assert numbers["changed"] >= 6
    pinned = server.classify(texts=complaints, label_set="corrected@1").json()
    assert (before["label_set"], after["label_set"]) == ("corrected@1", "corrected@2")
    assert [result["scores"] for result in pinned["results"]] == [result["scores"] for result in before["results"]]
    assert [result["labels"][0] for result in before["results"]].count("投诉") >= 6
    assert [result["labels"][0] for result in after["results"]].count("天气") >= 6, done.stdout


def bench(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wanneng", "bench", url, "--duration-s", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_bench_measures_every_loop_and_has_the_budget_as_its_exit_code(server: Server) -> None:
    kept = bench("--clients", "2", "--rates", "2", "--json", "--p99-ms", "60000", url=server.url)
    assert kept.returncode == 0, kept.stderr
    answer = json.loads(kept.stdout)
    assert [loop["load"].split()[1] for loop in answer["loops"]] == ["clients", "requests/s"]
    assert all(loop["p99_ms"] > 0 and not loop["errors"] for loop in answer["loops"])
    broken = bench("--clients", "2", "--p99-ms", "0.001", "--cached", "1", url=server.url)
    assert broken.returncode == 1
    assert "over --p99-ms" in broken.stderr
    assert "2 clients" in broken.stdout


def test_bench_of_what_is_no_gateway_says_so() -> None:
    done = bench(url=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing listens" in done.stderr or "refused" in done.stderr
