"""`wanneng bench`: loads a deployment, prints what it answers, and compares it with a budget."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.table import Table

from wanneng.client import AsyncClient, Client
from wanneng.client.connection import authorities
from wanneng.errors import CommandError
from wanneng.keys import KeyFile, tenant_key
from wanneng.load import PERCENTILES, Budget, Measured, Plan, Told, run
from wanneng.options import finite, say, table_console
from wanneng.tables.files import read_bytes, split_lines

TEXTS = (
    "昨天刚到的手机，充电时发烫得厉害，我想直接退款",
    "请问你们周末几点开门，可以带宠物进店吗",
    "客服态度很好，问题当天就解决了，给个好评",
    "订单显示已签收，但是我没有收到包裹，麻烦查一下",
    "国足昨晚二比一获胜，球迷在场外庆祝到深夜",
    "央行宣布下调存款准备金率，股市应声上涨",
)
LABELS = "投诉,咨询,建议,体育,财经"
TIMEOUT_S = 30.0
MAX_TIMEOUT_S = 3_600.0
MAX_CLIENTS = 1_000
"""Of a closed loop; each has a connection, and a process commonly has 1,024 open files."""
MAX_RATE = 10_000.0
"""Requests a second of an open loop: ten times what one process sends."""
MAX_PERCENT = 1_000.0
"""Of the best closed loop."""
WARM_TEXTS = 16
"""Texts that are repeated for `--cached`."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The text of each request."""

    own: tuple[str, ...] = ()
    """Those of the user, in turn; none: sentences of ours, each with a number that makes it new."""
    cached: float = 0.0
    """Share of our sentences that are repeated."""
    tag: str = field(default_factory=lambda: secrets.token_hex(3))
    """What makes the sentences of two runs different."""

    def text(self, number: int) -> str:
        if self.own:
            return self.own[number % len(self.own)]
        chance = random.Random(number)  # noqa: S311 - the same requests in each run
        return self.warm(number) if chance.random() < self.cached else self._new(f"{self.tag}{number}", number)

    def warm(self, number: int) -> str:
        return self._new(f"{self.tag}-{number % WARM_TEXTS}", number % WARM_TEXTS)

    def _new(self, name: str, number: int) -> str:
        return f"{TEXTS[number % len(TEXTS)]}（单号{name}）"


