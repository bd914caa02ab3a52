"""`wanneng tenant`: reads flags, asks the gateway with the admin key, prints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from wanneng.client import Client
from wanneng.client.tenants import Tenants
from wanneng.errors import CommandError
from wanneng.keys import AdminKeyFile, admin_key
from wanneng.local_server import local_admin_key
from wanneng.options import KEY_COLUMNS, finite, print_table, time_option
from wanneng.settings import ServeSettings

app = typer.Typer(no_args_is_help=True, help="Manage tenants and their keys.")

LOCAL_URL = ServeSettings().url
LOCAL_ADMIN_KEY = ServeSettings().state_dir / "admin.key"
TENANT = typer.Argument(help="Name or id.")
URL = typer.Option(envvar="WANNENG_URL", help="The gateway's address.")
_Url = Annotated[str, URL]


@app.command()
def create(name: str, url: _Url = LOCAL_URL, admin_key_file: AdminKeyFile = None) -> None:
    """Create a tenant and print its id; `wanneng tenant key` then creates its first key."""
    with _tenants(url, admin_key_file) as tenants:
        print(tenants.create(name).id)


@app.command("list")
def list_(url: _Url = LOCAL_URL, admin_key_file: AdminKeyFile = None) -> None:
    """List the tenants."""
    with _tenants(url, admin_key_file) as tenants:
        columns = ("id", "name", "status", "requests_per_minute", "pairs_per_minute", "special_tokens")
        print_table(tenants.list(), (*columns, "created_at"))


@app.command()
def suspend(tenant: Annotated[str, TENANT], url: _Url = LOCAL_URL, admin_key_file: AdminKeyFile = None) -> None:
    """Refuse a tenant's keys until it is resumed; nothing is deleted."""
    with _tenants(url, admin_key_file) as tenants:
        tenants.suspend(tenants.find(tenant).id)


@app.command()
def resume(tenant: Annotated[str, TENANT], url: _Url = LOCAL_URL, admin_key_file: AdminKeyFile = None) -> None:
    """Accept a suspended tenant's keys again."""
    with _tenants(url, admin_key_file) as tenants:
        tenants.resume(tenants.find(tenant).id)


