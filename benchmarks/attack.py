"""Attacks on a server of its own: what a neighbour notices of strangers and of other tenants.

`make attack`, about eight minutes. A neighbour sends small requests on kept connections, open-loop, each with a
text that was never sent before, while each attack runs for ten seconds; five a second take an eighth of the
embedded engine on two cores, and more would measure how it waits for itself. Promises: no request fails,
the p99 stays below twice that right before the attack, the gateway's event loop is never held for more than 50
ms, and no process is restarted. Then two tenants ask without pause, one with long texts, one with short ones:
each gets half of the engine's tokens. Leave the machine to it: whatever else runs shows in the p99. The cores
are kept busy during the attacks (`busy_cores.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.attack_job import Job, encode_job
from benchmarks.attack_report import Attacked, as_json, render
from benchmarks.attacks import ATTACKS, LONG_TEXT, TENANTS
from benchmarks.disturbances import (
    Disturbance,
    DisturbanceError,
    Subject,
    bearer,
    create_subject,
    listings,
    run_job,
    uploads,
)
from benchmarks.neighbour import RATE, TIMEOUT_S, neighbour, p99_s
from loadtest.budget import Promise
from tests.e2e.server import ROOT, Server, command_line, descendants, serving

BLOCKED = re.compile(r'^wanneng_event_loop_blocked_seconds_bucket\{.*le="([^"]+)".*\} (\S+)$', re.MULTILINE)
PROCESSES = ("bin/tritonserver", "-m gateway ", "control_plane serve", "control_plane worker")
"""Parts of the command lines of what `wanneng serve` runs."""
FAIR_SHARE = (0.45, 0.55)
USAGE_LAG_S = 6.0
"""Longest time until the usage of a request is stored."""
UPLOADS, UPLOAD_BYTES = 4, 60_000_000
BATCH_LINES = 2_000


@dataclass(frozen=True, slots=True)
class Scale:
    """How long; by default that of `make attack`."""

    warm_up_s: float = 5.0
    undisturbed_s: float = 10.0
    """Before each attack."""
    attack_s: float = 10.0
    settle_s: float = 2.0
    """After each attack, for what it left in queues."""
    fairness_s: float = 20.0


def main() -> None:
    """Print a table and write it as JSON; exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, help="folder of the engine; by default the embedded one")
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second of the neighbour")
    parser.add_argument("--only", help="run only the attacks whose name contains this")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/attack.json")
    options = parser.parse_args()
    scale = Scale()
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "lines.jsonl")
            file.write_bytes(b"x" * UPLOAD_BYTES)
            attacks = [*cheap_attacks(scale), *bulk_attacks(scale, file)]
            chosen = [attack for attack in attacks if not options.only or options.only in attack.name]
            with serving(Path(folder, "state"), options.engine, WANNENG_REQUIRE_KEY="true") as server:
                subject = create_subject(server)
                measurements = asyncio.run(measure_attacks(subject, scale, chosen, options.rate))
                share = asyncio.run(measure_share(subject, scale)) if not options.only else None
    except DisturbanceError as error:
        sys.exit(f"not measured: {error}")
    print(render(measurements))
    fair = share is None or share_promise(share)
    if isinstance(fair, Promise):
        print(f"{fair.what}: {fair.measured}, promised {fair.promised}: {'kept' if fair.kept else 'BROKEN'}")
    report = {"attacks": [as_json(measurement) for measurement in measurements], "share_of_tokens": share}
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    kept = all(measurement.kept for measurement in measurements) and (fair is True or fair.kept)
    sys.exit(0 if kept else 1)


def cheap_attacks(scale: Scale) -> list[Disturbance]:
    """Those of `attacks.py`: they need no file, and nothing is stored."""

    def make(name: str) -> Callable[[Subject], Awaitable[Counter[str]]]:
        return lambda subject: _attack(subject, name, subject.upload_keys[0], scale.attack_s)

    return [Disturbance(name, make(name)) for name in ATTACKS]


def bulk_attacks(scale: Scale, file: Path) -> list[Disturbance]:
    """Uploads, listings and a batch."""

    async def run_batch(subject: Subject) -> Counter[str]:
        labels = ["投诉", "咨询", "建议"]
        bodies = ({"text": f"{number}{LONG_TEXT}", "labels": labels} for number in range(BATCH_LINES))
        lines = (
            json.dumps({"custom_id": str(n), "method": "POST", "url": "/v1/classify", "body": body})
            for n, body in enumerate(bodies)
        )
        content = "\n".join(lines).encode()
        key = subject.upload_keys[0]
        async with httpx.AsyncClient(
            base_url=subject.server.url, headers=bearer(key), timeout=TIMEOUT_S, trust_env=False
        ) as http:
            form = {"purpose": "batch"}
            upload = await http.post("/v1/files", files={"file": ("lines.jsonl", content)}, data=form)
            body = {"input_file_id": upload.raise_for_status().json()["id"], "endpoint": "/v1/classify"}
            created = await http.post("/v1/batches", json=body | {"completion_window": "24h"})
            path = f"/v1/batches/{created.raise_for_status().json()['id']}"
            await asyncio.sleep(scale.attack_s)
            counts = (await http.get(path)).json()["request_counts"]
            await http.post(f"{path}/cancel")
        return Counter({"completed": counts["completed"], "failed": counts["failed"]})

    return [
        uploads(UPLOADS, file),
        listings(scale.attack_s),
        Disturbance(f"a batch of {BATCH_LINES:,} lines of 300 characters", run_batch),
    ]


