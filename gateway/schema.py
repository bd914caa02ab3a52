"""What travels over HTTP: bodies of requests and answers. Validates types, not meaning."""

from __future__ import annotations

from datetime import date, datetime
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


class SetLabelBody(Struct, forbid_unknown_fields=True):
    """A label with a hypothesis of its own."""

    label: str
    hypothesis: str | None = None


class LabelSetBody(Struct, forbid_unknown_fields=True):
    """The body of `PUT /v1/label-sets/{name}`."""

    labels: list[str | SetLabelBody]
    hypothesis_template: str = "{}"
    multi_label: bool = False
    max_tokens: int | None = None
    threshold: float | None = None


class RollbackBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/label-sets/{name}/rollback`."""

    version: int


class LabelSetAnswer(Struct, frozen=True):
    name: str
    version: int
    labels: list[SetLabelBody]
    hypothesis_template: str
    multi_label: bool
    max_tokens: int | None
    threshold: float | None
    created_at: datetime


class LabelSetList(Struct, frozen=True):
    label_sets: list[LabelSetAnswer]


class TenantBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/tenants`."""

    name: str


class TenantChange(Struct, forbid_unknown_fields=True):
    """The body of `PATCH /v1/tenants/{id}`: what is given changes."""

    name: str | None = None
    status: str | None = None


class QuotaBody(Struct, forbid_unknown_fields=True):
    """The body of `PUT /v1/tenants/{id}/quota`; null: the gateway's own."""

    requests_per_minute: int | None = None
    pairs_per_minute: int | None = None
    pairs_in_flight: int | None = None


class KeyBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/tenants/{id}/keys`."""

    scopes: list[str] | None = None
    """All by default."""
    expires_at: datetime | None = None
    """Never by default."""


class RotateBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/tenants/{id}/keys/{key}/rotate`."""

    overlap_s: float = 3_600.0
    """How long the old key still works."""


class TenantAnswer(Struct, frozen=True):
    id: str
    name: str
    status: str
    created_at: datetime
    requests_per_minute: int | None
    pairs_per_minute: int | None
    pairs_in_flight: int | None


class TenantList(Struct, frozen=True):
    tenants: list[TenantAnswer]


class KeyAnswer(Struct, frozen=True):
    """A key without the key; `key` is there once, when it was made."""

    id: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    key: str | UnsetType = UNSET


class KeyList(Struct, frozen=True):
    keys: list[KeyAnswer]


class FileAnswer(Struct, frozen=True):
    """A file, as OpenAI shows one."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    object: str = "file"
    status: str = "processed"


class Deleted(Struct, frozen=True):
    id: str
    object: str
    deleted: bool = True


class BatchBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/batches`."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None


class BatchLineError(Struct, frozen=True):
    code: str
    message: str
    line: int | None
    """Counted from 1."""


class BatchErrors(Struct, frozen=True):
    """Why the file cannot be a batch."""

    data: list[BatchLineError]
    object: str = "list"


class RequestCounts(Struct, frozen=True):
    total: int
    completed: int
    failed: int


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """A batch, as OpenAI shows one; times are seconds since 1970."""

    id: str
    object: str = "batch"
    endpoint: str
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    expires_at: int
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts
    metadata: dict[str, str]


class DayOfUse(Struct, frozen=True):
    """Answers given on a day (UTC), and their pairs."""

    day: date
    requests: int
    pairs_computed: int
    pairs_cached: int


class UsageAnswer(Struct, frozen=True):
    """Days on which something was used, in their order."""

    days: list[DayOfUse]


class Page(Struct, frozen=True):
    """Some of a list, and where it goes on."""

    data: list[Any]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


class BatchLine(Struct, forbid_unknown_fields=True):
    """A line of a batch's input file."""

    custom_id: str
    url: str
    body: Raw
    method: str = "POST"


_Body = TypeVar("_Body", bound=Struct)
_BODIES = (
    ClassifyBody,
    TokenizeBody,
    LabelSetBody,
    RollbackBody,
    TenantBody,
    TenantChange,
    QuotaBody,
    KeyBody,
    RotateBody,
    BatchBody,
    BatchLine,
)
_decoders: dict[type[Struct], msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(kind) for kind in _BODIES}


def decode(kind: type[_Body], body: bytes | Raw) -> _Body:
    """The body as a struct; `NotJson` or `InvalidRequest` with the place and the reason."""
    try:
        decoded: _Body = _decoders[kind].decode(body)
        return decoded
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"the body is not JSON: {error}") from None
