"""Texts with labels: for references, and for counting the labels that rounding changes."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import BuildError
from engine.verification.reference import Case

LONG_TEXT_CHARACTERS = 2_000
LONG_LABEL_SHARE = 0.6
"""Of a pair's longest, in tokens: less than all of it, which transformers refuses."""
MAX_ADDED_TOKENS = 40
TEMPLATES = ("", "{}", "", "这是关于{}的", "This text is about {}!")
"""Of the reference's cases, in turn; an empty one is the engine's default."""
MAX_ROUNDING_SAMPLES = 150
SAMPLES_FILE = "samples.jsonl"
"""In the folder of an fp32 engine that was built with samples: for INT8 and bfloat16 engines built from it."""
BUILTIN_LANGUAGE = "zh"
BUILTIN_FILE = Path(__file__).parent / "samples.json"


@dataclass(frozen=True, slots=True)
class TextSample:
    """A text and its labels, which are used as hypotheses."""

    text: str
    labels: tuple[str, ...]


def builtin_samples() -> list[TextSample]:
    """The samples of this package for references: short texts, and long ones made of them."""
    short = _samples("reference")
    texts = [sample.text for sample in short]
    return short + [
        TextSample("。".join(texts[start : start + count] * repeat), short[start].labels)
        for start, count, repeat in ((0, 6, 1), (6, 6, 2), (3, 12, 1), (1, 14, 4))
    ]


def _samples(part: str) -> list[TextSample]:
    content = json.loads(BUILTIN_FILE.read_text(encoding="utf-8"))
    return [TextSample(item["text"], tuple(item["labels"])) for item in content[part]]


def rounding_samples(samples: Sequence[TextSample] | None, languages: Collection[str]) -> list[TextSample]:
    """Texts of several labels on which the best labels that rounding changes are counted, beside the reference.

    Of `samples`, evenly; by default short texts of this package, many of them near two labels, for a model of
    Chinese or one whose `languages` nobody told. None for a model of other languages: what it answers to Chinese
    texts is noise.
    """
    if samples is None:
        return _samples("rounding") if knows_builtin_texts(samples, languages) else []
    distinct = [TextSample(sample.text, tuple(dict.fromkeys(sample.labels))) for sample in samples]
    several = [sample for sample in distinct if len(sample.labels) > 1]
    count = min(len(several), MAX_ROUNDING_SAMPLES)
    return [several[index * len(several) // count] for index in range(count)]


def knows_builtin_texts(samples: Sequence[TextSample] | None, languages: Collection[str]) -> bool:
    """Whether a model can be expected to answer Chinese texts: by its `languages`, unknown if there are none."""
    if not languages:
        return samples is None
    return any(language.lower().partition("-")[0] == BUILTIN_LANGUAGE for language in languages)


def reference_cases(
    added_tokens: Collection[str], count_tokens: Callable[[str], int], max_tokens: int
) -> list[Case]:
    """The cases that every build is verified with, for templates, several labels and one, and both kinds of score.

    Texts are the samples of this package, those that break tokenizers, and some made of the tokenizer's own
    `added_tokens`. `count_tokens`: of a text without special tokens; `max_tokens`: of a pair. Labels of more than
    half a pair tell the ways of truncating apart.
    """
    content = json.loads(BUILTIN_FILE.read_text(encoding="utf-8"))
    samples = builtin_samples()
    labels = [label for sample in samples for label in sample.labels]
    hard = [*content["hard"], "".join(content["hard"]) * 4, (samples[0].text * 2_000)[:LONG_TEXT_CHARACTERS]]
    hard += list(_with_tokens(added_tokens))
    samples += [
        TextSample(
            text, tuple(dict.fromkeys((labels[3 * index % len(labels)], labels[(5 * index + 1) % len(labels)])))
        )
        for index, text in enumerate(hard)
    ]
    longest = hard[len(content["hard"]) + 1]
    long_labels = tuple(
        _of_tokens(longest[skipped:], LONG_LABEL_SHARE * max_tokens + skipped, count_tokens) for skipped in (0, 1)
    )
    return [Case(longest, long_labels)] + [
        Case(
            sample.text,
            sample.labels[: 1 if index % 7 == 6 else len(sample.labels)],
            TEMPLATES[index % len(TEMPLATES)],
            multi_label=index % 4 == 3,
        )
        for index, sample in enumerate(samples)
    ]


def _of_tokens(text: str, tokens: float, count_tokens: Callable[[str], int]) -> str:
    """The shortest beginning of `text` with at least `tokens` tokens."""
    ends = range(len(text))
    return text[: bisect.bisect_left(ends, tokens, key=lambda end: count_tokens(text[:end]))]


def _with_tokens(tokens: Collection[str]) -> Iterator[str]:
    """Texts with the tokens inside words, beside each other, and in other letter cases."""
    for token in sorted(tokens, key=lambda token: (len(token), token))[:MAX_ADDED_TOKENS]:
        yield f"我们说{token}是这样的，{token}{token}。{token} a{token}b {token}"
        if token.lower() != token.upper():
            yield f"{token.upper()} {token.lower()} {token.title()}和{token.swapcase()}"


def read_samples(path: Path) -> list[TextSample]:
    """Read JSON lines `{"text": …, "labels": […]}`, such as logged requests; `BuildError` names a bad line."""
    samples = []
    try:
        # Other separators than the line feed, such as U+2028, may be part of a text.
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        try:
            item = json.loads(line)
            sample = TextSample(str(item["text"]), tuple(map(str, item["labels"])))
        except (ValueError, KeyError, TypeError):
            raise BuildError(f'{path}, line {number}: expected {{"text": "…", "labels": ["…"]}}') from None
        if sample.labels:
            samples.append(sample)
    if not samples:
        raise BuildError(f"{path} contains no samples")
    return samples


def write_samples(samples: Sequence[TextSample], path: Path) -> None:
    """Write a file that `read_samples` reads."""
    lines = [json.dumps({"text": sample.text, "labels": sample.labels}, ensure_ascii=False) for sample in samples]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
