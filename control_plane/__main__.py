"""`python -m control_plane serve | worker | migrate | new-key`, with settings from the environment."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable

from control_plane.bootstrap import create_app, create_worker
from control_plane.settings import SettingsError, load_settings, load_worker_settings
from control_plane.tenants import Tenants
from logs.setup import STDOUT, write
from stores.api_keys import generate_key
from stores.clock import SystemClock
from stores.database import Database, DatabaseError, migrate
from stores.errors import StoreUnavailable
from stores.factory import sql_stores
from web import server

log = logging.getLogger("control_plane")


def main() -> None:
    """Exit code 1 and one sentence when the command cannot be run."""
    parser = argparse.ArgumentParser(prog="python -m control_plane", description=__doc__)
    commands = parser.add_subparsers(metavar="command", required=True)
    for name, run, text in COMMANDS:
        commands.add_parser(name, help=text, description=text).set_defaults(name=name, run=run)
    command = parser.parse_args()
    os.umask(server.PRIVATE_UMASK)
    try:
        server.configure_logging()
        command.run()
    except (SettingsError, DatabaseError) as error:
        logging.getLogger(f"control_plane.{command.name}").critical("cannot run: %s", error)
        sys.exit(1)
    except StoreUnavailable as error:
        logging.getLogger(f"control_plane.{command.name}").critical("cannot run: %s", error.detail)
        sys.exit(1)


def serve() -> None:
    settings, draining = load_settings(), server.Draining()
    app = create_app(settings, draining=draining)
    asyncio.run(_prepare(settings.database_url, keys_needed=settings.keys_needed))
    server.serve(
        app,
        settings.control_plane_host,
        settings.control_plane_port,
        draining,
        settings,
        settings.control_plane_internal_port,
    )


def work() -> None:
    asyncio.run(_work())


def migrate_database() -> None:
    settings = load_settings()
    asyncio.run(migrate(settings.database_url))
    asyncio.run(_prepare(settings.database_url, keys_needed=settings.keys_needed))
    log.info("the database is ready for this release")


def new_key() -> None:
    """The key on standard output, its lines for the tenants file on standard error."""
    new = generate_key()
    try:
        write(STDOUT, f"{new.key}\n".encode())
    except OSError as error:
        sys.exit(f"standard output cannot be written: {error.strerror}")
    # In quotes: digits alone would be a number to YAML.
    sys.stderr.write(f'- id: "{new.id}"\n  sha256: "{new.digest}"\n')


COMMANDS: tuple[tuple[str, Callable[[], None], str], ...] = (
    ("serve", serve, "serve the control plane until SIGTERM"),
    ("worker", work, "answer batches until SIGTERM"),
    ("migrate", migrate_database, "bring the database to the newest revision"),
    ("new-key", new_key, "print a new key, and the lines that declare it in a tenants file"),
)


async def _prepare(database_url: str, *, keys_needed: bool) -> None:
    """A database of the newest revision, with the tenant `local` where it may be asked for."""
    database = Database(database_url)
    try:
        await database.prepare()
        if database.is_local or not keys_needed:
            stores = sql_stores(database)
            await Tenants(stores.tenants, stores.api_keys, SystemClock()).ensure_local()
    finally:
        await database.close()


async def _work() -> None:
    settings = load_worker_settings()
    process = create_worker(settings)
    log.info("answering batches through %s", settings.gateway_url)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        await process.run(stopping)
    finally:
        await process.close()


if __name__ == "__main__":
    main()
