"""The keys of one machine: its admin key and its local tenant's, in files that only their owner reads."""

from __future__ import annotations

import secrets
from pathlib import Path

from wanneng.client import AsyncClient

ADMIN_KEY_FILE, LOCAL_KEY_FILE = "admin.key", "local.key"
LOCAL_TENANT = "local"
OWNER_ONLY = 0o600


def admin_key(state_dir: Path) -> str:
    """The admin key of this machine, made at the first start."""
    path = state_dir / ADMIN_KEY_FILE
    if not path.exists():
        write_secret(path, secrets.token_hex(32))
    return path.read_text(encoding="utf-8").strip()


async def local_key(client: AsyncClient, state_dir: Path) -> str:
    """The key of the tenant `local`: the one in the file while that works, a new one otherwise.

    `client` has the admin key.
    """
    path = state_dir / LOCAL_KEY_FILE
    tenants = {tenant.name: tenant for tenant in await client.tenants.list()}
    tenant = tenants.get(LOCAL_TENANT) or await client.tenants.create(LOCAL_TENANT)
    key_ids = {key.id for key in await client.tenants.keys.list(tenant.id)}
    stored = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    # The id is the middle of `wn_<id>_<secret>`.
    if key_ids.intersection(stored.split("_")[1:2]):
        return stored
    key = (await client.tenants.keys.create(tenant.id)).secret
    write_secret(path, key)
    return key


def write_secret(path: Path, secret: str) -> None:
    """Never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=OWNER_ONLY, exist_ok=False)
    path.write_text(secret + "\n", encoding="utf-8")
