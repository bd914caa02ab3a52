"""Reads the training data: passages, labelled texts, sentence pairs."""

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
class LabelledText:
    """A text and its label, one of the labels of its task."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class SentencePair:
    """Two sentences, and whether the second follows from the first."""

    premise: str
    hypothesis: str
    relation: str
    """`entailment`, `neutral` or `contradiction`."""


class Corpus:
    """A folder of training data: xz-compressed files of lines, described in its README."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, name: str) -> Iterator[str]:
        """The lines of the file `name`.xz, without line ends."""
        with lzma.open(self.folder / f"{name}.xz", "rt", encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")

    def records(self, name: str) -> Iterator[dict[str, Any]]:
        """The JSON objects of the file `name`.xz, one per line."""
        return (json.loads(line) for line in self.lines(name))

    def passages(self) -> Iterator[str]:
        """Unlabelled passages, then the texts of the training examples, for vocabulary and word vectors."""
        for path in sorted(self.folder.glob("text_*.txt.xz")):
            yield from self.lines(path.name.removesuffix(".xz"))
        for record in self.records("classification_train.jsonl"):
            yield record["text"]
        for record in self.records("paraphrase_train.jsonl"):
            yield record["a"]

    def tasks(self) -> dict[str, list[LabelledText]]:
        """The labelled texts of each training task."""
        return self._labelled_texts("classification_train.jsonl")

    def dev_tasks(self) -> dict[str, list[LabelledText]]:
        """The labelled texts of each development task."""
        return self._labelled_texts("classification_dev.jsonl")

    def _labelled_texts(self, name: str) -> dict[str, list[LabelledText]]:
        tasks: dict[str, list[LabelledText]] = defaultdict(list)
        for record in self.records(name):
            tasks[record["task"]].append(LabelledText(record["text"], record["label"]))
        return dict(tasks)

    def nli(self, part: str) -> list[SentencePair]:
        """The pairs of the natural language inference sets; `part` is `train` or `dev`."""
        return [
            SentencePair(record["premise"], record["hypothesis"], record["label"])
            for record in self.records(f"nli_{part}.jsonl")
        ]

    def paraphrases(self) -> list[SentencePair]:
        """Pairs of questions that mean the same (`entailment`) or not (`neutral`)."""
        return [
            SentencePair(r["a"], r["b"], "entailment" if r["same"] else "neutral")
            for r in self.records("paraphrase_train.jsonl")
        ]

    def lexicon(self) -> list[LabelledText]:
        """Words, labelled with the domain that they belong to."""
        words = []
        for line in self.lines("lexicon.tsv"):
            word, domain, _frequency = line.split("\t")
            words.append(LabelledText(word, domain))
        return words

    def neighbours(self, rng: random.Random, max_pairs: int) -> list[SentencePair]:
        """Passages, each with one of its sentences taken out: unlabelled pairs about the same topic."""
        pairs = []
        for path in sorted(self.folder.glob("text_*.txt.xz")):
            for passage in self.lines(path.name.removesuffix(".xz")):
                sentences = [s.strip() for s in SENTENCE_END.split(passage) if len(s.strip()) > 6]
                if len(sentences) < 2:
                    continue
                index = rng.randrange(len(sentences))
                rest = "".join(sentences[:index] + sentences[index + 1 :])
                pairs.append(SentencePair(rest[:200], sentences[index][:80], "entailment"))
        rng.shuffle(pairs)
        return pairs[:max_pairs]
