"""The keys of one machine: its admin key and its local tenant's, in files that only their owner reads."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from pathlib import Path

from wanneng.client import AsyncClient
from wanneng.errors import StartError
from wanneng.settings import MIN_KEY_CHARACTERS, VISIBLE_ASCII

ADMIN_KEY_FILE, LOCAL_KEY_FILE = "admin.key", "local.key"
LOCAL_TENANT = "local"


def admin_key(state_dir: Path) -> str:
    """The admin key of this machine, made at the first start; `StartError` names a file that holds none."""
    path = state_dir / ADMIN_KEY_FILE
    if not path.exists():
        write_secret(path, secrets.token_hex(32))
    key = read_secret(path)
    if key is None or len(key) < MIN_KEY_CHARACTERS:
        # Whoever has a copy of the key that was there could no longer use it, so no other is made unasked.
        raise StartError(
            f"{path} holds no admin key of at least {MIN_KEY_CHARACTERS} characters, as after a full disk; "
            "restore it from a copy, or move it away for a new key"
        )
    return key


async def local_key(client: AsyncClient, state_dir: Path) -> str:
    """The key of the tenant `local`: the one in the file while that works, a new one otherwise.

    `client` has the admin key.
    """
    path = state_dir / LOCAL_KEY_FILE
    tenants = {tenant.name: tenant for tenant in await client.tenants.list()}
    tenant = tenants.get(LOCAL_TENANT) or await client.tenants.create(LOCAL_TENANT)
    key_ids = {key.id for key in await client.tenants.keys.list(tenant.id)}
    stored = read_secret(path) or ""
    # The id is the middle of `wn_<id>_<secret>`.
    if key_ids.intersection(stored.split("_")[1:2]):
        return stored
    key = (await client.tenants.keys.create(tenant.id)).secret
    write_secret(path, key)
    return key


def read_secret(path: Path) -> str | None:
    """None where there is no file, or no secret in it, such as one that was half written."""
    try:
        content = path.read_bytes().strip().decode("ascii", errors="replace")
    except FileNotFoundError:
        return None
    return content if re.fullmatch(VISIBLE_ASCII, content) else None


def write_secret(path: Path, secret: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
