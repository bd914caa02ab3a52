"""Keys for the commands: from a variable or a file, never from a flag, which all users of a machine can read."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Annotated

import typer

from wanneng.client.connection import usable_key
from wanneng.errors import CommandError
from wanneng.settings import secret

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

KeyFile = Annotated[
    Path | None, typer.Option(help="File with the tenant's key; by default WANNENG_KEY has the key itself.")
]
AdminKeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File with the admin key; by default WANNENG_ADMIN_KEY has the key itself, or else it is the one "
        "that `wanneng serve` made on this machine, for its own server alone."
    ),
]


def tenant_key(file: Path | None) -> str | None:
    """The key in `file` or in WANNENG_KEY; None: neither is given."""
    return _key(file, "WANNENG_KEY")


def admin_key(file: Path | None) -> str | None:
    """The key in `file` or in WANNENG_ADMIN_KEY; None: neither is given."""
    return _key(file, "WANNENG_ADMIN_KEY")


def peer_key(file: Path | None) -> str | None:
    """The key in `file` or in WANNENG_PEER_KEY; None: neither is given."""
    return _key(file, "WANNENG_PEER_KEY")


def _key(file: Path | None, variable: str) -> str | None:
    if file is None:
        key = secret(variable)
        return key and usable_key(key, variable)
    try:
        content = file.read_bytes()
        # What PowerShell's `>` writes begins with a mark; so may UTF-8.
        key = content.decode("utf-16" if content.startswith(UTF_16) else "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"no key: {file} cannot be read ({error})") from None
    return usable_key(key, str(file))