@app.command()
def quota(
    tenant: Annotated[str, TENANT],
    requests_per_minute: Annotated[int | None, typer.Option(help="By default the gateway's own.")] = None,
    pairs_per_minute: Annotated[int | None, typer.Option(help="By default the gateway's own.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="By default the gateway's own.")] = None,
    pairs_in_flight: Annotated[int | None, typer.Option(help="By default the tenant's share.")] = None,
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """Set a tenant's quota; what is not given returns to its default."""
    with _tenants(url, admin_key_file) as tenants:
        tenants.set_quota(
            tenants.find(tenant).id,
            requests_per_minute=requests_per_minute,
            pairs_per_minute=pairs_per_minute,
            pairs_in_flight=pairs_in_flight,
            tokens_per_minute=tokens_per_minute,
        )


@app.command()
def budget(
    tenant: Annotated[str, TENANT],
    key_id: Annotated[str | None, typer.Option("--key-id", help="A key's own budget.")] = None,
    pairs_per_month: Annotated[int | None, typer.Option(help="Computed pairs; by default unlimited.")] = None,
    tokens_per_month: Annotated[int | None, typer.Option(help="Tokens; by default unlimited.")] = None,
    enforcement: Annotated[str, typer.Option(help="hard, soft or shadow.")] = "hard",
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Remove the budget.")] = False,
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """Set what a tenant or a key may use in a calendar month, if a limit is given; show what is used of it."""
    limits = (pairs_per_month, tokens_per_month)
    if unlimited and limits != (None, None):
        raise CommandError("--unlimited removes both limits: leave it out, or the limits")
    with _tenants(url, admin_key_file) as tenants:
        tenant_id = tenants.find(tenant).id
        if unlimited or limits != (None, None):
            tenants.set_budget(
                tenant_id,
                key_id,
                pairs_per_month=pairs_per_month,
                tokens_per_month=tokens_per_month,
                enforcement=enforcement,
            )
        columns = ("pairs_per_month", "pairs_used", "tokens_per_month", "tokens_used", "enforcement", "renewed_at")
        print_table([tenants.budget(tenant_id, key_id)], columns)


@app.command()
def special_tokens(
    tenant: Annotated[str, TENANT],
    meaning: Annotated[str, typer.Argument(help="model or text.")],
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """Say what [SEP] and its like in a tenant's texts and labels are: the model's special tokens, or text."""
    with _tenants(url, admin_key_file) as tenants:
        tenants.set_special_tokens(tenants.find(tenant).id, meaning)


@app.command()
def usage(
    tenant: Annotated[str, TENANT],
    label_set: Annotated[str | None, typer.Option(help="Only what was answered with this one.")] = None,
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """Show what a tenant has used, by day and by label set, and what it costs where there is a price."""
    counts = ("requests", "pairs_computed", "pairs_cached", "tokens")
    with _tenants(url, admin_key_file) as tenants:
        usage = tenants.usage(tenants.find(tenant).id, label_set=label_set)
        print_table(usage.days, ("day", *counts))
        if usage.label_sets:
            print_table(usage.label_sets, ("label_set", *counts))
        if usage.total.cost is not None:
            print(f"{usage.total.tokens} tokens: {usage.total.cost} {usage.total.currency}")


@app.command()
def delete(
    tenant: Annotated[str, TENANT],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """Delete a tenant with its keys."""
    if not yes:
        typer.confirm(f"delete {tenant} with all its keys?", abort=True)
    with _tenants(url, admin_key_file) as tenants:
        tenants.delete(tenants.find(tenant).id)


@app.command()
def key(
    tenant: Annotated[str, TENANT],
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[list[str] | None, typer.Option(help="What it allows; by default all but keys:write.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="Such as 2027-01-31T00:00:00Z; by default never.")] = None,
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """Create a key and print it; it cannot be shown again."""
    expiry = time_option(expires_at, "--expires-at")
    with _tenants(url, admin_key_file) as tenants:
        new = tenants.keys.create(tenants.find(tenant).id, name=name, scopes=scope or None, expires_at=expiry)
        print(new.secret)


@app.command()
def keys(tenant: Annotated[str, TENANT], url: _Url = LOCAL_URL, admin_key_file: AdminKeyFile = None) -> None:
    """List a tenant's keys, without their secrets."""
    with _tenants(url, admin_key_file) as tenants:
        listed = tenants.keys.list(tenants.find(tenant).id)
        print_table(listed, KEY_COLUMNS)


@app.command()
def rotate(
    tenant: Annotated[str, TENANT],
    key_id: str,
    overlap_s: Annotated[
        float, typer.Option(min=0, callback=finite, help="How long the old key still works.")
    ] = 3_600.0,
    url: _Url = LOCAL_URL,
    admin_key_file: AdminKeyFile = None,
) -> None:
    """Replace a key and print the new one; it cannot be shown again."""
    with _tenants(url, admin_key_file) as tenants:
        print(tenants.keys.rotate(tenants.find(tenant).id, key_id, overlap_s=overlap_s).secret)


@app.command()
def revoke(
    tenant: Annotated[str, TENANT], key_id: str, url: _Url = LOCAL_URL, admin_key_file: AdminKeyFile = None
) -> None:
    """Revoke a key."""
    with _tenants(url, admin_key_file) as tenants:
        tenants.keys.revoke(tenants.find(tenant).id, key_id)


@contextmanager
def _tenants(url: str, admin_key_file: Path | None) -> Iterator[Tenants]:
    with Client(url, admin_key(admin_key_file) or local_admin_key(url, LOCAL_ADMIN_KEY)) as client:
        yield client.tenants
