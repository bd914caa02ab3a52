"""`python -m gateway`: serves the data plane until SIGTERM, with settings from the environment."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

from gateway.bootstrap import create_app
from gateway.settings import Settings, SettingsError, load_settings
from stores.database import Database, DatabaseError
from stores.errors import StoreUnavailable
from stores.tenants_file.parser import TenantsFileError
from stores.tenants_file.stores import TenantsFile
from web.server import PRIVATE_UMASK, Draining, configure_logging, serve

log = logging.getLogger("gateway")


def main() -> None:
    """Exit code 1 and one sentence when it cannot start."""
    os.umask(PRIVATE_UMASK)
    draining = Draining()
    try:
        configure_logging()
        settings = load_settings()
        app = create_app(settings, draining=draining)
        asyncio.run(_check_stores(settings))
    except (SettingsError, DatabaseError, TenantsFileError) as error:
        log.critical("cannot start: %s", error)
        sys.exit(1)
    except StoreUnavailable as error:
        log.critical("cannot start: %s", error.detail)
        sys.exit(1)
    serve(app, settings.host, settings.port, draining, settings, settings.internal_port)


async def _check_stores(settings: Settings) -> None:
    """The tenants file can be used, or the database is at the revision that this release needs."""
    if settings.tenants_file:
        _ = TenantsFile(Path(settings.tenants_file), settings).current
        return
    database = Database(settings.database_url)
    try:
        await database.check()
    finally:
        await database.close()


if __name__ == "__main__":
    main()
