"""`python -m gateway`: serves the data plane until SIGTERM, with settings from the environment."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

from starlette.types import ASGIApp

from gateway.bootstrap import create_app, open_stores
from gateway.settings import Settings
from stores.database import DatabaseError
from stores.errors import StoreUnavailable
from stores.tenants_file.parser import TenantsFileError
from web.server import PRIVATE_UMASK, Draining, configure_logging, serve, serve_workers
from web.settings import SettingsError, load_settings

log = logging.getLogger("gateway")


def main() -> None:
    """Exit code 1 and one sentence when it cannot start."""
    os.umask(PRIVATE_UMASK)
    try:
        configure_logging()
        settings = load_settings(Settings)
        asyncio.run(_check_stores(settings))
        _serve(settings)
    except (SettingsError, DatabaseError, TenantsFileError, StoreUnavailable) as error:
        log.critical("cannot start: %s", getattr(error, "detail", error))
        sys.exit(1)


def _serve(settings: Settings) -> None:
    address = settings.host, settings.port
    if settings.workers == 1:
        draining = Draining()
        serve(create_app(settings, draining=draining), *address, draining, settings, settings.internal_port)
        return
    if not settings.redis_url:
        log.warning(
            "each of the %d workers has quotas of its own, so a tenant gets up to %d times its quota; set "
            "WANNENG_REDIS_URL to share them",
            settings.workers,
            settings.workers,
        )

    def create(draining: Draining, folder: Path, worker: int) -> ASGIApp:
        return create_app(settings, draining=draining, workers=(folder, worker))

    serve_workers(settings.workers, create, *address, settings, settings.internal_port)


async def _check_stores(settings: Settings) -> None:
    stores = open_stores(settings)
    try:
        await stores.check()
    finally:
        await stores.close()


if __name__ == "__main__":
    main()
