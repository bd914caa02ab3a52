"""The metrics of all workers of a server, told by whichever of them is asked, each series with its worker.

Each worker tells the others over a Unix socket what it has counted. The counts of one that died end with it, as
those of a process do: a sum over them would fall, which Prometheus takes for a restart of everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

TIMEOUT_S = 1.0
"""Longest wait for another worker; the series of one that does not answer are missing."""
LABEL = "worker"


class Family(Struct, array_like=True):
    """A metric of one worker."""

    name: str
    documentation: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


_decode = msgspec.msgpack.Decoder(list[Family]).decode


class WorkerMetrics:
    """Of worker `worker` of `count`; `folder` is theirs alone."""

    def __init__(self, registry: CollectorRegistry, folder: Path, worker: int, count: int) -> None:
        self._registry = registry
        self._folder = folder
        self._worker = worker
        self._others = [other for other in range(count) if other != worker]

    async def serve(self) -> None:
        """Tell the others, until cancelled."""
        path = self._path(self._worker)
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._tell, path)
        async with server:
            await server.serve_forever()

    async def exposition(self) -> bytes:
        """Those of all workers, in Prometheus' text format."""
        told = await asyncio.gather(*map(self._ask, self._others))
        workers = sorted(
            [(self._worker, self._families()), *zip(self._others, told, strict=True)], key=itemgetter(0)
        )
        return await asyncio.to_thread(_render, workers)

    def _families(self) -> list[Family]:
        return [
            Family(
                family.name,
                family.documentation,
                family.type,
                [(sample.name, sample.labels, sample.value) for sample in family.samples],
            )
            for family in self._registry.collect()
        ]

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(msgspec.msgpack.encode(self._families()))
            writer.write_eof()
            with suppress(ConnectionError):
                await writer.drain()
        finally:
            writer.close()

    async def _ask(self, worker: int) -> list[Family]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self._path(worker))
                try:
                    return _decode(await reader.read())
                finally:
                    writer.close()
        except (OSError, msgspec.DecodeError):
            # Late, gone, or gone in the middle of its answer.
            return []

    def _path(self, worker: int) -> Path:
        return self._folder / str(worker)


class _Families(CollectorRegistry):
    """What `generate_latest` renders."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _render(workers: Iterable[tuple[int, list[Family]]]) -> bytes:
    metrics: dict[str, Metric] = {}
    for worker, families in workers:
        for family in families:
            metric = metrics.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for name, labels, value in family.samples:
                metric.add_sample(name, labels | {LABEL: str(worker)}, value)
    return generate_latest(_Families(metrics.values()))
