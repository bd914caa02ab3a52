"""Derives labelled tasks from texts without such labels: words removed from passages, and matched wordings.

Callers' labels are rarely among the few hundred of the labelled data. Thousands of words, each the label of the
passages that it was removed from, teach what labels mean; questions and reviews, labelled by their wording, teach
intents and aspects.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import rjieba

from training.data.corpus import Corpus, LabelledText

CUES: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent / "cues.json").read_text(encoding="utf-8")
)
"""The wordings that indicate a label, by task and label."""

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
"""jieba's part-of-speech tags of words that tell the topic; names of people and places are left out."""
MIN_PASSAGE_CHARACTERS, MAX_PASSAGE_CHARACTERS = 14, 120
"""Length of the passages that words are removed from; longer ones are cut."""
MIN_WORD_PASSAGES, MAX_WORD_SHARE = 25, 0.01
"""A word is a label if it occurs in at least so many passages, and in at most this share of them."""
REMOVED_SHARE = 0.75
"""Share of the passages that the word is removed from."""
MAX_EXAMPLES_PER_LABEL = 3_000
"""Bounds the most frequent wordings: otherwise most questions would ask for a reason."""
MIN_REST_CHARACTERS = 5
"""A wording is removed only where more than this is left."""


def derived_tasks(
    corpus: Corpus, tasks: dict[str, list[LabelledText]], rng: random.Random, *, max_words: int
) -> dict[str, list[LabelledText]]:
    """Four tasks derived from the corpus; the task `words` has at most `max_words` examples."""
    questions = [*corpus.lines("text_zhihu_hot.txt"), *(pair.hypothesis for pair in corpus.paraphrases())]
    reviews = [example.text for name in ("shopping_sentiment", "book_sentiment") for example in tasks[name]]
    remarks = (remark for review in reviews for remark in _remarks(review))
    return {
        "service_intent": list(_service_intents(corpus, tasks)),
        "question_intent": list(
            _label_by_cue(CUES["question_intent"], (q[:MAX_PASSAGE_CHARACTERS] for q in questions), rng)
        ),
        "review_aspect": list(_label_by_cue(CUES["review_aspect"], remarks, rng)),
        "words": word_task(corpus.passages(), rng, max_words),
    }


def _service_intents(corpus: Corpus, tasks: dict[str, list[LabelledText]]) -> Iterator[LabelledText]:
    """Texts of customers, labelled with their intent: 投诉, 咨询, 建议, 表扬."""
    yield from _buyer_intents(tasks["ecommerce_intent"])
    yield from _review_intents(tasks["shopping_sentiment"])
    for pair in corpus.paraphrases():
        yield LabelledText(pair.hypothesis, "咨询")
    for name in ("text_weibo_rumor_reposts.txt", "text_zhihu_hot.txt"):
        for passage in corpus.lines(name):
            if len(passage) <= 80 and passage.startswith(("建议", "希望", "应该")):
                yield LabelledText(passage, "建议")


def _buyer_intents(examples: Sequence[LabelledText]) -> Iterator[LabelledText]:
    for example in examples:
        if example.label.startswith("买家咨询"):
            yield LabelledText(example.text, "咨询")
        elif example.label.startswith(COMPLAINTS):
            yield LabelledText(example.text, "投诉")
        elif example.label.startswith(PRAISE):
            yield LabelledText(example.text, "表扬")


def _review_intents(examples: Sequence[LabelledText]) -> Iterator[LabelledText]:
    for example in examples:
        if not 6 <= len(example.text) <= 80:
            continue
        if SUGGESTION.search(example.text):
            yield LabelledText(example.text, "建议")
        else:
            yield LabelledText(example.text, "投诉" if example.label == "负面" else "表扬")


def _remarks(review: str) -> Iterator[str]:
    """Pairs of clauses: long enough for a remark, short enough to be about a single aspect."""
    clauses = [clause for clause in CLAUSE_END.split(review) if clause]
    for first in range(0, len(clauses), 2):
        remark = "，".join(clauses[first : first + 2])
        if 6 <= len(remark) <= MAX_PASSAGE_CHARACTERS:
            yield remark


def _label_by_cue(cues: dict[str, list[str]], texts: Iterable[str], rng: random.Random) -> Iterator[LabelledText]:
    """Texts with wordings of exactly one label; from half of them the wordings are removed."""
    label_of = {cue: label for label, wordings in cues.items() for cue in wordings}
    pattern = re.compile("|".join(map(re.escape, sorted(label_of, key=len, reverse=True))))
    texts_by_label = defaultdict(list)
    for text in texts:
        labels = {label_of[cue] for cue in pattern.findall(text)}
        if len(labels) == 1:
            texts_by_label[labels.pop()].append(text)
    for label, labelled in texts_by_label.items():
        for text in rng.sample(labelled, min(MAX_EXAMPLES_PER_LABEL, len(labelled))):
            rest = pattern.sub("", text)
            yield LabelledText(rest if len(rest) > MIN_REST_CHARACTERS and rng.random() < 0.5 else text, label)


def word_task(passages: Iterable[str], rng: random.Random, max_examples: int) -> list[LabelledText]:
    """Passages, each labelled with one of its words, which is removed from most of them.

    A word is drawn with a weight of its number of passages to the power of -0.5, so rare words are more likely.
    """
    sample = [passage[:MAX_PASSAGE_CHARACTERS] for passage in passages if len(passage) >= MIN_PASSAGE_CHARACTERS]
    sample = rng.sample(sample, min(max_examples, len(sample)))
    words_by_passage = [
        sorted({word for word, tag in rjieba.tag(passage) if len(word) > 1 and tag in WORD_CLASSES})
        for passage in sample
    ]
    passage_counts = Counter(word for words in words_by_passage for word in words)
    min_count = min(MIN_WORD_PASSAGES, len(sample) // 4)
    max_count = max(MAX_WORD_SHARE * len(sample), MIN_WORD_PASSAGES)
    examples = []
    for passage, words in zip(sample, words_by_passage, strict=True):
        candidates = [word for word in words if min_count <= passage_counts[word] <= max_count]
        if not candidates:
            continue
        word = rng.choices(candidates, [passage_counts[word] ** -0.5 for word in candidates])[0]
        text = passage.replace(word, "") if rng.random() < REMOVED_SHARE else passage
        examples.append(LabelledText(text, word))
    return examples
