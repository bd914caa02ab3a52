"""Keys for the commands: from a variable or a file, never from a flag, which all users of a machine can read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wanneng.errors import CommandError
from wanneng.settings import secret

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


def _key(file: Path | None, variable: str) -> str | None:
    if file is None:
        return secret(variable)
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"no key: {file} cannot be read ({error})") from None
    if not key.isascii() or len(key.split()) != 1:
        raise CommandError(f"no key: {file} must have one key and nothing else")
    return key
