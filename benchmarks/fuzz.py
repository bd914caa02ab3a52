"""Twenty thousand hostile requests over every path and content type of the gateway of a server of its own.

`make fuzz`, a few minutes. Promises: no answer is the server's fault (500 or more), the gateway's event loop is
never held for more than 50 ms, measured inside, the gateway grows by less than 5 MB after a warm-up, and is never
restarted. `tests/e2e/test_hostile.py` is the short form.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

import httpx

from benchmarks.attack import max_blocked_s, read_blocked
from loadtest.budget import Promise
from tests.e2e.hostile import hostile, send_all
from tests.e2e.server import ROOT, Server, gateway_of, resident_bytes, serving

REQUESTS, WARM_UP = 20_000, 6_000
MAX_BLOCKED_S = 0.05
MAX_GROWTH_BYTES = 5_000_000


def main() -> None:
    """Print the promises and write what was measured as JSON; exit code 1 if one was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/fuzz.json")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder, "state"), WANNENG_MAX_AUTH_FAILURES_PER_S="0") as server,
    ):
        promises, report = asyncio.run(_fuzz(server, options.requests, options.seed))
    for promise in promises:
        outcome = "kept" if promise.kept else "BROKEN"
        print(f"{promise.what}: {promise.measured}, promised {promise.promised}: {outcome}")
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(promise.kept for promise in promises) else 1)


async def _fuzz(server: Server, count: int, seed: int) -> tuple[list[Promise], dict[str, object]]:
    port, pid = server.ports[0], gateway_of(server)
    key = (server.state_dir / "local.key").read_text(encoding="utf-8").strip()
    await send_all(port, hostile(WARM_UP, seed, key))
    before = resident_bytes(pid)
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        blocked = await read_blocked(http)
        outcomes = await send_all(port, hostile(count, seed + 1, key))
        blocked_s = max_blocked_s(blocked, await read_blocked(http))
    growth = resident_bytes(pid) - before
    failed = sum(number for status, number in outcomes.items() if status.startswith("5"))
    restarted = gateway_of(server) != pid
    report: dict[str, object] = {
        "requests": outcomes.total(),
        "outcomes": dict(sorted(outcomes.items())),
        "blocked_s": blocked_s,
        "growth_bytes": growth,
        "restarted": restarted,
    }
    return [
        Promise("answers of 500 or more", "0", str(failed), failed == 0),
        Promise("event loop held", "≤ 50 ms", f"≤ {blocked_s * 1e3:g} ms", blocked_s <= MAX_BLOCKED_S),
        Promise("growth", "< 5 MB", f"{growth / 1e6:.1f} MB", growth < MAX_GROWTH_BYTES),
        Promise("restarts", "0", str(int(restarted)), not restarted),
    ], report


if __name__ == "__main__":
    main()
