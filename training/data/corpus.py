"""Reads the training data: passages, labelled texts, sentence pairs. Knows nothing about tokens or models."""

from __future__ import annotations

import json
import lzma
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SENTENCE_END = re.compile(r"(?<=[。！？!?；])")


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
        """Labelled texts by task; one text under two tasks is kept in both."""
        tasks: dict[str, list[Labelled]] = defaultdict(list)
        for record in self.records("classification_train.jsonl"):
            tasks[record["task"]].append(Labelled(record["text"], record["label"]))
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
