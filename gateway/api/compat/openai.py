"""OpenAI's models and moderations (https://platform.openai.com/docs/api-reference).

A label set is a model: its labels are the categories of a moderation. Xinference's clients also request models,
and read their type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from gateway.api.classifications import ERRORS, Classifications
from gateway.api.classify import TEXT
from gateway.api.compat.answer_headers import answer_headers
from gateway.api.compat.options import classify_body
from gateway.classification.schema import TextResult, Usage
from gateway.errors import TritonUnavailable
from gateway.tenancy.label_sets import LabelSetCache
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import InvalidRequest
from stores.tenants import CLASSIFY
from web.error_shapes import OPENAI
from web.operations import Call, Operation, with_errors
from web.responses import json_response

OWNER = "wanneng"
CLASSIFIER, RERANKER = "zero_shot", "rerank"
"""The same model, by the names under which Xinference's clients classify and rerank with it."""
DEFAULT_THRESHOLD = 0.5
"""For label sets without a threshold: the probability of entailment from which a category is flagged."""


class Model(Struct, frozen=True):
    """`model_type` is Xinference's: `flexible` for `/v1/flexible/infers`, `rerank` for `/v1/rerank`."""

    id: str
    model_type: str
    created: int = 0
    """Seconds since 1970, of a label set's version; 0 if unknown."""
    object: str = "model"
    owned_by: str = OWNER
    contract: dict[str, Any] | UnsetType = UNSET
    """What the engine tells of the model: architecture, logits, `max_tokens`, default template, languages, id."""


class ModelList(Struct, frozen=True):
    data: list[Model]
    object: str = "list"


class TextPart(Struct):
    """A part of one input; images are refused."""

    type: Literal["text"]
    text: str


class ModerationBody(Struct):
    """The body of `/v1/moderations`; parts are one input together."""

    input: str | list[str | TextPart]
    model: str | None = None
    """Names a label set, as `tickets` or `tickets@3`, unless there are `labels`."""
    labels: str | list[str] | None = None
    """Categories without a label set; an extension of OpenAI's API."""
    truncate: bool | None = True
    """`false`: refuse inputs beyond the token limit; an extension of OpenAI's API."""


class Moderation(Struct, frozen=True):
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    """Each label's own probability of entailment."""
    category_applied_input_types: dict[str, list[str]]
    truncated: bool | UnsetType = UNSET
    """`true`: the token limit cut the input; otherwise absent."""


class ModerationAnswer(Struct, frozen=True):
    id: str
    model: str
    results: list[Moderation]
    usage: Usage


class OpenAIEndpoints:
    def __init__(
        self, classifications: Classifications, label_sets: LabelSetCache, load_balancer: LoadBalancer
    ) -> None:
        self._classifications = classifications
        self._label_sets = label_sets
        self._load_balancer = load_balancer

    def operations(self) -> Sequence[Operation]:
        operations = [
            Operation(
                "GET", "/v1/models", self.models, "The model", CLASSIFY, answers=(ModelList,), id="listModels"
            ),
            Operation(
                "GET",
                "/v1/models/{model_id}",
                self.model,
                "The model, or a label set",
                CLASSIFY,
                answers=(Model,),
                id="getModel",
            ),
            Operation(
                "POST",
                "/v1/moderations",
                self.moderate,
                "Flag texts by the labels of a label set, as OpenAI",
                CLASSIFY,
                ModerationBody,
                answers=(ModerationAnswer,),
                example={"model": "tickets", "input": TEXT},
                errors=ERRORS,
                id="moderate",
            ),
        ]
        return with_errors(OPENAI, operations)

    async def models(self, call: Call) -> Response:
        return json_response(ModelList(self._own_models()))

    async def model(self, call: Call) -> Response:
        model_id = call.path("model_id")
        own = [model for model in self._own_models() if model.id == model_id]
        if own:
            return json_response(own[0])
        label_set = await self._label_sets.get((call.tenant_id, model_id))
        return json_response(Model(model_id, "flexible", int(label_set.created_at.timestamp())))

    def _own_models(self) -> list[Model]:
        engine = self._load_balancer.choose_engine()
        if engine is None:
            raise TritonUnavailable("no Triton has answered yet; try again")
        contract = dict(engine.contract) or UNSET
        kinds = ((engine.name, "flexible"), (CLASSIFIER, "flexible"), (RERANKER, "rerank"))
        return [Model(name, kind, contract=contract) for name, kind in kinds]

    async def moderate(self, call: Call) -> Response:
        body: ModerationBody = call.body
        texts = _texts(body.input)
        classify = classify_body(body.model, body.labels, texts, truncate=body.truncate, entailment=True)
        outcome = await self._classifications.classify(call, classify)
        label_set = outcome.request.label_set
        threshold = (label_set and label_set.content.threshold) or DEFAULT_THRESHOLD
        results = [_moderation(result, outcome.request.names, threshold) for result in outcome.results]
        answer = ModerationAnswer(f"modr-{call.context.request_id}", outcome.model, results, outcome.usage)
        return json_response(answer, headers=answer_headers(outcome))


def _texts(given: str | Sequence[str | TextPart]) -> list[str]:
    """The inputs; parts together are one input."""
    if isinstance(given, str):
        return [given]
    texts = [part for part in given if isinstance(part, str)]
    parts = [part.text for part in given if isinstance(part, TextPart)]
    if texts and parts:
        raise InvalidRequest("give either texts, or parts of one input", field="input")
    return texts or ["\n".join(parts)]


def _moderation(result: TextResult, names: Sequence[str], threshold: float) -> Moderation:
    assert isinstance(result.entailment, list)
    score_of: dict[str, Any] = dict(zip(result.labels, result.entailment, strict=True))
    scores = {name: score_of[name] for name in names}
    flags = {name: score >= threshold for name, score in scores.items()}
    truncated = True if result.truncated else UNSET
    return Moderation(any(flags.values()), flags, scores, {name: ["text"] for name in names}, truncated)
