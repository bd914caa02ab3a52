"""`wanneng audit`: lists, exports and verifies the log of administrative acts."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from wanneng.client import Client
from wanneng.client.audit import Filters, verify_chain
from wanneng.keys import AdminKeyFile, admin_key
from wanneng.local_server import local_admin_key
from wanneng.options import print_table, time_option
from wanneng.settings import ServeSettings

app = typer.Typer(no_args_is_help=True, help="Show who has changed tenants, keys and label sets.")

LOCAL_URL = ServeSettings().url
LOCAL_ADMIN_KEY = ServeSettings().state_dir / "admin.key"
STDIN = Path("-")
COLUMNS = ("sequence", "at", "actor", "verb", "object", "before", "after", "request_id")
_Url = Annotated[str, typer.Option(envvar="WANNENG_URL", help="The gateway's address.")]
_TenantId = Annotated[str | None, typer.Option(help="Acts on what is this tenant's.")]
_Actor = Annotated[str | None, typer.Option(help="Acts of this actor, such as key:0123456789ab.")]
_Object = Annotated[str | None, typer.Option("--object", help="Acts on this object, such as tenant/t_0123.")]
_Since = Annotated[str | None, typer.Option(help="Acts from this time on, such as 2027-01-31T00:00:00Z.")]
_Until = Annotated[str | None, typer.Option(help="Acts before this time.")]


@app.command("list")
def list_(
    tenant_id: _TenantId = None,
    actor: _Actor = None,
    object_: _Object = None,
    since: _Since = None,
    until: _Until = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """List administrative acts, newest first."""
    filters = _filters(actor, object_, since, until)
    with _client(url, admin_key_file) as client:
        print_table([*islice(client.audit.list(tenant_id, **filters), limit)], COLUMNS)


@app.command()
def export(
    tenant_id: _TenantId = None,
    actor: _Actor = None,
    object_: _Object = None,
    since: _Since = None,
    until: _Until = None,
    after: Annotated[int, typer.Option(min=0, help="Sequence of the last record of an earlier export.")] = 0,
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """Write acts as JSON Lines, oldest first; without filters the file can be verified."""
    filters = _filters(actor, object_, since, until)
    with _client(url, admin_key_file) as client:
        for line in client.audit.export(tenant_id, after=after, **filters):
            # Bytes: what was hashed is UTF-8, whatever the locale.
            sys.stdout.buffer.write(line.encode() + b"\n")


@app.command()
def verify(
    file: Annotated[Path | None, typer.Argument(help="An export, or -; by default the server's log.")] = None,
    expect_hash: Annotated[
        str | None, typer.Option(help="Hash of the last record, as an earlier run of this command printed it.")
    ] = None,
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """Check that no record was changed, removed or inserted; exit code 1 names the first that was."""
    with ExitStack() as stack:
        if file is None:
            lines = stack.enter_context(_client(url, admin_key_file)).audit.export()
        else:
            binary = sys.stdin.buffer if file == STDIN else stack.enter_context(file.open("rb"))
            # A byte that was changed need not be UTF-8 any more.
            lines = (line.decode("utf-8", "surrogateescape") for line in binary)
        chain = verify_chain(lines, expect_hash)
    print(f"{chain.records} records, {chain.first} to {chain.last}, are as they were written; hash {chain.hash}")


def _client(url: str, admin_key_file: Path | None) -> Client:
    return Client(url, admin_key(admin_key_file) or local_admin_key(url, LOCAL_ADMIN_KEY))


def _filters(actor: str | None, object_: str | None, since: str | None, until: str | None) -> Filters:
    times = time_option(since, "--since"), time_option(until, "--until")
    return Filters(actor=actor, object=object_, since=times[0], until=times[1])
