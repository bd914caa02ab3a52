"""What travels over HTTP: bodies of requests and answers. Validates types, not meaning."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.errors import InvalidRequest, NotJson


class ClassifyBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/classify`."""

    labels: str | list[str] | UnsetType = UNSET
    """A list, or one string with `,` or `，` between labels."""
    label_set: str | UnsetType = UNSET
    """Instead of labels: a set of the tenant's, its newest version (`tickets`) or a certain one (`tickets@3`)."""
    text: str | UnsetType = UNSET
    texts: list[str] | UnsetType = UNSET
    hypothesis_template: str = "{}"
    multi_label: bool = False
    max_tokens: int | None = None
    entailment: bool = False
    """Tell each label's own probability of entailment as well, which a threshold is compared with."""


class TokenizeBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/tokenize`: of a text alone, or with labels as `ClassifyBody` has them."""

    text: str
    labels: str | list[str] | UnsetType = UNSET
    label_set: str | UnsetType = UNSET
    hypothesis_template: str = "{}"
    max_tokens: int | None = None


class Cut(Struct, frozen=True):
    """What the token limit took away, the most over the pairs of a text."""

    max_tokens: int
    text_tokens: int
    label_tokens: int


class Result(Struct, frozen=True):
    """The answer for one text: labels by score, best first."""

    labels: list[str]
    scores: list[float]
    truncated: bool
    cut: Cut | UnsetType = UNSET
    none_of_these: bool | UnsetType = UNSET
    """Whether the best label's probability of entailment is below the set's threshold; absent without one."""
    entailment: list[float] | UnsetType = UNSET
    """In the order of `labels`; only where asked for."""


class Pairs(Struct, frozen=True):
    computed: int
    cached: int


class ClassifyAnswer(Struct, frozen=True):
    """The answer for `text`."""

    labels: list[str]
    scores: list[float]
    truncated: bool
    pairs: Pairs
    model: str
    model_version: str
    request_id: str
    cut: Cut | UnsetType = UNSET
    none_of_these: bool | UnsetType = UNSET
    entailment: list[float] | UnsetType = UNSET
    label_set: str | UnsetType = UNSET


class ClassifyAnswers(Struct, frozen=True):
    """The answer for `texts`, in their order."""

    results: list[Result]
    pairs: Pairs
    model: str
    model_version: str
    request_id: str
    label_set: str | UnsetType = UNSET


class LabelTokens(Struct, frozen=True):
    """How long the pair of the text and this label is, and what the limit cuts from either."""

    label: str
    tokens: int
    text_cut: int
    label_cut: int


class TokenizeAnswer(Struct, frozen=True):
    max_tokens: int
    text_tokens: int
    """Before any cut."""
    labels: list[LabelTokens]
    truncated: bool


class BatchLine(Struct, forbid_unknown_fields=True):
    """A line of a batch's input file."""

    custom_id: str
    url: str
    body: Raw
    method: str = "POST"


_Body = TypeVar("_Body", bound=Struct)
_decoders: dict[type[Struct], msgspec.json.Decoder[Any]] = {}


def decode(kind: type[_Body], body: bytes | Raw) -> _Body:
    """The body as a struct; `NotJson` or `InvalidRequest` with the place and the reason."""
    try:
        decoder = _decoders.get(kind) or _decoders.setdefault(kind, msgspec.json.Decoder(kind))
        decoded: _Body = decoder.decode(body)
        return decoded
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"the body is not JSON: {error}") from None
