"""Makes labelled tasks of what has no such labels: words out of passages, questions and reviews by their wording.

A label that a caller brings is seldom one of the data's few hundred. Tens of thousands of words, each asked for by
the passages it was taken out of, teach what labels mean; the wording of questions and reviews teaches what is
wanted and what is judged. Knows nothing about tokens or models.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import rjieba

from training.data.corpus import Corpus, Labelled

CUES: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent / "cues.json").read_text(encoding="utf-8")
)
"""By task and label, the wordings that give it away."""

SUGGESTION = re.compile(r"建议|希望(能|可以|商家|厂家|店家|以后|改进|增加)|最好(能|可以)|应该(增加|改|加)")
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

CLAUSE_END = re.compile(r"[，,。！？!?；;\s]+")
WORD_CLASSES = frozenset({"n", "nz", "nl", "vn", "v", "vi", "a", "an", "j", "l"})
"""jieba's classes of words that say what a text is about; names of people and places are left out."""
SHORTEST, LONGEST = 14, 120
"""Characters of a passage that a word is taken out of."""
RAREST, COMMONEST = 25, 0.01
"""A word is a label if it is in at least so many passages, and in at most this share of them."""
REMOVED_SHARE = 0.75
MOST_OF_A_LABEL = 3_000
"""Else a question by its wording would mostly be one for a reason."""
SHORTEST_REST = 5


def derived_tasks(
    corpus: Corpus, tasks: dict[str, list[Labelled]], rng: random.Random, *, words: int
) -> dict[str, list[Labelled]]:
    """Four tasks made of the corpus; `words` is how many examples `words` has at most."""
    questions = [*corpus.lines("text_zhihu_hot.txt"), *(pair.hypothesis for pair in corpus.paraphrases())]
    reviews = [example.text for name in ("shopping_sentiment", "book_sentiment") for example in tasks[name]]
    clauses = (clause for review in reviews for clause in _clauses(review))
    return {
        "service_intent": list(_service_intents(corpus, tasks)),
        "question_intent": list(_by_cue(CUES["question_intent"], (q[:LONGEST] for q in questions), rng)),
        "review_aspect": list(_by_cue(CUES["review_aspect"], clauses, rng)),
        "words": words_out_of(corpus.passages(), rng, words),
    }


def _service_intents(corpus: Corpus, tasks: dict[str, list[Labelled]]) -> Iterator[Labelled]:
    """What a customer wants: 投诉, 咨询, 建议, 表扬."""
    yield from _intents_of_buyers(tasks["ecommerce_intent"])
    yield from _intents_of_reviews(tasks["shopping_sentiment"])
    for pair in corpus.paraphrases():
        yield Labelled(pair.hypothesis, "咨询")
    for name in ("text_weibo_rumor_reposts.txt", "text_zhihu_hot.txt"):
        for passage in corpus.lines(name):
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


def _clauses(review: str) -> Iterator[str]:
    """Pieces of two clauses: long enough to be a remark, short enough to be about one thing."""
    clauses = [clause for clause in CLAUSE_END.split(review) if clause]
    for first in range(0, len(clauses), 2):
        clause = "，".join(clauses[first : first + 2])
        if 6 <= len(clause) <= LONGEST:
            yield clause


def _by_cue(cues: dict[str, list[str]], texts: Iterable[str], rng: random.Random) -> Iterator[Labelled]:
    """Texts with the wording of exactly one label; half of the time what gave it away is taken out."""
    labels = {cue: label for label, wordings in cues.items() for cue in wordings}
    pattern = re.compile("|".join(map(re.escape, sorted(labels, key=len, reverse=True))))
    texts_of = defaultdict(list)
    for text in texts:
        found = {labels[cue] for cue in pattern.findall(text)}
        if len(found) == 1:
            texts_of[found.pop()].append(text)
    for label, having in texts_of.items():
        for text in rng.sample(having, min(MOST_OF_A_LABEL, len(having))):
            rest = pattern.sub("", text)
            yield Labelled(rest if len(rest) > SHORTEST_REST and rng.random() < 0.5 else text, label)


def words_out_of(passages: Iterable[str], rng: random.Random, most: int) -> list[Labelled]:
    """Passages and a word of each, drawn the likelier the rarer it is; mostly the word is taken out."""
    chosen = [passage[:LONGEST] for passage in passages if len(passage) >= SHORTEST]
    chosen = rng.sample(chosen, min(most, len(chosen)))
    in_each = [
        sorted({word for word, kind in rjieba.tag(passage) if len(word) > 1 and kind in WORD_CLASSES})
        for passage in chosen
    ]
    passages_with = Counter(word for words in in_each for word in words)
    least, highest = min(RAREST, len(chosen) // 4), max(COMMONEST * len(chosen), RAREST)
    examples = []
    for passage, words in zip(chosen, in_each, strict=True):
        fitting = [word for word in words if least <= passages_with[word] <= highest]
        if not fitting:
            continue
        word = rng.choices(fitting, [passages_with[word] ** -0.5 for word in fitting])[0]
        text = passage.replace(word, "") if rng.random() < REMOVED_SHARE else passage
        examples.append(Labelled(text, word))
    return examples
