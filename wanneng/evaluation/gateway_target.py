"""A running gateway, asked by the client with a few calls at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from wanneng.client import AsyncClient, Client
from wanneng.client.classify import Options
from wanneng.errors import CommandError
from wanneng.evaluation.metrics import Prediction
from wanneng.evaluation.targets import Answers, Progress, Question

WAIT_S = 3_600.0
"""One request waits so long in all when the gateway says when to retry."""


class GatewayTarget:
    """`fresh`: compute anew in place of cached answers."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        fresh: bool = False,
        wait_s: float = WAIT_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = url
        self._url, self._key, self._fresh, self._wait_s, self._sleep = url, key, fresh, wait_s, sleep

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "gateway", "name": self.name}

    def ask(self, question: Question, texts: Sequence[str], progress: Progress) -> Answers:
        if question.label_set is not None:
            self._check_label_set(question)
        return asyncio.run(self._ask(question, texts, progress))

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

    async def _ask(self, question: Question, texts: Sequence[str], progress: Progress) -> Answers:
        options: Options = {"label_set": question.label_set} if question.label_set else {}
        labels = None if question.label_set else list(question.wordings.values())
        if question.template is not None:
            options["hypothesis_template"] = question.template
        if question.multi_label:
            options["multi_label"] = True
        if self._fresh:
            options["fresh"] = True
        predictions, models = list[Prediction](), set[str]()
        async with AsyncClient(self._url, self._key, wait_s=self._wait_s, sleep=self._sleep) as client:
            async for answer in client.stream(texts, labels, **options):
                if answer.error is not None:
                    predictions.append(Prediction(None, error=str(answer.error)))
                else:
                    predictions.append(question.prediction(answer.labels, answer.scores))
                    models.add(answer.model_version)
                progress()
        return Answers(predictions, ", ".join(sorted(models)))
