"""A small corpus with random sentences of three topics, in the files of the real one."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path

TOPICS = {"球类": "球队比赛进球联赛冠军", "钱财": "股市银行利率投资债券", "饭菜": "菜谱火锅面条烧烤甜点"}
"""Labels and the characters of their texts. The labels have no other names, which the vocabulary would lack."""
TASKS = (
    "tnews", "nlpcc2017", "shopping_sentiment", "book_sentiment", "shopping_category", "emotion",
    "ecommerce_intent", "iflytek", "csldcp", "csl_category", "csl_keyword", "cold_topic", "offensive",
)  # fmt: skip


def random_sentence(rng: random.Random, topic: str) -> str:
    return "".join(rng.choice(TOPICS[topic]) for _ in range(rng.randint(8, 16)))


def write_corpus(folder: Path) -> None:
    """Write the files of the corpus into `folder`."""
    rng = random.Random(1)
    labelled = [
        {"task": task, "text": random_sentence(rng, topic), "label": topic}
        for task in TASKS for topic in TOPICS for _ in range(12)
    ]  # fmt: skip
    suggestion = {"task": "shopping_sentiment", "text": "建议" + random_sentence(rng, "饭菜"), "label": "负面"}
    labelled += [suggestion] * 3
    remarks = ["快递走了五天才到手里呢", "味道和以前吃过的不同", "快递慢，味道也不好呢", "一般般没有什么可说的"]
    labelled += [{"task": "shopping_sentiment", "text": text, "label": "负面"} for text in remarks * 10]
    pairs = [(random_sentence(rng, t), random_sentence(rng, t)) for t in TOPICS for _ in range(10)]
    relations = ["entailment", "neutral", "contradiction"]
    nli = [
        {"source": "x", "premise": a, "hypothesis": b, "label": relations[i % 3]} for i, (a, b) in enumerate(pairs)
    ]
    paraphrases = [{"source": "x", "a": a, "b": b, "same": i % 2} for i, (a, b) in enumerate(pairs)]
    for name, records in (
        ("classification_train.jsonl", labelled), ("classification_dev.jsonl", labelled[:9]),
        ("nli_train.jsonl", nli), ("nli_dev.jsonl", nli), ("paraphrase_train.jsonl", paraphrases),
    ):  # fmt: skip
        _write_lines(folder / f"{name}.xz", [json.dumps(record, ensure_ascii=False) for record in records])
    lexicon = [f"{random_sentence(rng, t)[:3]}\t{t}\t5" for t in TOPICS for _ in range(5)]
    _write_lines(folder / "lexicon.tsv.xz", lexicon)
    passages = [
        f"{t}{random_sentence(rng, t)}。{random_sentence(rng, t)}{t}。" for t in TOPICS for _ in range(200)
    ]
    for name in ("text_weibo_rumor_reposts.txt", "text_zhihu_hot.txt"):
        _write_lines(folder / f"{name}.xz", [*passages, "建议增加一些面条"])


def _write_lines(path: Path, lines: list[str]) -> None:
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
