"""Throughput gained by dynamic batching: pairs a second of 1, 4 and 32 clients against a running `wanneng serve`.

`make bench`. Closed loop, texts of 5 to 120 characters, 3 to 8 labels, no cache. Cores are shared with the
clients, so only ratios within one run are meaningful.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport

CHARACTERS = "这款手机电池不耐用客服态度很好物流太慢了希望改进请问什么时候发货今天的比赛非常精彩股市大涨"
LABELS = ("投诉", "咨询", "建议", "体育", "财经", "科技", "教育", "娱乐", "房产", "汽车")
REQUESTS = 320
ROUNDS = 3


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--triton-url", default="http://127.0.0.1:8000")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results/merging.json")
    options = parser.parse_args()
    rows = asyncio.run(_measure(options.url, options.triton_url))
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"{'clients':>8} {'pairs/s':>9} {'over one':>10} {'pairs per execution':>20}")
    for row in rows:
        print(
            f"{row['clients']:>8} {row['pairs_per_s']:>9.0f} {row['times_one']:>10.2f} "
            f"{row['pairs_per_execution']:>20.1f}"
        )


async def _measure(url: str, triton_url: str) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    async with httpx.AsyncClient(transport=AiohttpTransport(), timeout=60, trust_env=False) as client:
        for clients in (1, 4, 32):
            rates, pairs_per_execution = [], []
            for round_ in range(ROUNDS):
                rate, per_execution = await _round(client, url, triton_url, clients, seed=round_)
                rates.append(rate)
                pairs_per_execution.append(per_execution)
            rate = max(rates)
            first_rate = rows[0]["pairs_per_s"] if rows else rate
            rows.append(
                {
                    "clients": clients,
                    "pairs_per_s": rate,
                    "times_one": rate / first_rate,
                    "pairs_per_execution": sum(pairs_per_execution) / ROUNDS,
                }
            )
    return rows


async def _round(
    client: httpx.AsyncClient, url: str, triton_url: str, clients: int, *, seed: int
) -> tuple[float, float]:
    """Pairs per second and pairs per execution of `REQUESTS` requests that `clients` send."""
    bodies = iter(_bodies(seed))

    async def send_all() -> int:
        """Pairs that were answered."""
        pairs = 0
        for body in bodies:
            response = await client.post(f"{url}/v1/classify", json=body, headers={"Cache-Control": "no-cache"})
            response.raise_for_status()
            pairs += len(body["labels"])
        return pairs

    before = await _statistics(client, triton_url)
    started_at = time.perf_counter()
    pairs = sum(await asyncio.gather(*(send_all() for _ in range(clients))))
    seconds = time.perf_counter() - started_at
    after = await _statistics(client, triton_url)
    return pairs / seconds, (after[0] - before[0]) / (after[1] - before[1])


def _bodies(seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "text": "".join(rng.choice(CHARACTERS) for _ in range(rng.randint(5, 120))),
            "labels": rng.sample(LABELS, rng.randint(3, 8)),
        }
        for _ in range(REQUESTS)
    ]


async def _statistics(client: httpx.AsyncClient, triton_url: str) -> tuple[int, int]:
    """Pairs and executions of the engine since it started."""
    (stats,) = (await client.get(f"{triton_url}/v2/models/structbert/stats")).json()["model_stats"]
    return stats["inference_count"], stats["execution_count"]


if __name__ == "__main__":
    main()
