"""Splits a stream of texts into calls, and handles refused texts.

A refused text gets an error of its own; the others are sent again without it. A call that needs more than the
whole quota, or is too large for one request, is split in halves. A refusal that concerns no text is raised.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence

from wanneng.client.classify import Classification
from wanneng.errors import GatewayRefused, RequestError

TEXTS_PER_CALL = 16
"""Texts per call of a stream."""
TOO_MUCH_AT_ONCE = frozenset({"quota_exceeded", "body_too_large", "deadline_exceeded", "triton_failed"})
"""Codes of refusals that a call with fewer texts may avoid."""
OF_A_TEXT = TOO_MUCH_AT_ONCE - {"quota_exceeded"}
"""Those that become a text's own error if it was sent alone."""


class TextGroup:
    """The texts of one call until each is answered or refused; `pending` holds those to send next."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._answers: dict[int, Classification] = {}
        for number, text in enumerate(texts):
            if not text.isascii() and has_surrogates(text):
                self._fail(
                    number, RequestError("the text has characters that are not valid Unicode (lone surrogates)")
                )
        readable = [number for number in range(len(texts)) if number not in self._answers]
        self._parts = [readable] if readable else []

    @property
    def pending(self) -> list[str]:
        """Empty when all are answered or refused."""
        return [self._texts[number] for number in self._parts[0]] if self._parts else []

    @property
    def answers(self) -> list[Classification]:
        """In the order of the texts."""
        return [self._answers[number] for number in range(len(self._texts))]

    def answered(self, answers: Sequence[Classification]) -> None:
        """Record the answers for the pending texts."""
        self._answers.update(zip(self._parts.pop(0), answers, strict=True))

    def refused(self, refusal: GatewayRefused) -> None:
        """Handle a refusal of the pending texts; raises it if it concerns no text."""
        part, field = self._parts.pop(0), refusal.field or ""
        may_split = refusal.code in TOO_MUCH_AT_ONCE and refusal.retry_after_s is None
        named = re.fullmatch(r"texts\[([0-9]+)\].*", field)
        if named is not None and int(named[1]) < len(part):
            self._fail(part.pop(int(named[1])), _of_one_text(refusal))
            self._parts[:0] = [part] if part else []
        elif not may_split and not field.startswith("text"):
            raise refusal
        elif len(part) > 1:
            self._parts[:0] = [part[: len(part) // 2], part[len(part) // 2 :]]
        elif refusal.code in OF_A_TEXT or field.startswith("text"):
            self._fail(part[0], _of_one_text(refusal))
        else:
            raise refusal

    def _fail(self, number: int, error: RequestError) -> None:
        self._answers[number] = Classification(self._texts[number], (), (), truncated=False, error=error)


def groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """Groups of texts, one per call, read as they are needed."""
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


def _of_one_text(refusal: GatewayRefused) -> GatewayRefused:
    """The refusal without the text's index in the call, which means nothing to the reader of the stream."""
    detail = str(refusal).removeprefix(f"{refusal.field}: ")
    problem = {**refusal.problem, "detail": detail, "field": "text"}
    return GatewayRefused(refusal.status, problem, refusal.retry_after_s)


def has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
