"""The keys of one machine: its operator's and its local tenant's, in files that only their owner reads."""

from __future__ import annotations

import secrets
from pathlib import Path

from wanneng.calls import Calls
from wanneng.operator import Operator

ADMIN_KEY_FILE, LOCAL_KEY_FILE = "admin.key", "local.key"
LOCAL_TENANT = "local"
OWNER_ONLY = 0o600


def admin_key(state: Path) -> str:
    """The operator's key of this machine, made at the first start."""
    path = state / ADMIN_KEY_FILE
    if not path.exists():
        write_secret(path, secrets.token_hex(32))
    return path.read_text(encoding="utf-8").strip()


def local_key(calls: Calls, state: Path) -> str:
    """The key of the tenant `local`: the one in the file while the gateway knows it, a new one otherwise.

    `calls` carry the operator's key, and are closed afterwards.
    """
    path = state / LOCAL_KEY_FILE
    operator = Operator(calls)
    try:
        if LOCAL_TENANT not in {tenant["name"] for tenant in operator.all()}:
            operator.create(LOCAL_TENANT)
        known = {key["id"] for key in operator.keys(LOCAL_TENANT)}
        kept = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if known.intersection(kept.split("_")[1:2]):
            return kept
        key = str(operator.add_key(LOCAL_TENANT)["key"])
        write_secret(path, key)
        return key
    finally:
        calls.close()


def write_secret(path: Path, secret: str) -> None:
    """Never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=OWNER_ONLY, exist_ok=False)
    path.write_text(secret + "\n", encoding="utf-8")
