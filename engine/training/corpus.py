"""Reads the training data: passages, labelled texts, sentence pairs. Knows nothing about tokens or models."""

from __future__ import annotations

import json
import lzma
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SENTENCE_END = re.compile(r"(?<=[。！？!?；])")
SUGGESTION = re.compile(r"建议|希望(能|可以|商家|厂家|店家|以后|改进|增加)|最好(能|可以)|应该(增加|改|加)")

SERVICE_INTENT = "service_intent"
"""A task made here from the others: what a customer wants (投诉, 咨询, 建议, 表扬)."""

COMPLAINTS = (
    "买家抱怨",
    "买家表达不满",
    "买家表示物流太慢",
    "买家反馈收到的商品有问题",
    "买家表示商家发错",
    "买家表示无法",
    "买家要求补偿",
    "买家要求退运费",
)
PRAISE = ("买家表达赞美",)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One text and the one label of its task that fits it."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class SentencePair:
    """Two sentences and how the second follows from the first."""

    premise: str
    hypothesis: str
    relation: str
    """`entailment`, `neutral` or `contradiction`."""


class Corpus:
    """The folder of training data described in its own README: xz-compressed lines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, name: str) -> Iterator[str]:
        with lzma.open(self.folder / f"{name}.xz", "rt", encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")

    def records(self, name: str) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for line in self.lines(name))

    def passages(self) -> Iterator[str]:
        """Raw passages, then every training text, as the vocabulary and the vectors read them."""
        for path in sorted(self.folder.glob("text_*.txt.xz")):
            yield from self.lines(path.name.removesuffix(".xz"))
        for record in self.records("classification_train.jsonl"):
            yield record["text"]
        for record in self.records("paraphrase_train.jsonl"):
            yield record["a"]

    def tasks(self) -> dict[str, list[Labelled]]:
        """Labelled texts by task; `SERVICE_INTENT` is added, one text under two tasks is kept in both."""
        tasks: dict[str, list[Labelled]] = defaultdict(list)
        for record in self.records("classification_train.jsonl"):
            tasks[record["task"]].append(Labelled(record["text"], record["label"]))
        tasks[SERVICE_INTENT] = list(self._service_intents(tasks))
        return dict(tasks)

    def dev_tasks(self) -> dict[str, list[Labelled]]:
        tasks: dict[str, list[Labelled]] = defaultdict(list)
        for record in self.records("classification_dev.jsonl"):
            tasks[record["task"]].append(Labelled(record["text"], record["label"]))
        return dict(tasks)

    def nli(self, part: str) -> list[SentencePair]:
        """The inference sets; `part` is `train` or `dev`."""
        return [
            SentencePair(record["premise"], record["hypothesis"], record["label"])
            for record in self.records(f"nli_{part}.jsonl")
        ]

    def paraphrases(self) -> list[SentencePair]:
        """Questions that mean the same (`entailment`) or not (`neutral`)."""
        return [
            SentencePair(r["a"], r["b"], "entailment" if r["same"] else "neutral")
            for r in self.records("paraphrase_train.jsonl")
        ]

    def lexicon(self) -> list[Labelled]:
        """Words under the domain that they belong to."""
        words = []
        for line in self.lines("lexicon.tsv"):
            word, domain, _frequency = line.split("\t")
            words.append(Labelled(word, domain))
        return words

    def neighbours(self, rng: random.Random, most: int) -> list[SentencePair]:
        """A sentence of a passage and the rest of it: the cheapest sign that two texts are about one thing."""
        pairs = []
        for path in sorted(self.folder.glob("text_*.txt.xz")):
            for passage in self.lines(path.name.removesuffix(".xz")):
                sentences = [s.strip() for s in SENTENCE_END.split(passage) if len(s.strip()) > 6]
                if len(sentences) < 2:
                    continue
                chosen = rng.randrange(len(sentences))
                rest = "".join(sentences[:chosen] + sentences[chosen + 1 :])
                pairs.append(SentencePair(rest[:200], sentences[chosen][:80], "entailment"))
        rng.shuffle(pairs)
        return pairs[:most]

    def _service_intents(self, tasks: dict[str, list[Labelled]]) -> Iterator[Labelled]:
        yield from _intents_of_buyers(tasks["ecommerce_intent"])
        yield from _intents_of_reviews(tasks["shopping_sentiment"])
        for record in self.records("paraphrase_train.jsonl"):
            yield Labelled(record["b"], "咨询")
        for name in ("text_weibo_rumor_reposts.txt", "text_zhihu_hot.txt"):
            for passage in self.lines(name):
                if len(passage) <= 80 and passage.startswith(("建议", "希望", "应该")):
                    yield Labelled(passage, "建议")


def _intents_of_buyers(examples: Sequence[Labelled]) -> Iterator[Labelled]:
    for example in examples:
        if example.label.startswith("买家咨询"):
            yield Labelled(example.text, "咨询")
        elif example.label.startswith(COMPLAINTS):
            yield Labelled(example.text, "投诉")
        elif example.label.startswith(PRAISE):
            yield Labelled(example.text, "表扬")


def _intents_of_reviews(examples: Sequence[Labelled]) -> Iterator[Labelled]:
    for example in examples:
        if not 6 <= len(example.text) <= 80:
            continue
        if SUGGESTION.search(example.text):
            yield Labelled(example.text, "建议")
        else:
            yield Labelled(example.text, "投诉" if example.label == "负面" else "表扬")
