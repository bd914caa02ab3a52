"""A body becomes an answer: labels of its own or of a set, a question, its results. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from gateway.classify import NO_WISHES, Caller, Classify, Wishes
from gateway.errors import InvalidRequest
from gateway.facts import Facts
from gateway.label_sets import LabelSets, known_labels
from gateway.question import Question, ask, ask_with
from gateway.schema import (
    ClassifyAnswer,
    ClassifyAnswers,
    ClassifyBody,
    LabelTokens,
    Pairs,
    TokenizeAnswer,
    TokenizeBody,
)
from gateway.scoring import Logits
from gateway.settings import Settings
from gateway.usage import Usage

ANY_LABEL = "?"
"""Asked about where there is a text alone."""


class Answering:
    """What `POST /v1/classify` and a line of a batch have in common."""

    def __init__(self, classify: Classify, label_sets: LabelSets, usage: Usage, limits: Settings) -> None:
        self._classify = classify
        self._label_sets = label_sets
        self._usage = usage
        self._limits = limits

    async def answer(
        self, body: ClassifyBody, caller: Caller, facts: Facts, wishes: Wishes = NO_WISHES
    ) -> ClassifyAnswer | ClassifyAnswers:
        """One answer for `text`, a list for `texts`; or a `GatewayError`."""
        question = await self._question(body, caller)
        outcome = await self._classify.answer(question, caller, facts, wishes)
        self._usage.count(caller.tenant_id, computed=facts.pairs_computed, cached=facts.pairs_cached)
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
            one.entailment,
            label_set,
        )

    async def logits(
        self, pairs: Sequence[tuple[str, str]], caller: Caller, facts: Facts, wishes: Wishes = NO_WISHES
    ) -> list[Logits]:
        """Of texts with hypotheses, in their order: a question for each hypothesis, one after another."""
        texts_of: dict[str, list[str]] = {}
        for text, hypothesis in pairs:
            texts_of.setdefault(hypothesis, []).append(text)
        known: dict[tuple[str, str], Logits] = {}
        computed, cached = 0, 0
        for hypothesis, texts in texts_of.items():
            question = ask(ClassifyBody([hypothesis], texts=texts), self._limits)
            found = await self._classify.logits(question, caller, facts, wishes)
            known |= {(text, hypothesis): rows[0] for text, rows in zip(question.texts, found, strict=True)}
            computed, cached = computed + facts.pairs_computed, cached + facts.pairs_cached
        facts.pairs_computed, facts.pairs_cached = computed, cached
        self._usage.count(caller.tenant_id, computed=computed, cached=cached)
        return [known[pair] for pair in pairs]

    async def count_tokens(self, body: TokenizeBody, caller: Caller) -> TokenizeAnswer:
        """How long the text is, and with each label; nothing is classified, and it costs no pairs."""
        bare = body.labels is UNSET and body.label_set is UNSET
        wanted = ClassifyBody(
            [ANY_LABEL] if bare else body.labels,
            body.label_set,
            body.text,
            hypothesis_template=body.hypothesis_template,
            max_tokens=body.max_tokens,
        )
        question = await self._question(wanted, caller)
        limit, text_tokens, lengths = await self._classify.tokens(question, caller)
        names = question.names or question.labels
        labels = [LabelTokens(name, *length) for name, length in zip(names, lengths, strict=True)]
        truncated = any(one.text_cut or one.label_cut for one in labels)
        return TokenizeAnswer(limit, text_tokens, [] if bare else labels, truncated)

    async def _question(self, body: ClassifyBody, caller: Caller) -> Question:
        if not isinstance(body.label_set, str):
            return ask(body, self._limits)
        if body.labels is not UNSET:
            raise InvalidRequest("give either labels or label_set", field="label_set")
        found = await self._label_sets.get(caller.tenant_id, body.label_set)
        return ask_with(body, known_labels(found), self._limits)
