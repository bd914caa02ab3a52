"""`python -m gateway.worker`: answers batches until SIGTERM. Any number may share a PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from dataclasses import replace

from gateway.assembly import assemble, stores_in
from gateway.clock import SystemClock
from gateway.errors import StoreUnavailable
from gateway.settings import Settings, SettingsError, load_settings
from gateway.stores.batches import SqlBatches
from gateway.stores.database import Database, DatabaseError
from gateway.stores.housekeeping import Housekeeping
from gateway.worker.work import Worker

LOW_PRIORITY = 3
DEADLINE_S = 60.0
"""Behind interactive work a line may wait for longer than a person would."""


def main() -> None:
    """Settings as the gateway's; quotas a minute do not hold here, for nobody waits."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = load_settings()
        if settings.declared:
            sys.exit("worker: batches need a database, and WANNENG_DECLARED stands in its place")
        asyncio.run(_serve(settings))
    except (SettingsError, DatabaseError, StoreUnavailable) as error:
        sys.exit(f"worker: {error}")


async def _serve(settings: Settings) -> None:
    settings = replace(
        settings,
        priority=LOW_PRIORITY,
        deadline_s=max(DEADLINE_S, settings.deadline_s),
        max_wait_s=max(DEADLINE_S, settings.max_wait_s),
        requests_per_minute=0,
        pairs_per_minute=0,
        tenant_pairs_in_flight=0,
    )
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    database = Database(settings.database_url)
    await database.check()
    stores, clock = stores_in(database), SystemClock()
    parts = assemble(settings, stores, clock)
    name = f"{socket.gethostname()[:30]}-{os.getpid()}-{secrets.token_hex(4)}"
    worker = Worker(name, SqlBatches(database), stores.files, parts.answering, clock, settings)
    keepers = (
        parts.replicas.keep,
        parts.readiness.keep,
        worker.keep,
        Housekeeping(database, clock, settings).keep,
    )
    running = [asyncio.create_task(keep()) for keep in keepers]
    stop = asyncio.create_task(stopping.wait())
    try:
        done, _ = await asyncio.wait({stop, *running}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stop}:
            task.result()
    finally:
        for task in (stop, *running):
            task.cancel()
        await asyncio.gather(stop, *running, return_exceptions=True)
        await parts.close()
        await stores.close()


if __name__ == "__main__":
    main()
