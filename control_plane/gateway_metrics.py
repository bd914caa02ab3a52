"""What the gateways do at present, from the metrics that each of them serves: nothing is counted twice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from itertools import chain
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from msgspec import structs

from control_plane.gateway_figures import Answer, Overview, Source, answer_of, overview_of
from control_plane.settings import SettingsError
from stores.errors import NotAvailable
from web.background import start_shared
from web.connection_causes import connection_cause

DNS = "dns+"
"""Before a URL whose host has an address for each gateway, such as a headless Service."""
SETTING = "WANNENG_GATEWAY_METRICS_URL"
MAX_GATEWAYS = 100
TIMEOUT_S = 2.0
"""For all that is asked of one gateway; they are asked at once."""
MAX_BYTES = 8_000_000
"""Of the metrics of one gateway."""


class GatewayMetrics(Protocol):
    """The port of whatever asks the gateways."""

    async def overview(self) -> Overview:
        """`NotAvailable` where none is known."""
        ...


class HttpGatewayMetrics:
    """A `GatewayMetrics` of the addresses in `setting`; several who ask at once share one answer."""

    def __init__(self, http: httpx.AsyncClient, setting: str) -> None:
        self._http = http
        self._entries = [_checked(entry.strip()) for entry in setting.split(",") if entry.strip()]
        self._collecting: asyncio.Task[Overview] | None = None

    async def overview(self) -> Overview:
        if not self._entries:
            raise NotAvailable(f"the gateways are not known here: set {SETTING} at the control plane")
        if self._collecting is None or self._collecting.done():
            self._collecting = start_shared(self._collect())
        return await asyncio.shield(self._collecting)

    async def _collect(self) -> Overview:
        found = chain(*await asyncio.gather(*map(self._addresses, self._entries)))
        sources = list({source.url: source for source in found}.values())
        asked = [source for source in sources if source.error is None][:MAX_GATEWAYS]
        answers = dict(
            zip((source.url for source in asked), await asyncio.gather(*map(self._ask, asked)), strict=True)
        )
        unasked = f"not asked: only the first {MAX_GATEWAYS} gateways are"
        told = [
            answers.get(source.url) or Answer(source if source.error else structs.replace(source, error=unasked))
            for source in sources
        ]
        return await asyncio.to_thread(overview_of, told)

    async def _addresses(self, entry: str) -> Sequence[Source]:
        if not entry.startswith(DNS):
            return [Source(entry, None)]
        parts = urlsplit(entry.removeprefix(DNS))
        name, port = parts.hostname or "", parts.port or 80
        try:
            async with asyncio.timeout(TIMEOUT_S):
                resolved = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError):
            return [Source(entry, "its name cannot be resolved")]
        hosts = sorted({str(address[4][0]) for address in resolved})
        urls = (f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host in hosts)
        return [Source(url, None) for url in urls]

    async def _ask(self, source: Source) -> Answer:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await asyncio.to_thread(answer_of, source.url, await self._exposition(source.url))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            # The transport has one kind for a connection that was refused and for one that took too long.
            cause = f"it does not answer, {connection_cause(error)}"
        except (TimeoutError, httpx.TimeoutException):
            cause = f"it does not answer within {TIMEOUT_S:g} s"
        except KeyError as error:
            cause = f"its metrics cannot be read, a series lacks the label {error}"
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, IndexError) as error:
            # The parser has an `IndexError` for a label without a name.
            cause = f"its metrics cannot be read, {error}"
        return Answer(structs.replace(source, error=cause))

    async def _exposition(self, url: str) -> str:
        """`ValueError` for what is no exposition."""
        content = bytearray()
        async with self._http.stream("GET", f"{url}/metrics", timeout=TIMEOUT_S) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"the answer was {response.status_code}")
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise ValueError(f"they have more than {MAX_BYTES} bytes")
        return content.decode()


def _checked(entry: str) -> str:
    """The entry without a `/` at its end; `SettingsError` where it is no address."""
    if entry.startswith(f"{DNS}https:"):
        raise SettingsError(
            f"{SETTING}: {entry!r} asks the addresses of a name, for which no certificate is valid; use "
            "dns+http://, or list the https:// URL of each gateway"
        )
    try:
        parts = urlsplit(entry)
        # A port beyond 65535 is a `ValueError`.
        if parts.scheme in ("http", "https", f"{DNS}http") and parts.hostname and parts.port != 0:
            return entry.rstrip("/")
    except ValueError:
        pass
    raise SettingsError(f"{SETTING}: {entry!r} is not like http://host:8080 or dns+http://name:8090")
