"""A body becomes an answer: labels of its own or of a set, a question, its results. Knows no HTTP."""

from __future__ import annotations

from msgspec import UNSET

from gateway.classify import NO_WISHES, Caller, Classify, Wishes
from gateway.errors import InvalidRequest
from gateway.facts import Facts
from gateway.label_sets import LabelSets, known_labels
from gateway.question import Question, ask, ask_with
from gateway.schema import ClassifyAnswer, ClassifyAnswers, ClassifyBody, Pairs
from gateway.settings import Settings


class Answering:
    """What `POST /v1/classify` and a line of a batch have in common."""

    def __init__(self, classify: Classify, label_sets: LabelSets, limits: Settings) -> None:
        self._classify = classify
        self._label_sets = label_sets
        self._limits = limits

    async def answer(
        self, body: ClassifyBody, caller: Caller, facts: Facts, wishes: Wishes = NO_WISHES
    ) -> ClassifyAnswer | ClassifyAnswers:
        """One answer for `text`, a list for `texts`; or a `GatewayError`."""
        question = await self._question(body, caller)
        outcome = await self._classify.answer(question, caller, facts, wishes)
        pairs = Pairs(facts.pairs_computed, facts.pairs_cached)
        model, version = outcome.model, outcome.model_version
        label_set = question.label_set or UNSET
        if not question.single:
            return ClassifyAnswers(outcome.results, pairs, model, version, facts.request_id, label_set)
        (one,) = outcome.results
        return ClassifyAnswer(
            one.labels,
            one.scores,
            one.truncated,
            pairs,
            model,
            version,
            facts.request_id,
            one.cut,
            one.none_of_these,
            label_set,
        )

    async def _question(self, body: ClassifyBody, caller: Caller) -> Question:
        if not isinstance(body.label_set, str):
            return ask(body, self._limits)
        if body.labels is not UNSET:
            raise InvalidRequest("give either labels or label_set", field="label_set")
        found = await self._label_sets.get(caller.tenant_id, body.label_set)
        return ask_with(body, known_labels(found), self._limits)
