"""The server of this machine: its admin key, and whether an address is its, so that the key goes nowhere else."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from wanneng.client.connection import usable_key
from wanneng.errors import CommandError
from wanneng.settings import is_loopback

LISTEN = "0A"
"""A state in /proc/net/tcp."""
LOCAL_ADDRESS, STATE, UID = 1, 3, 7
"""Columns of /proc/net/tcp (proc(5))."""
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
WAY_OUT = "give the server's admin key with WANNENG_ADMIN_KEY or --admin-key-file"


def local_admin_key(url: str, file: Path) -> str:
    """The key that `wanneng serve` stored in `file`; `CommandError` where `url` is not that server's."""
    try:
        content, owner = file.read_bytes(), file.stat().st_uid
    except FileNotFoundError:
        raise CommandError(f"no admin key: {file} does not exist; {WAY_OUT}") from None
    except OSError as error:
        raise CommandError(f"no admin key: {file} cannot be read: {error.strerror}; {WAY_OUT}") from None
    key = usable_key(content.decode(errors="replace"), str(file))
    if not is_loopback(urlsplit(url).hostname or ""):
        raise CommandError(f"{url} is not this machine, so it is not sent the key of {file}; {WAY_OUT}")
    if not is_served_by(url, owner):
        raise CommandError(f"another user listens at {url}, so it is not sent the key of {file}; {WAY_OUT}")
    return key


def is_served_by(url: str, uid: int) -> bool:
    """Whether nobody else listens on the port of a loopback `url`; True where the system does not tell."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return _listeners(port) <= {uid}


def _listeners(port: int) -> set[int]:
    """The users who listen on a TCP port of any address."""
    users = set()
    for table in TABLES:
        with suppress(OSError), table.open(encoding="ascii") as lines:
            next(lines)
            for columns in map(str.split, lines):
                # Those that listen come first, before all connections.
                if columns[STATE] != LISTEN:
                    break
                if int(columns[LOCAL_ADDRESS].rpartition(":")[2], 16) == port:
                    users.add(int(columns[UID]))
    return users
