"""What travels over HTTP: bodies of requests and answers. Validates types, not meaning."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.errors import InvalidRequest, NotJson


class ClassifyBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/classify`."""

    labels: str | list[str]
    """A list, or one string with `,` or `，` between labels."""
    text: str | UnsetType = UNSET
    texts: list[str] | UnsetType = UNSET
    hypothesis_template: str = "{}"
    multi_label: bool = False
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


class ClassifyAnswers(Struct, frozen=True):
    """The answer for `texts`, in their order."""

    results: list[Result]
    pairs: Pairs
    model: str
    model_version: str
    request_id: str


_classify_decoder = msgspec.json.Decoder(ClassifyBody)


def decode_classify(body: bytes) -> ClassifyBody:
    """The body as a struct; `NotJson` or `InvalidRequest` with the place and the reason."""
    try:
        return _classify_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"the body is not JSON: {error}") from None
