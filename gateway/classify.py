"""The use case, on one screen: admit, split into calls, ask Triton, put together, rank. Knows no HTTP."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from msgspec import UNSET

from gateway.admission import Admission
from gateway.errors import DeadlineExceeded, GatewayError, TritonUnavailable
from gateway.facts import Facts
from gateway.question import Question
from gateway.schema import Cut, Result
from gateway.scoring import ranked
from gateway.settings import Settings
from gateway.triton import Classifier, PairLogits


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results in the order of the texts, from one engine."""

    results: list[Result]
    model: str
    model_version: str


class Classify:
    """Answers questions with the logits of `classifier`, within the limits of `settings`."""

    def __init__(self, classifier: Classifier, admission: Admission, settings: Settings) -> None:
        self._classifier = classifier
        self._admission = admission
        self._settings = settings

    async def answer(self, question: Question, facts: Facts) -> Outcome:
        """Every text with every label, or a `GatewayError`; at most `deadline_s` from here."""
        facts.texts, facts.labels = len(question.texts), len(question.labels)
        with self._admission.admitted(question.pairs):
            try:
                async with asyncio.timeout(self._settings.deadline_s):
                    parts = await self._ask(question, facts)
            except TimeoutError:
                raise DeadlineExceeded(
                    f"no answer within {self._settings.deadline_s:g} s; send less at a time or try again"
                ) from None
        facts.pairs_computed = question.pairs
        return self._put_together(question, parts, facts)

    async def _ask(self, question: Question, facts: Facts) -> list[PairLogits]:
        """One call for each text and each chunk of labels; the first failure ends all."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._settings.deadline_s
        places = asyncio.Semaphore(self._settings.max_calls_per_request)
        size = self._settings.max_pairs_per_call

        async def call(text: str, start: int) -> PairLogits:
            labels = question.labels[start : start + size]
            async with places:
                began = time.monotonic()
                try:
                    return await self._classifier.logits(
                        text, labels, question.template, question.max_tokens, max(0.001, deadline - now())
                    )
                finally:
                    facts.triton_s += time.monotonic() - began

        starts = range(0, len(question.labels), size)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(call(text, start)) for text in question.texts for start in starts]
        except ExceptionGroup as errors:
            refusals = errors.subgroup(GatewayError)
            if refusals is None:
                raise
            raise _first(refusals) from None
        return [task.result() for task in tasks]

    def _put_together(self, question: Question, parts: list[PairLogits], facts: Facts) -> Outcome:
        if len({part.engine_id for part in parts}) > 1:
            raise TritonUnavailable("the engine changed while this request ran; try again")
        facts.engine_id = parts[0].engine_id
        calls = len(parts) // len(question.texts)
        results = []
        for place in range(len(question.texts)):
            own = parts[place * calls : (place + 1) * calls]
            logits = np.concatenate([part.logits for part in own])
            labels, scores = ranked(question.labels, logits, multi_label=question.multi_label)
            cut = self._cut(question, own)
            facts.truncated_texts += cut is not None
            results.append(Result(labels, scores, cut is not None, UNSET if cut is None else cut))
        return Outcome(results, parts[0].engine_name, parts[0].engine_id)

    def _cut(self, question: Question, parts: list[PairLogits]) -> Cut | None:
        tokens, text_tokens, label_tokens = np.concatenate([part.tokens for part in parts]).max(axis=0)
        if text_tokens == 0 and label_tokens == 0:
            return None
        # A pair that was cut is as long as the limit.
        return Cut(question.max_tokens or int(tokens), int(text_tokens), int(label_tokens))


def _first(errors: ExceptionGroup[GatewayError]) -> GatewayError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
