"""`wanneng tenant`: reads flags, asks the gateway as its operator, prints. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from wanneng.calls import Calls
from wanneng.errors import CommandError
from wanneng.operator import Operator
from wanneng.settings import ServeSettings

app = typer.Typer(no_args_is_help=True, help="Create tenants, and give and take their keys.")
out = Console()

OWN_ADMIN_KEY = ServeSettings().state / "admin.key"
TENANT = typer.Argument(help="Name or id.")
URL = typer.Option(envvar="WANNENG_URL", help="The gateway.")
ADMIN_KEY = typer.Option(
    envvar="WANNENG_ADMIN_KEY",
    show_envvar=True,
    help="The operator's key; that of `wanneng serve` here by default.",
)
_Url = Annotated[str, URL]
_AdminKey = Annotated[str | None, ADMIN_KEY]
HERE = ServeSettings().url


@app.command()
def create(name: str, url: _Url = HERE, admin_key: _AdminKey = None) -> None:
    """Create a tenant; it needs a key next."""
    with _operator(url, admin_key) as operator:
        print(operator.create(name)["id"])


@app.command("list")
def list_(url: _Url = HERE, admin_key: _AdminKey = None) -> None:
    """List the tenants."""
    with _operator(url, admin_key) as operator:
        _print(operator.all(), ("id", "name", "status", "requests_per_minute", "pairs_per_minute", "created_at"))


@app.command()
def suspend(tenant: Annotated[str, TENANT], url: _Url = HERE, admin_key: _AdminKey = None) -> None:
    """Refuse a tenant's keys until it is resumed; nothing of it is lost."""
    with _operator(url, admin_key) as operator:
        operator.change(tenant, status="suspended")


@app.command()
def resume(tenant: Annotated[str, TENANT], url: _Url = HERE, admin_key: _AdminKey = None) -> None:
    """Let a suspended tenant in again."""
    with _operator(url, admin_key) as operator:
        operator.change(tenant, status="active")


@app.command()
def quota(
    tenant: Annotated[str, TENANT],
    requests_per_minute: Annotated[int | None, typer.Option(help="The gateway's own when not given.")] = None,
    pairs_per_minute: Annotated[int | None, typer.Option(help="The gateway's own when not given.")] = None,
    pairs_in_flight: Annotated[int | None, typer.Option(help="The tenant's share when not given.")] = None,
    url: _Url = HERE,
    admin_key: _AdminKey = None,
) -> None:
    """Set what a tenant may ask for in a minute, and at a time."""
    wanted = {"requests_per_minute": requests_per_minute, "pairs_per_minute": pairs_per_minute}
    with _operator(url, admin_key) as operator:
        operator.set_quota(tenant, wanted | {"pairs_in_flight": pairs_in_flight})


@app.command()
def usage(tenant: Annotated[str, TENANT], url: _Url = HERE, admin_key: _AdminKey = None) -> None:
    """Show what a tenant has used, by day."""
    with _operator(url, admin_key) as operator:
        _print(operator.usage(tenant), ("day", "requests", "pairs_computed", "pairs_cached"))


@app.command()
def delete(
    tenant: Annotated[str, TENANT],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: _Url = HERE,
    admin_key: _AdminKey = None,
) -> None:
    """Delete a tenant with its keys."""
    if not yes:
        typer.confirm(f"delete {tenant} with all its keys?", abort=True)
    with _operator(url, admin_key) as operator:
        operator.remove(tenant)


@app.command()
def key(
    tenant: Annotated[str, TENANT],
    scope: Annotated[list[str] | None, typer.Option(help="What it allows; all by default.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="Such as 2027-01-31T00:00:00Z; never by default.")] = None,
    url: _Url = HERE,
    admin_key: _AdminKey = None,
) -> None:
    """Make a key and print it, this once."""
    wishes: dict[str, Any] = {"scopes": scope} if scope else {}
    wishes |= {"expires_at": expires_at} if expires_at else {}
    with _operator(url, admin_key) as operator:
        print(operator.add_key(tenant, **wishes)["key"])


@app.command()
def keys(tenant: Annotated[str, TENANT], url: _Url = HERE, admin_key: _AdminKey = None) -> None:
    """List a tenant's keys, without the keys."""
    with _operator(url, admin_key) as operator:
        _print(operator.keys(tenant), ("id", "scopes", "created_at", "expires_at", "last_used_at"))


@app.command()
def rotate(
    tenant: Annotated[str, TENANT],
    key_id: str,
    overlap_s: Annotated[float, typer.Option(help="How long the old key still works.")] = 3_600.0,
    url: _Url = HERE,
    admin_key: _AdminKey = None,
) -> None:
    """Replace a key by a new one and print that, this once."""
    with _operator(url, admin_key) as operator:
        print(operator.rotate_key(tenant, key_id, overlap_s)["key"])


@app.command()
def revoke(tenant: Annotated[str, TENANT], key_id: str, url: _Url = HERE, admin_key: _AdminKey = None) -> None:
    """Revoke a key."""
    with _operator(url, admin_key) as operator:
        operator.remove_key(tenant, key_id)


@contextmanager
def _operator(url: str, admin_key: str | None) -> Iterator[Operator]:
    calls = Calls(url, admin_key or _own_admin_key(OWN_ADMIN_KEY))
    try:
        yield Operator(calls)
    finally:
        calls.close()


def _own_admin_key(path: Path) -> str:
    """The key that `wanneng serve` made on this machine."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        raise CommandError(f"--admin-key or WANNENG_ADMIN_KEY is needed; there is no {path} here") from None


def _print(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        values = (row[column] for column in columns)
        table.add_row(*(" ".join(v) if isinstance(v, list) else str(v if v is not None else "") for v in values))
    out.print(table)