def bench(
    url: Annotated[str, typer.Argument(envvar="WANNENG_URL", help="The gateway's address.")],
    clients: Annotated[
        str | None, typer.Option(help="Closed loops of so many clients; by default 1,8,32, and none with --rates.")
    ] = None,
    rates: Annotated[
        str | None,
        typer.Option(help="Open loops, in requests a second or in % of the best closed loop; by default 50%,80%."),
    ] = None,
    duration_s: Annotated[float, typer.Option(help="How long each loop lasts.", min=0.1, callback=finite)] = 10.0,
    labels: Annotated[str, typer.Option(help="Labels, separated by commas.")] = LABELS,
    texts: Annotated[
        Path | None, typer.Option(help="Your own texts, one a line, sent in turn; by default new ones.")
    ] = None,
    cached: Annotated[
        float,
        typer.Option(
            help="Share of the default texts that are already in the cache.", min=0, max=1, callback=finite
        ),
    ] = 0.0,
    p99_ms: Annotated[
        float | None,
        typer.Option(help="Budget: p99 of the open loops, or else of the closed ones.", min=0, callback=finite),
    ] = None,
    min_requests_per_s: Annotated[
        float | None, typer.Option(help="Budget: of the best loop.", min=0, callback=finite)
    ] = None,
    max_error_share: Annotated[
        float | None,
        typer.Option(help="Budget: of each loop; 0 where there is another budget.", min=0, max=1, callback=finite),
    ] = None,
    timeout_s: Annotated[
        float,
        typer.Option(help="After which a request has failed.", min=0.1, max=MAX_TIMEOUT_S, callback=finite),
    ] = TIMEOUT_S,
    key_file: KeyFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Load a deployment with closed and open loops; exit code 1 if a budget is exceeded."""
    plan = _plan(clients, rates, duration_s)
    if texts is not None and cached:
        raise CommandError(
            "--cached is a share of the default texts, which --texts replaces; leave one of them out"
        )
    key = tenant_key(key_file)
    chosen = Texts(_lines(texts), cached)
    with Client(url, key, timeout_s=timeout_s) as client:
        # Told at once, if nothing answers there.
        version = client.classify(chosen.warm(0), labels).model_version
        if cached:
            client.classify_all([chosen.warm(number) for number in range(WARM_TEXTS)], labels)
    loading = measure(url, key, chosen, labels, plan, timeout_s=timeout_s, told=_say_loop)
    results = asyncio.run(loading)
    if len(results) < len(plan.clients) + len(plan.rates) + len(plan.shares):
        say("no request of the closed loops was answered, so a share of their rate is no load")
    limits = (p99_ms, min_requests_per_s)
    share = 0.0 if max_error_share is None and any(limit is not None for limit in limits) else max_error_share
    broken = Budget(*limits, share).broken(results)
    if as_json:
        content = {
            "url": url,
            "model_version": version,
            "labels": labels,
            "cached": cached,
            "duration_s": duration_s,
        }
        loops = [measured.summary() for measured in results]
        print(json.dumps(content | {"loops": loops, "broken": broken}, ensure_ascii=False))
    else:
        _print(results)
    for sentence in broken:
        say(sentence)
    if broken:
        raise typer.Exit(1)


async def measure(
    url: str,
    key: str | None,
    texts: Texts,
    labels: str,
    plan: Plan,
    *,
    timeout_s: float = TIMEOUT_S,
    told: Told = lambda _loop: None,
) -> list[Measured]:
    """Load the gateway at `url` with one text a request; `told` hears of each loop as it ends."""
    async with AsyncExitStack() as stack:
        # A client with one connection each: one pool for all of them would be what is measured.
        connections: dict[int, AsyncClient] = {}
        # Read once, since that takes longer than a request.
        trusted = authorities(url)

        async def send(connection: int, number: int) -> object:
            if connection not in connections:
                transport = httpx.AsyncHTTPTransport(verify=trusted)
                client = AsyncClient(url, key, timeout_s=timeout_s, attempts=1, wait_s=0, transport=transport)
                connections[connection] = await stack.enter_async_context(client)
            return await connections[connection].classify(texts.text(number), labels)

        return await run(send, plan, told)


def _plan(clients: str | None, rates: str | None, duration_s: float) -> Plan:
    if clients is None and rates is None:
        return Plan(duration_s=duration_s)
    listed = _split(rates)
    shares = tuple(_rate(rate.removesuffix("%"), rate, MAX_PERCENT) / 100 for rate in listed if rate.endswith("%"))
    if shares and clients is None:
        clients = ",".join(map(str, Plan().clients))
    absolute = tuple(_rate(rate, rate, MAX_RATE) for rate in listed if not rate.endswith("%"))
    return Plan(tuple(map(_count, _split(clients))), absolute, shares, duration_s)


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",")] if text is not None else []


def _count(text: str) -> int:
    if not (text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MAX_CLIENTS):
        raise CommandError(
            f"--clients has {text!r}; it takes whole numbers from 1 to {MAX_CLIENTS}, separated by commas"
        )
    return int(text)


def _rate(number: str, text: str, limit: float) -> float:
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= limit:
        raise CommandError(
            f"--rates has {text!r}; it takes positive numbers up to {MAX_RATE:.0f}, or up to {MAX_PERCENT:.0f}%,"
            " separated by commas"
        )
    return rate


def _lines(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    try:
        content = read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"--texts {file} is not UTF-8 at byte {error.start}; convert it to UTF-8") from None
    lines = tuple(line for line in split_lines(content) if line.strip())
    if not lines:
        raise CommandError(f"--texts {file} has no text")
    return lines


def _say_loop(loop: Measured) -> None:
    say(f"{loop.load}: {loop.requests_per_s:.1f} requests/s")


def _print(results: list[Measured]) -> None:
    table = Table("load", "requests/s", *(f"p{share * 100:.0f} ms" for share in PERCENTILES), "errors", box=None)
    for measured in results:
        row: dict[str, Any] = measured.summary()
        percentiles = (f"{1e3 * measured.percentile_s(share):.1f}" for share in PERCENTILES)
        table.add_row(measured.load, f"{measured.requests_per_s:.1f}", *percentiles, f"{row['error_share']:.2%}")
    table_console().print(table)
