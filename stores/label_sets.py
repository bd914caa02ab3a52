"""Label sets: a tenant's labels under a name, in versions that never change; and the port of what keeps them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from stores.correction import Correction, validate_correction
from stores.errors import InvalidRequest, NotFound
from stores.evaluation import Evaluation
from stores.paging import Page, PageRequest
from stores.special_tokens import SpecialTokens

PLACEHOLDER = "{}"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MAX_VERSION = 999_999_999
VERSION = re.compile(rf"[1-9][0-9]{{0,{len(str(MAX_VERSION)) - 1}}}")
REFERENCE = re.compile(rf"({NAME.pattern})(?:@({VERSION.pattern}))?")
"""`tickets`, the newest version, or `tickets@3`."""

HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
"""Of each full-width letter, digit and sign (Unicode, Halfwidth and Fullwidth Forms)."""

Count = Annotated[int, Meta(ge=1)]


class LabelLimits(Struct, frozen=True, kw_only=True):
    """Bounds of labels, templates and token limits, in a label set as in a request."""

    max_labels: Count = 256
    """Labels of one request or label set."""
    max_label_characters: Count = 1_024
    """Characters of one label or hypothesis."""
    max_template_characters: Count = 1_024
    """Characters of a hypothesis template."""
    min_tokens: Count = 8
    """Smallest token limit that a request may ask for."""
    max_tokens: Count = 512
    """Largest token limit that a request may ask for; the engine's own limit applies as well."""


@dataclass(frozen=True, slots=True)
class SetLabel:
    """A label, and the hypothesis that replaces the template's, if there is one."""

    label: str
    hypothesis: str | None = None


@dataclass(frozen=True, slots=True)
class LabelSetContent:
    """What a version says."""

    labels: tuple[SetLabel, ...]
    hypothesis_template: str = PLACEHOLDER
    multi_label: bool = False
    max_tokens: int | None = None
    threshold: float | None = None
    """Least probability of entailment of the best label; below it the answer is none of these."""
    special_tokens: SpecialTokens | None = None
    """None: the tenant's."""
    correction: Correction | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.label for label in self.labels)

    @property
    def hypotheses(self) -> tuple[str, ...]:
        template = self.hypothesis_template
        return tuple(label.hypothesis or template.replace(PLACEHOLDER, label.label) for label in self.labels)


@dataclass(frozen=True, slots=True)
class LabelSet:
    """One version."""

    tenant_id: str
    name: str
    version: int
    content: LabelSetContent
    created_at: datetime
    evaluation: Evaluation | None = None

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class LabelSetBounds:
    """What one tenant may keep."""

    max_sets: int
    max_names: int
    """Of sets that exist and of deleted ones, whose numbers are remembered."""
    max_versions: int
    """Of one set; the oldest one makes room."""
    max_bytes: int
    """Of all versions."""


class LabelSetStore(Protocol):
    """Versions; numbers go on after a deletion, so that one number never means two things."""

    async def add(self, label_set: LabelSet, latest: int, bounds: LabelSetBounds) -> Sequence[int]:
        """Keep `label_set`, and return the versions that were removed to make room for it.

        `PreconditionFailed` when the newest version is not `latest` (0: there is none), `NotFound` when the tenant
        does not exist, `Conflict` when it would have more than it may.
        """
        ...

    async def latest(self, tenant_id: str, name: str) -> tuple[int, bool]:
        """The highest version that there ever was (0: none), and whether the set exists now."""
        ...

    async def get(self, tenant_id: str, name: str, version: int) -> LabelSet | None: ...

    async def page(self, tenant_id: str, request: PageRequest, name: str | None = None) -> Page[LabelSet]:
        """The newest version of each set by name, after a name; or those of one, newest first, after a number."""
        ...

    async def remove(self, tenant_id: str, name: str) -> None:
        """`NotFound` when it does not exist."""
        ...


async def find_label_set(store: LabelSetStore, tenant_id: str, reference: str) -> LabelSet | None:
    """The version that `reference` names, or None."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        return None
    name, version = match[1], match[2]
    latest, exists = await store.latest(tenant_id, name)
    return await store.get(tenant_id, name, int(version or latest)) if exists else None


def missing(reference: str) -> NotFound:
    """What a caller is told of a label set that its tenant does not have."""
    return NotFound(f"no label set {reference[:100]!r}; GET /v1/label-sets lists what there is")


@lru_cache(4_096)
def normalized(label: str) -> str:
    """A label without what readers do not see: blanks around it and repeated ones, and full-width letters."""
    return " ".join(label.translate(HALF_WIDTH).split())


def check_label_count(count: int, max_labels: int) -> None:
    """`InvalidRequest` for none or too many; cheap, and therefore before anything is made of each label."""
    if not 1 <= count <= max_labels:
        raise InvalidRequest(f"{count} labels; 1 to {max_labels} are allowed", field="labels")


def check_text(value: str, max_characters: int, field: str) -> None:
    """`InvalidRequest` for a text or a label that is empty or too long."""
    if not value.strip():
        raise InvalidRequest("empty", field=field)
    check_length(value, max_characters, field)


def check_length(value: str, max_characters: int, field: str) -> None:
    if len(value) > max_characters:
        raise InvalidRequest(f"{len(value)} characters, at most {max_characters} are allowed", field=field)


def check_labels(labels: Sequence[str], limits: LabelLimits, kind: str = "label") -> None:
    """`InvalidRequest` for one that is empty or too long, or that reads as another one does."""
    seen: set[str] = set()
    for position, label in enumerate(labels):
        check_text(label, limits.max_label_characters, f"labels[{position}]")
        spelling = normalized(label)
        if spelling in seen:
            raise InvalidRequest(f"duplicate {kind}", field=f"labels[{position}]")
        seen.add(spelling)


def check_template(template: str, limits: LabelLimits) -> None:
    if template.count(PLACEHOLDER) != 1:
        raise InvalidRequest("needs exactly one {}, where the label goes", field="hypothesis_template")
    check_length(template, limits.max_template_characters, "hypothesis_template")


def check_max_tokens(max_tokens: int | None, limits: LabelLimits) -> None:
    if max_tokens is not None and not limits.min_tokens <= max_tokens <= limits.max_tokens:
        raise InvalidRequest(
            f"{max_tokens} is outside {limits.min_tokens} to {limits.max_tokens}", field="max_tokens"
        )


def validate_content(content: LabelSetContent, limits: LabelLimits) -> None:
    """`InvalidRequest` for what an inline request would be refused for, and for two equal hypotheses."""
    check_label_count(len(content.labels), limits.max_labels)
    check_template(content.hypothesis_template, limits)
    for kind, values in (("label", content.names), ("hypothesis", content.hypotheses)):
        check_labels(values, limits, kind)
    check_max_tokens(content.max_tokens, limits)
    if content.threshold is not None and not 0 < content.threshold < 1:
        raise InvalidRequest("the threshold must be a probability between 0 and 1", field="threshold")
    if content.correction is not None:
        validate_correction(content.correction, len(content.labels), multi_label=content.multi_label)
