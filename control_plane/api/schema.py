"""Bodies and answers of the control plane, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from stores.audit import AuditRecord
from stores.budgets import Enforcement
from stores.correction import Correction
from stores.evaluation import Evaluation
from stores.special_tokens import SpecialTokens
from web.paging import ListAnswer

Time = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})]


class SetLabelBody(Struct, forbid_unknown_fields=True):
    """A label, and the hypothesis that replaces the template's."""

    label: str
    hypothesis: str | None = None


class LabelSetBody(Struct, forbid_unknown_fields=True):
    """The body of `PUT /v1/label-sets/{name}`."""

    labels: list[Annotated[str | SetLabelBody, Meta(title="LabelOrHypothesis")]]
    hypothesis_template: str = "{}"
    multi_label: bool = False
    max_tokens: int | None = None
    threshold: float | None = None
    special_tokens: SpecialTokens | None = None
    """Whether `[SEP]` and its like are the model's special tokens or text; null: as the tenant says."""
    correction: Correction | None = None
    """Learned from examples by `wanneng calibrate`; null: scores are the model's own."""
    evaluation: Evaluation | None = None
    """What the version answered to sample texts; null: nobody has counted."""


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
    special_tokens: SpecialTokens | None
    correction: Correction | None
    evaluation: Evaluation | None
    created_at: Time
    removed_versions: Sequence[int] | UnsetType = UNSET
    """Old ones that made room for this one; only in the answer that creates it."""


class LabelSetList(Struct, frozen=True):
    label_sets: list[LabelSetAnswer]
    has_more: bool
    last_id: str | None
    """Name of the last set, or number of the last version."""


class TenantBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/tenants`."""

    name: str


class TenantChange(Struct, forbid_unknown_fields=True):
    """The body of `PATCH /v1/tenants/{id}`: only what is given changes."""

    name: str | None = None
    status: str | None = None
    special_tokens: SpecialTokens | None = None
    """Whether `[SEP]` and its like in texts and labels are the model's special tokens or text."""


class QuotaBody(Struct, forbid_unknown_fields=True):
    """The body of `PUT /v1/tenants/{id}/quota`; null: the gateway's default."""

    requests_per_minute: int | None = None
    pairs_per_minute: int | None = None
    pairs_in_flight: int | None = None
    tokens_per_minute: int | None = None


class BudgetAnswer(Struct, frozen=True):
    """A budget, and what is used in this calendar month (UTC)."""

    key_id: str | None
    """null: the tenant's."""
    pairs_per_month: int | None
    tokens_per_month: int | None
    enforcement: Enforcement
    pairs_used: int
    tokens_used: int
    renewed_at: Time


class CallersBudgets(Struct, frozen=True):
    """What the caller's requests count against."""

    tenant: BudgetAnswer
    key: BudgetAnswer | None
    """null: the caller needs no key."""


class Me(Struct, frozen=True):
    """Who asks, and what the key allows."""

    tenant_id: str
    tenant_name: str
    key_id: str | None
    """null: the caller needs no key, or has signed in."""
    subject: str | None
    """The person who has signed in; null: nobody has."""
    scopes: tuple[str, ...]


class TenantAnswer(Struct, frozen=True):
    id: str
    name: str
    status: str
    created_at: Time
    requests_per_minute: int | None
    pairs_per_minute: int | None
    pairs_in_flight: int | None
    tokens_per_minute: int | None
    special_tokens: SpecialTokens


class TenantList(Struct, frozen=True):
    tenants: list[TenantAnswer]
    has_more: bool
    last_id: str | None


class FileAnswer(Struct, frozen=True):
    """A file, as in OpenAI's API; times are in seconds since 1970."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    expires_at: int | None
    object: str = "file"
    status: str = "processed"


class FileList(ListAnswer[FileAnswer], frozen=True):
    """Files, as in OpenAI's API."""


class Deleted(Struct, frozen=True):
    id: str
    object: str
    deleted: bool = True


class ExpiresAfter(Struct, forbid_unknown_fields=True):
    """When the files of a batch cease to exist: 3600 to 2592000 seconds after they were created."""

    anchor: str
    seconds: int


class BatchBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/batches`."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    output_expires_after: ExpiresAfter | None = None
    """Of the output and the error file; null: as the retention says."""


class BatchLineError(Struct, frozen=True):
    code: str
    message: str
    line: int | None
    """Counted from 1; null: the file as a whole."""


class BatchErrors(Struct, frozen=True):
    """Why the file cannot be a batch."""

    data: list[BatchLineError]
    object: str = "list"


class RequestCounts(Struct, frozen=True):
    total: int
    completed: int
    failed: int


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """A batch, as in OpenAI's API; times are in seconds since 1970."""

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


class BatchList(ListAnswer[BatchAnswer], frozen=True):
    """Batches, as in OpenAI's API."""


class UsageDay(Struct, frozen=True):
    """Answers given on one day (UTC), and their pairs."""

    day: date
    requests: int
    pairs_computed: int
    pairs_cached: int
    tokens: int
    """Of the computed pairs."""


class UsageTotal(Struct, frozen=True):
    """The sum of the days."""

    requests: int
    pairs_computed: int
    pairs_cached: int
    tokens: int
    cost: str | None
    """Of the tokens, at today's price, as a decimal number; null: there is no price."""
    price_per_million_tokens: str | None
    currency: str | None


class LabelSetUsageAnswer(Struct, frozen=True):
    """What was answered with one label set, which may be deleted by now."""

    label_set: str
    requests: int
    pairs_computed: int
    pairs_cached: int
    tokens: int


class UsageAnswer(Struct, frozen=True):
    """Days on which something was used, in order, and their sum."""

    days: list[UsageDay]
    total: UsageTotal
    label_sets: list[LabelSetUsageAnswer]
    """Sums of the days by label set, those with the most computed pairs first; at most 100."""


class AuditList(Struct, frozen=True):
    records: list[AuditRecord]
    has_more: bool
    last_id: str | None
    """Sequence of the last record."""
