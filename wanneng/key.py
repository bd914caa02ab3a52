"""`wanneng key`: a tenant's own keys, by one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wanneng.client import Client
from wanneng.keys import KeyFile, tenant_key
from wanneng.options import KEY_COLUMNS, finite, print_table, time_option
from wanneng.settings import ServeSettings

app = typer.Typer(
    no_args_is_help=True, help="Manage the keys of one's own tenant, with a key that has keys:read or keys:write."
)

LOCAL_URL = ServeSettings().url
_Url = Annotated[str, typer.Option(envvar="WANNENG_URL", help="The gateway's address.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="What it allows; by default what yours does, without keys:write.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="Such as 2027-01-31T00:00:00Z; by default when yours expires.")
    ] = None,
    url: _Url = LOCAL_URL,
    key_file: KeyFile = None,
) -> None:
    """Create a key and print it; it cannot be shown again."""
    expiry = time_option(expires_at, "--expires-at")
    with _client(url, key_file) as client:
        print(client.keys.create(name=name, scopes=scope or None, expires_at=expiry).secret)


@app.command("list")
def list_(url: _Url = LOCAL_URL, key_file: KeyFile = None) -> None:
    """List the keys, without their secrets."""
    with _client(url, key_file) as client:
        print_table(client.keys.list(), KEY_COLUMNS)


@app.command()
def rotate(
    key_id: str,
    overlap_s: Annotated[
        float, typer.Option(min=0, callback=finite, help="How long the old key still works.")
    ] = 3_600.0,
    url: _Url = LOCAL_URL,
    key_file: KeyFile = None,
) -> None:
    """Replace a key and print the new one; it cannot be shown again."""
    with _client(url, key_file) as client:
        print(client.keys.rotate(key_id, overlap_s=overlap_s).secret)


@app.command()
def revoke(key_id: str, url: _Url = LOCAL_URL, key_file: KeyFile = None) -> None:
    """Revoke a key."""
    with _client(url, key_file) as client:
        client.keys.revoke(key_id)


def _client(url: str, key_file: Path | None) -> Client:
    return Client(url, tenant_key(key_file))
