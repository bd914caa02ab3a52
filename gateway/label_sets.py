"""A tenant's named labels in versions that never change. Knows no HTTP and no database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import InvalidRequest, NotFound, PreconditionNeeded
from gateway.question import PLACEHOLDER, KnownLabels
from gateway.settings import Settings

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
REFERENCE = re.compile(r"([^@]+)(?:@([1-9][0-9]{0,8}))?")
MAX_SETS = 1_000
"""Names of one tenant, deleted ones included: each keeps counting its versions."""


@dataclass(frozen=True, slots=True)
class SetLabel:
    """A label, and what is said of a text instead of the template, if that is given."""

    label: str
    hypothesis: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a version says."""

    labels: tuple[SetLabel, ...]
    hypothesis_template: str = PLACEHOLDER
    multi_label: bool = False
    max_tokens: int | None = None
    threshold: float | None = None
    """Least probability of entailment of the best label; below it, it is none of these."""

    @property
    def hypotheses(self) -> tuple[str, ...]:
        template = self.hypothesis_template
        return tuple(one.hypothesis or template.replace(PLACEHOLDER, one.label) for one in self.labels)


@dataclass(frozen=True, slots=True)
class LabelSet:
    """One version."""

    tenant_id: str
    name: str
    version: int
    content: Content
    created_at: datetime

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


class LabelSetStore(Protocol):
    """Versions, kept; numbers go on after a deletion, so that one number never means two things."""

    async def add(self, label_set: LabelSet, latest: int) -> None:
        """Keep `label_set`; `PreconditionNeeded` when the newest version is not `latest` (0: there is none).

        `NotFound` when the tenant is gone.
        """
        ...

    async def latest(self, tenant_id: str, name: str) -> tuple[int, bool]:
        """The highest version that there ever was (0: none), and whether the set is there now."""
        ...

    async def get(self, tenant_id: str, name: str, version: int) -> LabelSet | None: ...

    async def all(self, tenant_id: str, name: str | None = None) -> Sequence[LabelSet]:
        """The newest version of each set by name, or every version of one, newest first."""
        ...

    async def remove(self, tenant_id: str, name: str) -> None:
        """`NotFound` when it is gone."""
        ...


class LabelSets:
    """What a tenant may do with its sets; another tenant's do not exist."""

    def __init__(self, store: LabelSetStore, clock: Clock, limits: Settings) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits

    async def put(self, tenant_id: str, name: str, content: Content, expected: int | None) -> LabelSet:
        """A new version; `expected` is the version that the writer has seen, None for a set that is not there.

        `PreconditionNeeded` when that is not the newest: two writers cannot overwrite each other unseen.
        """
        if not NAME.fullmatch(name):
            raise InvalidRequest("a-z, 0-9, _ and -, at most 63 of them, are possible", field="name")
        check_content(content, self._limits)
        latest, there = await self._store.latest(tenant_id, name)
        if (latest if there else None) != expected:
            raise PreconditionNeeded(
                f"the newest version is {latest}; send it as If-Match" if there else "there is no such label set"
            )
        if latest == 0 and len(await self._store.all(tenant_id)) >= MAX_SETS:
            raise InvalidRequest(f"a tenant may have {MAX_SETS} label sets", field="name")
        made = LabelSet(tenant_id, name, latest + 1, content, self._clock.now())
        await self._store.add(made, latest)
        return made

    async def roll_back(self, tenant_id: str, name: str, version: int, expected: int | None) -> LabelSet:
        """What `version` says, as the newest version."""
        old = await self.get(tenant_id, f"{name}@{version}")
        return await self.put(tenant_id, name, old.content, expected)

    async def get(self, tenant_id: str, reference: str) -> LabelSet:
        """`name` is its newest version, `name@3` that one."""
        found = REFERENCE.fullmatch(reference)
        if found is not None:
            name, version = found[1], found[2]
            latest, there = await self._store.latest(tenant_id, name)
            label_set = await self._store.get(tenant_id, name, int(version or latest)) if there else None
            if label_set is not None:
                return label_set
        raise NotFound("there is no such label set")

    async def all(self, tenant_id: str) -> Sequence[LabelSet]:
        return await self._store.all(tenant_id)

    async def versions(self, tenant_id: str, name: str) -> Sequence[LabelSet]:
        versions = await self._store.all(tenant_id, name)
        if not versions:
            raise NotFound("there is no such label set")
        return versions

    async def remove(self, tenant_id: str, name: str) -> None:
        await self._store.remove(tenant_id, name)


def known_labels(label_set: LabelSet) -> KnownLabels:
    """A version, as a question takes it."""
    content = label_set.content
    return KnownLabels(
        label_set.reference,
        tuple(one.label for one in content.labels),
        content.hypotheses,
        content.multi_label,
        content.max_tokens,
        content.threshold,
    )


def check_content(content: Content, limits: Settings) -> None:
    """Whatever an inline question would be refused for, and hypotheses that cannot be told apart."""
    if not 1 <= len(content.labels) <= limits.max_labels:
        raise InvalidRequest(f"1 to {limits.max_labels} labels are possible", field="labels")
    template = content.hypothesis_template
    if template.count(PLACEHOLDER) != 1 or len(template) > limits.max_template_characters:
        raise InvalidRequest(
            f"exactly one {{}} is needed, in at most {limits.max_template_characters} characters",
            field="hypothesis_template",
        )
    for what, values in (("label", [one.label for one in content.labels]), ("hypothesis", content.hypotheses)):
        seen: set[str] = set()
        for place, value in enumerate(values):
            if not value.strip() or len(value) > limits.max_label_characters or value in seen:
                raise InvalidRequest(
                    f"a {what} of 1 to {limits.max_label_characters} characters is needed, none twice",
                    field=f"labels[{place}]",
                )
            seen.add(value)
    if content.max_tokens is not None and not limits.min_tokens <= content.max_tokens <= limits.max_tokens:
        raise InvalidRequest(f"{limits.min_tokens} to {limits.max_tokens} is possible", field="max_tokens")
    if content.threshold is not None and not 0 < content.threshold < 1:
        raise InvalidRequest("a probability between 0 and 1 is needed", field="threshold")
