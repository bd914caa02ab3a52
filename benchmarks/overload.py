"""Latency and fairness under overload: a gateway with default settings before a Triton of fixed service time.

`make overload`, about four minutes. The load is open-loop: requests arrive on a Poisson schedule and are timed
from when they were due. The engine sleeps instead of computing, so clients and servers do not compete for cores;
ten times its capacity are 300 requests a second. Bounds follow from that capacity or from the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import psutil

from gateway.classification.tokens import estimate_tokens, pair_tokens
from gateway.scheduling.fair_queue import WINDOWS
from gateway.settings import Settings
from loadtest.budget import Promise, percentile
from tests.e2e.paced import CAPACITY, LABELS, Paced, paced
from tests.e2e.pressure import TEXTS, Arrival, Stream, arrive

BASE_S, FLOOD_S, RECOVERY_S = 40.0, 60.0, 5.0
FAIR_S = 60.0
STEADY, FLOOD = 0.8, 10.0
"""Request rates, as a multiple of the capacity."""
PAIR_TOKENS = pair_tokens(estimate_tokens(f"1{TEXTS[0]}"), estimate_tokens(LABELS[0]), Settings().max_tokens)
"""As the gateway estimates them, of the shortest pair."""
ADMITTED_S = max(
    Settings().max_queue_delay_s,
    WINDOWS * Settings().tokens_per_replica / (CAPACITY * len(LABELS) * PAIR_TOKENS),
)
"""How long the engine takes for what may be ahead of a request that is admitted."""
MAX_ADMITTED_RATIO = 1.2
"""For what is at Triton besides, and the request itself."""
MAX_FAIR_RATIO = 1.0
"""The p99 of tenants within their share, beside one with ten times its share, over that without it."""


def main() -> None:
    """Print each promise and write all as JSON; exit code 1 if one was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results/overload.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, paced(Path(folder)) as server:
        promises = [*asyncio.run(_flood(server)), *asyncio.run(_fairness(server))]
    for promise in promises:
        print(promise)
    report = json.dumps([asdict(promise) for promise in promises], indent=1)
    options.output.write_text(report + "\n", encoding="utf-8")
    sys.exit(0 if all(promise.kept for promise in promises) else 1)


async def _flood(server: Paced) -> list[Promise]:
    """One tenant at 80% of the capacity, then at ten times the capacity, then at 80% again."""
    url, key = server.gateway.url, server.new_key("one")

    async def send(rate: float, duration_s: float, seed: int) -> list[Arrival]:
        stream = Stream("one", rate * CAPACITY, key, LABELS)
        return await arrive(url, [stream], duration_s, seed)

    await send(STEADY, 5.0, 0)
    base = await send(STEADY, BASE_S, 1)
    resident_before = _resident_bytes(server)
    flood = asyncio.create_task(send(FLOOD, FLOOD_S, 2))
    await asyncio.sleep(FLOOD_S)
    # The same seed as before the flood: the same requests at the same intervals.
    after = await send(STEADY, BASE_S, 1)
    during = await flood
    growth_bytes = _resident_bytes(server) - resident_before
    base_p99_s, admitted_p99_s = _p99(base), _p99(during)
    refused = [arrival for arrival in during if arrival.code]
    refusal_p99_s = percentile(sorted(arrival.seconds for arrival in refused), 0.99)
    with_retry_after = sum(bool(arrival.retry_after) for arrival in refused)
    recovered = [arrival for arrival in after if arrival.due_s > RECOVERY_S]
    late = sum(bool(arrival.code) or arrival.seconds > base_p99_s for arrival in recovered)
    answered = sum(not arrival.code for arrival in during)
    return [
        Promise("p99 at 80% of capacity", "measured", f"{base_p99_s * 1000:.0f} ms", kept=True),
        Promise(
            "p99 of admitted requests at 10 × capacity",
            f"≤ {MAX_ADMITTED_RATIO * ADMITTED_S * 1000:.0f} ms",
            f"{admitted_p99_s * 1000:.0f} ms, {admitted_p99_s / base_p99_s:.1f} times that at 80%",
            admitted_p99_s <= MAX_ADMITTED_RATIO * ADMITTED_S,
        ),
        Promise(
            "p99 of refusals", "< 50 ms", f"{refusal_p99_s * 1000:.0f} ms of {len(refused)}", refusal_p99_s < 0.05
        ),
        Promise(
            "refusals with Retry-After",
            "all",
            f"{with_retry_after} of {len(refused)}",
            with_retry_after == len(refused),
        ),
        Promise(
            "throughput at 10 × capacity, over capacity",
            "≥ 0.9",
            f"{answered / CAPACITY / FLOOD_S:.2f}",
            answered >= 0.9 * CAPACITY * FLOOD_S,
        ),
        Promise("growth of the gateway's memory", "≤ 50 MB", f"{growth_bytes / 1e6:.1f} MB", growth_bytes <= 50e6),
        Promise(
            "from 5 s after the flood, requests slower than p99 at 80%",
            "≤ 2%",
            f"{late} of {len(recovered)}",
            late <= 0.02 * len(recovered),
        ),
    ]


async def _fairness(server: Paced) -> list[Promise]:
    """Three tenants at 80% of the capacity together; then one of them sends ten times as much."""
    rate = STEADY * CAPACITY / 3
    keys = {name: server.new_key(name) for name in ("first", "second", "third")}
    p99s = []
    for factor in (1, 10):
        streams = [
            Stream(name, rate * (factor if name == "third" else 1), key, LABELS) for name, key in keys.items()
        ]
        arrivals = await arrive(server.gateway.url, streams, FAIR_S)
        others = [arrival for arrival in arrivals if arrival.tenant != "third"]
        p99s.append(_p99(others))
        refused = sum(bool(arrival.code) for arrival in others)
    ratio = p99s[1] / p99s[0]
    return [
        Promise(
            "p99 of the others when one tenant sends ten times its share, over before",
            f"≤ {MAX_FAIR_RATIO}",
            f"{ratio:.2f} ({p99s[0] * 1000:.0f} and {p99s[1] * 1000:.0f} ms)",
            ratio <= MAX_FAIR_RATIO,
        ),
        Promise(
            "requests of the others refused meanwhile",
            "≤ 1%",
            f"{refused} of {len(others)}",
            refused <= 0.01 * len(others),
        ),
    ]


def _p99(arrivals: Sequence[Arrival]) -> float:
    """Seconds, of the requests that were answered."""
    return percentile(sorted(arrival.seconds for arrival in arrivals if not arrival.code), 0.99)


def _resident_bytes(server: Paced) -> int:
    """Of the gateway."""
    return int(psutil.Process(server.gateway.process.pid).memory_info().rss)


if __name__ == "__main__":
    main()
