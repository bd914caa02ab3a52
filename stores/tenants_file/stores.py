"""The ports of `stores` on the tenants file, which is read again when it changes.

A file that cannot be used is refused as a whole: the last good one stays in force, the log says what is wrong, and
the metric `wanneng_tenants_file_valid` is 0.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Unpack

from stores.budgets import Budget
from stores.label_sets import LabelLimits, LabelSet, LabelSetBounds
from stores.paging import Page, PageRequest, page_of
from stores.tenants import ApiKey, Replaced, Tenant, TenantChanges
from stores.tenants_file.parser import TenantsFileContent, TenantsFileError
from stores.tenants_file.unavailable import refuse

RELOAD_S = 1.0
"""How often the file is read."""

log = logging.getLogger(__name__)


class TenantsFile:
    """The newest good content of the file at `path`."""

    def __init__(self, path: Path, limits: LabelLimits) -> None:
        self._path = path
        self._limits = limits
        self._bytes: bytes | None = None
        self._refused: bytes | None = None
        """What was read last while `valid` is false; None: it could not be read."""
        self._current: TenantsFileContent | None = None
        self.valid = True

    @property
    def current(self) -> TenantsFileContent:
        """What is in force; read at the first use, `TenantsFileError` when that fails."""
        if self._current is None:
            self._current = self._read()
        return self._current

    def reload(self) -> bool:
        """Take a changed file if it can be used; whether there was one."""
        content: bytes | None = None
        try:
            content = self._path.read_bytes()
            if content == (self._bytes if self.valid else self._refused):
                return False
            self._current, self._bytes = TenantsFileContent(content, self._limits), content
        except (TenantsFileError, OSError) as error:
            if self.valid or content != self._refused:
                log.error("%s cannot be used, its last good content stays in force: %s", self._path, error)
            self.valid, self._refused = False, content
            return False
        log.info("%s is in force", self._path)
        self.valid = True
        return True

    async def watch(self, forget: Iterable[Callable[[], None]]) -> None:
        """Reload every `RELOAD_S`, until cancelled, and `forget` what others have read of the content before."""
        while True:
            if self.reload():
                for each in forget:
                    each()
            await asyncio.sleep(RELOAD_S)

    def _read(self) -> TenantsFileContent:
        try:
            content = self._path.read_bytes()
            current = TenantsFileContent(content, self._limits)
        except OSError as error:
            raise TenantsFileError(f"{self._path} cannot be read: {error.strerror}") from None
        except TenantsFileError as error:
            raise TenantsFileError(f"{self._path}: {error}") from None
        self._bytes = content
        return current


class FileTenants:
    """A read-only `TenantStore`."""

    def __init__(self, file: TenantsFile) -> None:
        self._file = file

    async def add(self, tenant: Tenant) -> None:
        refuse()

    async def get(self, tenant_id: str) -> Tenant | None:
        return self._file.current.tenants.get(tenant_id)

    async def page(self, request: PageRequest) -> Page[Tenant]:
        tenants = sorted(self._file.current.tenants.values(), key=lambda tenant: tenant.name)
        return page_of(tenants, request, lambda tenant: tenant.id)

    async def change(self, tenant_id: str, **changes: Unpack[TenantChanges]) -> Tenant:
        refuse()

    async def remove(self, tenant_id: str) -> None:
        refuse()


class FileApiKeys:
    """A read-only `ApiKeyStore`; when keys were last used is not kept."""

    def __init__(self, file: TenantsFile) -> None:
        self._file = file

    async def add(self, key: ApiKey, max_keys: int, replaced: Replaced | None = None) -> None:
        refuse()

    async def find(self, key_id: str) -> tuple[ApiKey, Tenant] | None:
        key = self._file.current.keys.get(key_id)
        return None if key is None else (key, self._file.current.tenants[key.tenant_id])

    async def page(self, tenant_id: str, request: PageRequest) -> Page[ApiKey]:
        keys = [key for key in self._file.current.keys.values() if key.tenant_id == tenant_id]
        return page_of(keys, request, lambda key: key.id)

    async def set_budget(self, tenant_id: str, key_id: str, budget: Budget) -> None:
        refuse()

    async def ends(self, since: datetime, until: datetime, limit: int) -> dict[str, datetime]:
        ends = [
            (end, key.id)
            for key in self._file.current.keys.values()
            if (end := key.expires_at) and since <= end <= until
        ]
        return {key_id: end for end, key_id in sorted(ends)[:limit]}

    async def mark_used(self, key_id: str, used_at: datetime) -> None:
        pass

    async def remove(self, tenant_id: str, key_id: str) -> None:
        refuse()


class FileLabelSets:
    """A read-only `LabelSetStore`."""

    def __init__(self, file: TenantsFile) -> None:
        self._file = file

    async def add(self, label_set: LabelSet, latest: int, bounds: LabelSetBounds) -> Sequence[int]:
        refuse()

    async def latest(self, tenant_id: str, name: str) -> tuple[int, bool]:
        latest = max((label_set.version for label_set in self._versions(tenant_id, name)), default=0)
        return latest, latest > 0

    async def get(self, tenant_id: str, name: str, version: int) -> LabelSet | None:
        return self._file.current.label_sets.get((tenant_id, name, version))

    async def page(self, tenant_id: str, request: PageRequest, name: str | None = None) -> Page[LabelSet]:
        if name is not None:
            return page_of(self._versions(tenant_id, name), request, lambda version: str(version.version))
        newest: dict[str, LabelSet] = {}
        for version in self._versions(tenant_id):
            newest.setdefault(version.name, version)
        return page_of(list(newest.values()), request, lambda version: version.name)

    def _versions(self, tenant_id: str, name: str | None = None) -> Sequence[LabelSet]:
        """By name, newest first."""
        versions = [
            version
            for version in self._file.current.label_sets.values()
            if version.tenant_id == tenant_id and name in (None, version.name)
        ]
        return sorted(versions, key=lambda version: (version.name, -version.version))

    async def remove(self, tenant_id: str, name: str) -> None:
        refuse()
