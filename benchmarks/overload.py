"""Times under overload, as ratios of one run: a real Triton with a fixed service time behind a gateway's defaults.

`make overload`, about four minutes. Requests arrive on a Poisson schedule whether or not others were answered and
are timed from when they were due. The engine waits instead of computing, so clients and servers do not compete for
cores; ten times its capacity are 300 requests a second.
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

from loadtest.budget import Line, percentile
from tests.e2e.paced import CAPACITY, LABELS, Paced, paced
from tests.e2e.pressure import Arrival, Stream, arrive

BASE_S, FLOOD_S, RECOVERY_S = 40.0, 60.0, 5.0
FAIR_S = 60.0
STEADY, FLOOD = 0.8, 10.0
"""Of the capacity."""


def main() -> None:
    """Print a line for each promise and write them as JSON; exit code 1 when one was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results/overload.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, paced(Path(folder)) as server:
        lines = [*asyncio.run(_flood(server)), *asyncio.run(_fairness(server))]
    for line in lines:
        print(line)
    options.output.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(line.kept for line in lines) else 1)


async def _flood(server: Paced) -> list[Line]:
    url, key = server.gateway.url, server.new_key("one")

    async def come(share: float, duration_s: float, seed: int) -> list[Arrival]:
        stream = Stream("one", share * CAPACITY, key, LABELS)
        return await arrive(url, [stream], duration_s, seed)

    await come(STEADY, 5.0, 0)
    base = await come(STEADY, BASE_S, 1)
    before = _resident(server)
    flood = asyncio.create_task(come(FLOOD, FLOOD_S, 2))
    await asyncio.sleep(FLOOD_S)
    # The same requests at the same distances as before it, so that the two can be compared.
    after = await come(STEADY, BASE_S, 1)
    during = await flood
    grown = _resident(server) - before
    normal, admitted = _p99(base), _p99(during)
    refused = [one for one in during if one.code]
    refusing = percentile(sorted(one.seconds for one in refused), 0.99)
    told = sum(bool(one.retry_after) for one in refused)
    settled = [one for one in after if one.due_s > RECOVERY_S]
    late = sum(bool(one.code) or one.seconds > normal for one in settled)
    answered = sum(not one.code for one in during)
    return [
        Line("p99 at 80% of capacity", "measured", f"{normal * 1000:.0f} ms", kept=True),
        Line(
            "p99 of what is admitted at 10 × capacity, by p99 at 80%",
            "≤ 2",
            f"{admitted / normal:.2f} ({admitted * 1000:.0f} ms)",
            admitted <= 2 * normal,
        ),
        Line("a refusal, p99", "< 50 ms", f"{refusing * 1000:.0f} ms of {len(refused)}", refusing < 0.05),
        Line("refusals with Retry-After", "all", f"{told} of {len(refused)}", told == len(refused)),
        Line(
            "answered at 10 × capacity, by capacity",
            "≥ 0.9",
            f"{answered / CAPACITY / FLOOD_S:.2f}",
            answered >= 0.9 * CAPACITY * FLOOD_S,
        ),
        Line("the gateway's memory grows", "≤ 50 MB", f"{grown / 1e6:.1f} MB", grown <= 50e6),
        Line(
            "5 s after it, requests beyond p99 at 80%",
            "≤ 2%",
            f"{late} of {len(settled)}",
            late <= 0.02 * len(settled),
        ),
    ]


async def _fairness(server: Paced) -> list[Line]:
    """Three tenants at 80% of the capacity together; then one of them asks ten times as often.

    The least that can be had: while one batch runs Triton has formed the next, so a newcomer waits for both where
    it waited for one.
    """
    share = STEADY * CAPACITY / 3
    keys = {name: server.new_key(name) for name in ("first", "second", "third")}
    p99s = []
    for times in (1, 10):
        streams = [
            Stream(name, share * (times if name == "third" else 1), key, LABELS) for name, key in keys.items()
        ]
        arrivals = await arrive(server.gateway.url, streams, FAIR_S)
        others = [one for one in arrivals if one.tenant != "third"]
        p99s.append(_p99(others))
        refused = sum(bool(one.code) for one in others)
    ratio = p99s[1] / p99s[0]
    return [
        Line(
            "p99 of the others when one asks ten times its share, by before",
            "≤ 1.5",
            f"{ratio:.2f} ({p99s[0] * 1000:.0f} and {p99s[1] * 1000:.0f} ms)",
            ratio <= 1.5,
        ),
        Line(
            "requests of the others refused meanwhile",
            "≤ 1%",
            f"{refused} of {len(others)}",
            refused <= 0.01 * len(others),
        ),
    ]


def _p99(arrivals: Sequence[Arrival]) -> float:
    return percentile(sorted(one.seconds for one in arrivals if not one.code), 0.99)


def _resident(server: Paced) -> int:
    """Bytes of memory of the gateway."""
    return int(psutil.Process(server.gateway.process.pid).memory_info().rss)


if __name__ == "__main__":
    main()
