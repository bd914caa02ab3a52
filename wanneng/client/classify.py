"""Texts to labels: the requests and the answers of `POST /v1/classify` and `POST /v1/tokenize`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import httpx

from wanneng.client.transport import Request, json_object
from wanneng.errors import RequestError

PATH, TOKENIZE = "/v1/classify", "/v1/tokenize"
SpecialTokens = Literal["model", "text"]


class Options(TypedDict, total=False):
    """Optional fields of a request; omitted ones have the gateway's defaults."""

    label_set: str
    """In place of labels, template, `multi_label` and `max_tokens`: `tickets`, or `tickets@3`."""
    hypothesis_template: str
    multi_label: bool
    max_tokens: int
    truncate: bool
    """False: refuse a text that the token limit would cut."""
    entailment: bool
    """Also return each label's own probability of entailment."""
    special_tokens: SpecialTokens
    """`text`: `[SEP]` and its like are text; `model`: special tokens."""
    fresh: bool
    """Compute the answer anew instead of using a cache."""
    timeout_s: float
    """The deadline; after it the request is refused with `deadline_exceeded`."""


class TokenizeOptions(TypedDict, total=False):
    """The options that affect the number of tokens."""

    label_set: str
    hypothesis_template: str
    max_tokens: int
    special_tokens: SpecialTokens


@dataclass(frozen=True, slots=True)
class Classification:
    """One text's labels by score, best first; none where the text was refused."""

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
    unknown_share: float = 0.0
    """The share of the text's tokens that the model does not know."""
    error: RequestError | None = None
    """Why this text of a stream was refused; None if it was not."""
    answer: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The gateway's whole answer for this text, with the version of the model."""

    @property
    def best(self) -> str:
        """`RequestError` for a text that was refused."""
        if self.error is not None:
            raise self.error
        return self.labels[0]

    def score(self, label: str) -> float:
        """`ValueError` for a label that was not asked for."""
        return self.scores[self.labels.index(label)]


@dataclass(frozen=True, slots=True)
class LabelTokens:
    """How long the pair of a text and a label is, and how much the limit cuts from each."""

    label: str
    tokens: int
    text_cut: int
    label_cut: int
    unknown_share: float
    """The share of the label's tokens that the model does not know."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The number of tokens of a text, alone and with labels."""

    max_tokens: int
    text_tokens: int
    """Before truncation."""
    unknown_share: float
    """The share of these that the model does not know."""
    labels: tuple[LabelTokens, ...]
    truncated: bool


def classify_request(
    texts: Sequence[str], labels: Sequence[str] | None, options: Options
) -> Request[list[Classification]]:
    if isinstance(texts, str):
        raise TypeError("a sequence of texts is needed; classify() takes one")
    body = {"texts": list(texts)} | _body(labels, options)

    def parse(response: httpx.Response) -> list[Classification]:
        answer = json_object(response)
        results = zip(texts, answer["results"], strict=True)
        return [_classification(text, result, answer["model_version"]) for text, result in results]

    return Request("POST", PATH, parse, _content(body, options), changes=False)


def tokenize_request(text: str, labels: Sequence[str] | None, options: TokenizeOptions) -> Request[Tokens]:
    body = {"text": text} | _body(labels, options)
    return Request("POST", TOKENIZE, _tokens, {"json": body}, changes=False)


def _body(labels: Sequence[str] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    body = {name: value for name, value in options.items() if name not in ("fresh", "timeout_s")}
    if labels is not None:
        body["labels"] = labels if isinstance(labels, str) else list(labels)
    return body


def _content(body: dict[str, Any], options: Options) -> dict[str, Any]:
    """As httpx takes it."""
    headers = {"Cache-Control": "no-cache"} if options.get("fresh") else {}
    if "timeout_s" in options:
        headers["X-Request-Timeout"] = f"{options['timeout_s']:g}"
    return {"json": body, "headers": headers}


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
        result.get("unknown_share", 0.0),
        answer=result | {"model_version": model_version},
    )


def _tokens(response: httpx.Response) -> Tokens:
    answer = json_object(response)
    names = ("label", "tokens", "text_cut", "label_cut", "unknown_share")
    labels = tuple(LabelTokens(*(label[name] for name in names)) for label in answer["labels"])
    return Tokens(
        answer["max_tokens"], answer["text_tokens"], answer["unknown_share"], labels, answer["truncated"]
    )
