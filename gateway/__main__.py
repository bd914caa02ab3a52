"""`python -m gateway`: settings from the environment, then uvicorn."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

import uvicorn

from gateway.app import create_app
from gateway.assembly import open_stores
from gateway.clock import SystemClock
from gateway.draining import Draining, DrainingServer
from gateway.errors import StoreUnavailable
from gateway.settings import Settings, SettingsError, load_settings
from gateway.stores.database import Database, DatabaseError
from gateway.stores.tenants import SqlKeys, SqlTenants
from gateway.tenants import Tenants

STOP_S = 2
"""How long requests in flight may still be answered once no new ones are."""


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    # What no line shows need not be found out for each (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("httpx").setLevel(logging.WARNING)
    draining = Draining()
    try:
        settings = load_settings()
        app = create_app(settings, draining=draining)
        asyncio.run(_prepare(settings))
    except (SettingsError, DatabaseError, StoreUnavailable) as error:
        sys.exit(f"gateway: {error}")
    # What is there now stays until the end: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )
    DrainingServer(config, draining, settings.drain_s).run()


async def _prepare(settings: Settings) -> None:
    if settings.declared:
        await open_stores(settings).tenants.all()
        return
    database = Database(settings.database_url)
    try:
        await database.prepare()
        if database.is_local or not settings.keys_needed:
            await Tenants(SqlTenants(database), SqlKeys(database), SystemClock()).ensure_local()
    finally:
        await database.close()


if __name__ == "__main__":
    main()
