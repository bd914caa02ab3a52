"""Tenants, keys, quotas and label sets out of a YAML file, read only: for clusters that keep them in Git.

The file is read again when it changes. One that cannot be used is refused whole: the last good one stays, the log
says what is wrong, and `wanneng_declaration_sound` is 0.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gateway.label_sets import LabelSet
from gateway.settings import Settings
from gateway.stores.absent import refuse
from gateway.stores.database import DatabaseError
from gateway.stores.declaration import Declaration
from gateway.tenants import Key, Tenant

LOOK_S = 1.0

log = logging.getLogger(__name__)


class DeclaredFile:
    """The newest good content of the file at `path`."""

    def __init__(self, path: Path, limits: Settings) -> None:
        self._path = path
        self._limits = limits
        self._content: bytes | None = None
        self._now: Declaration | None = None
        self.sound = True

    @property
    def now(self) -> Declaration:
        """What holds; read at the first use, `DatabaseError` when that cannot be done."""
        if self._now is None:
            self._now = self._read()
        return self._now

    def look(self) -> None:
        """Take a changed file if it is good."""
        try:
            content = self._path.read_bytes()
            if content == self._content and self.sound:
                return
            self._now, self._content = Declaration(content, self._limits), content
            log.info("%s has changed and holds from now", self._path)
            self.sound = True
        except (DatabaseError, OSError) as error:
            if self.sound:
                log.error("%s cannot be used, what it said before still holds: %s", self._path, error)
            self.sound = False

    async def keep(self) -> None:
        """Look every `LOOK_S`, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def _read(self) -> Declaration:
        try:
            self._content = self._path.read_bytes()
            return Declaration(self._content, self._limits)
        except OSError as error:
            raise DatabaseError(f"{self._path} cannot be read: {error.strerror}") from None
        except DatabaseError as error:
            raise DatabaseError(f"{self._path}: {error}") from None


class DeclaredTenants:
    """A `TenantStore` that is only read."""

    def __init__(self, file: DeclaredFile) -> None:
        self._file = file

    async def add(self, tenant: Tenant) -> None:
        refuse()

    async def get(self, tenant_id: str) -> Tenant | None:
        return self._file.now.tenants.get(tenant_id)

    async def all(self) -> Sequence[Tenant]:
        return sorted(self._file.now.tenants.values(), key=lambda tenant: tenant.name)

    async def change(self, tenant: Tenant) -> None:
        refuse()

    async def remove(self, tenant_id: str) -> None:
        refuse()


class DeclaredKeys:
    """A `KeyStore` that is only read; when keys were used is not kept."""

    def __init__(self, file: DeclaredFile) -> None:
        self._file = file

    async def add(self, key: Key) -> None:
        refuse()

    async def find(self, key_id: str) -> tuple[Key, Tenant] | None:
        key = self._file.now.keys.get(key_id)
        return None if key is None else (key, self._file.now.tenants[key.tenant_id])

    async def of(self, tenant_id: str) -> Sequence[Key]:
        return [key for key in self._file.now.keys.values() if key.tenant_id == tenant_id]

    async def change(
        self, key_id: str, *, expires_at: datetime | None = None, last_used_at: datetime | None = None
    ) -> None:
        if expires_at is not None:
            refuse()

    async def remove(self, tenant_id: str, key_id: str) -> None:
        refuse()


class DeclaredLabelSets:
    """A `LabelSetStore` that is only read."""

    def __init__(self, file: DeclaredFile) -> None:
        self._file = file

    async def add(self, label_set: LabelSet, latest: int) -> None:
        refuse()

    async def latest(self, tenant_id: str, name: str) -> tuple[int, bool]:
        newest = max((one.version for one in await self.all(tenant_id, name)), default=0)
        return newest, newest > 0

    async def get(self, tenant_id: str, name: str, version: int) -> LabelSet | None:
        return self._file.now.label_sets.get((tenant_id, name, version))

    async def all(self, tenant_id: str, name: str | None = None) -> Sequence[LabelSet]:
        mine = [one for one in self._file.now.label_sets.values() if one.tenant_id == tenant_id]
        mine.sort(key=lambda one: (one.name, -one.version))
        if name is not None:
            return [one for one in mine if one.name == name]
        return list({one.name: one for one in reversed(mine)}.values())[::-1]

    async def remove(self, tenant_id: str, name: str) -> None:
        refuse()
