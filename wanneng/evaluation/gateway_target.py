"""A running gateway, asked by the client with a few calls at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from wanneng.client import AsyncClient, Classification, Client
from wanneng.client.classify import Options
from wanneng.errors import CommandError
from wanneng.evaluation.metrics import Prediction
from wanneng.evaluation.targets import Answers, Progress, Question, Scored, TextScores

WAIT_S = 3_600.0
"""One request waits so long in all when the gateway says when to retry."""
T = TypeVar("T")


class GatewayTarget:
    """`fresh`: compute anew in place of cached answers. `options`: of every request."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        fresh: bool = False,
        wait_s: float = WAIT_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        options: Options | None = None,
    ) -> None:
        self.name = url
        self._url, self._key, self._fresh, self._wait_s, self._sleep = url, key, fresh, wait_s, sleep
        self._options: Options = options or {}

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "gateway", "name": self.name}

    def ask(self, question: Question, texts: Sequence[str], progress: Progress) -> Answers:
        def read(answer: Classification) -> Prediction:
            if answer.error is not None:
                return Prediction(None, error=str(answer.error))
            return question.prediction(answer.labels, answer.scores)

        return Answers(*self._run(question, texts, progress, read))

    def score(self, question: Question, texts: Sequence[str], progress: Progress) -> Scored:
        def read(answer: Classification) -> TextScores:
            if answer.error is not None:
                return TextScores(error=str(answer.error))
            return question.scores(answer.labels, answer.scores)

        return Scored(*self._run(question, texts, progress, read))

    def _run(
        self, question: Question, texts: Sequence[str], progress: Progress, read: Callable[[Classification], T]
    ) -> tuple[list[T], str]:
        """What `read` makes of each answer, and the versions of the model."""
        if question.label_set is not None:
            self._check_label_set(question)
        return asyncio.run(self._ask(question, texts, progress, read))

    def _check_label_set(self, question: Question) -> None:
        """`CommandError` for a label of the examples that the set lacks."""
        assert question.label_set is not None
        with Client(self._url, self._key, wait_s=self._wait_s) as client:
            stored = client.label_sets.get(question.label_set)
        known = {label.label for label in stored.labels}
        unknown = next((label for label in question.wordings if label not in known), None)
        if unknown is not None:
            raise CommandError(
                f"the label set {stored.reference} has no label {unknown!r}, which the examples have"
            )

    async def _ask(
        self, question: Question, texts: Sequence[str], progress: Progress, read: Callable[[Classification], T]
    ) -> tuple[list[T], str]:
        options = self._options.copy()
        labels = None if question.label_set else list(question.wordings.values())
        if question.label_set is not None:
            options["label_set"] = question.label_set
        if question.template is not None:
            options["hypothesis_template"] = question.template
        if question.multi_label:
            options["multi_label"] = True
        if self._fresh:
            options["fresh"] = True
        answers, models = list[T](), set[str]()
        async with AsyncClient(self._url, self._key, wait_s=self._wait_s, sleep=self._sleep) as client:
            async for answer in client.stream(texts, labels, **options):
                answers.append(read(answer))
                if answer.error is None:
                    models.add(answer.model_version)
                progress()
        return answers, ", ".join(sorted(models))
