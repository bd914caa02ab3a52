"""Texts to labels: the request and the answer of `POST /v1/classify`."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from wanneng.client.transport import Request, json_object

PATH = "/v1/classify"
TEXTS_PER_CALL = 16
"""Of a stream."""


@dataclass(frozen=True, slots=True)
class Classification:
    """One text's labels by score, best first."""

    text: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    truncated: bool
    """Whether the token limit cut the text or a label."""
    none_of_these: bool | None = None
    """Whether no label reaches the label set's threshold; None without one."""
    model_version: str = ""
    entailment: tuple[float, ...] | None = None
    """Each label's own probability of entailment, in the order of `labels`; None where it was not asked for."""

    @property
    def best(self) -> str:
        return self.labels[0]

    def score(self, label: str) -> float:
        """`ValueError` for a label that was not asked for."""
        return self.scores[self.labels.index(label)]


def classify_request(
    texts: Sequence[str], labels: Sequence[str] | None, options: dict[str, Any], *, fresh: bool = False
) -> Request[list[Classification]]:
    """`fresh`: computed anew, never from a cache."""
    if isinstance(texts, str):
        raise TypeError("a sequence of texts is needed; classify() takes one")
    body: dict[str, Any] = {"texts": list(texts)} | options
    if labels is not None:
        body["labels"] = labels if isinstance(labels, str) else list(labels)

    def parse(response: httpx.Response) -> list[Classification]:
        answer = json_object(response)
        results = zip(texts, answer["results"], strict=True)
        return [_classification(text, result, answer["model_version"]) for text, result in results]

    content: dict[str, Any] = {"json": body}
    if fresh:
        content["headers"] = {"Cache-Control": "no-cache"}
    return Request("POST", PATH, parse, content, changes=False)


def groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """As many as a stream sends at a time, read as they are needed."""
    iterator = iter(texts)
    while group := list(itertools.islice(iterator, TEXTS_PER_CALL)):
        yield group


async def async_groups(texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[list[str]]:
    """As `groups`, from either kind of iterable."""
    if not isinstance(texts, AsyncIterable):
        for group in groups(texts):
            yield group
        return
    group = []
    async for text in texts:
        group.append(text)
        if len(group) == TEXTS_PER_CALL:
            yield group
            group = []
    if group:
        yield group


def _classification(text: str, result: dict[str, Any], model_version: str) -> Classification:
    entailment = result.get("entailment")
    return Classification(
        text,
        tuple(result["labels"]),
        tuple(result["scores"]),
        result["truncated"],
        result.get("none_of_these"),
        model_version,
        None if entailment is None else tuple(entailment),
    )