async def measure_attacks(
    subject: Subject, scale: Scale, attacks: Sequence[Disturbance], rate: float = RATE
) -> list[Attacked]:
    """Measure each attack against the server right before it, all on the same connections."""
    measurements = []
    async with neighbour(subject, rate) as beside:
        await beside.classify_until(scale.warm_up_s)
        for attack in attacks:
            undisturbed = await beside.undisturbed(scale.undisturbed_s)
            processes, blocked = processes_of(subject.server), await read_blocked(beside.http)
            running = asyncio.ensure_future(attack.run(subject))
            samples = await beside.classify_until(scale.attack_s, running)
            measurements.append(
                Attacked(
                    attack.name,
                    samples,
                    p99_s(undisturbed),
                    responses=running.result(),
                    blocked_s=max_blocked_s(blocked, await read_blocked(beside.http)),
                    restarted=sorted({name for name, _ in processes ^ processes_of(subject.server)}),
                )
            )
            await asyncio.sleep(scale.settle_s)
    return measurements


async def measure_share(subject: Subject, scale: Scale) -> float:
    """Of the tokens of both, those of the tenant with long texts."""
    keys = subject.upload_keys[:2]
    seconds = USAGE_LAG_S + scale.fairness_s
    running = asyncio.gather(
        *(_attack(subject, name, key, seconds) for name, key in zip(TENANTS, keys, strict=True))
    )
    # Both readings are taken while both ask: what is abandoned at the end is charged as well.
    await asyncio.sleep(USAGE_LAG_S)
    before = [await _tokens(subject, key) for key in keys]
    await asyncio.sleep(scale.fairness_s - 1.0)
    after = [await _tokens(subject, key) for key in keys]
    for statuses in await running:
        if not statuses["200"]:
            raise DisturbanceError(f"a tenant got no answer: {dict(statuses)}")
    long, short = [end - start for start, end in zip(before, after, strict=True)]
    if not long + short:
        raise DisturbanceError("no tokens were counted")
    return long / (long + short)


def share_promise(share: float) -> Promise:
    """Each of two tenants gets half of the tokens, whatever the length of its texts."""
    low, high = FAIR_SHARE
    return Promise(
        "share of the tokens, 300 characters against 10",
        f"{low:.0%} to {high:.0%}",
        f"{share:.1%}",
        low <= share <= high,
    )


def processes_of(server: Server) -> set[tuple[str, int]]:
    """What `wanneng serve` runs, by part of its command line and pid."""
    return {
        (part.strip(), pid)
        for pid in descendants(server.process.pid)
        for part in PROCESSES
        if part in command_line(pid)
    }


async def read_blocked(http: httpx.AsyncClient) -> dict[float, float]:
    """The gateway's metric of its event loop: observations up to each upper bound."""
    metrics = (await http.get("/metrics")).raise_for_status().text
    return {float(bound): float(value) for bound, value in BLOCKED.findall(metrics)}


def max_blocked_s(before: dict[float, float], after: dict[float, float]) -> float:
    """The upper bound of the largest bucket with an observation in between; 0 without one."""
    largest = below = 0.0
    for bound in sorted(after):
        observed = after[bound] - before.get(bound, 0.0)
        if observed > below:
            largest, below = bound, observed
    return largest


async def _attack(subject: Subject, name: str, key: str, seconds: float) -> Counter[str]:
    """Run an attack of `attacks.py` in a process of its own."""
    job = encode_job(Job(name, *subject.address, key, seconds))
    outcomes = await run_job("benchmarks.attacks", job, f"the attack {name!r}")
    if not outcomes:
        raise DisturbanceError(f"nothing was answered or closed in the attack {name!r}")
    return outcomes


async def _tokens(subject: Subject, key: str) -> int:
    async with httpx.AsyncClient(base_url=subject.server.url, timeout=TIMEOUT_S, trust_env=False) as http:
        usage: Any = (await http.get("/v1/usage", headers=bearer(key))).raise_for_status().json()
    return sum(day["tokens"] for day in usage["days"])


if __name__ == "__main__":
    main()
