"""Two real Tritons behind one gateway: one is killed, and one has another engine."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.scoring import ranking
from gateway.triton import Triton
from tests.e2e.replicas import GatewayProcess, TritonProcess
from tests.e2e.server import ROOT

SMALL, EMBEDDED = ROOT / "tests/golden/small", ROOT / "embedded"
CLIENTS = 16
FRESH = {"Cache-Control": "no-cache"}
TEXTS = [f"第{i}个手机质量太差，要求退款" for i in range(40)]
LABELS = ("投诉", "咨询", "建议", "表扬")

Answer = tuple[dict[str, Any], httpx.Response]
"""What was asked, and what came."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Any]:
    """Starts Tritons with the engines that are asked for, and a gateway before them; all are gone afterwards."""
    with ExitStack() as stack:

        def start(*engines: Path) -> tuple[GatewayProcess, list[TritonProcess]]:
            tritons = []
            for place, engine in enumerate(engines):
                triton = TritonProcess(engine, tmp_path / f"triton{place}")
                triton.start()
                stack.callback(triton.kill)
                tritons.append(triton)
            gateway = GatewayProcess(",".join(triton.url for triton in tritons), tmp_path)
            gateway.start()
            stack.callback(gateway.stop)
            return gateway, tritons

        yield start


@asynccontextmanager
async def load(
    gateway: GatewayProcess, bodies: list[dict[str, Any]], headers: dict[str, str]
) -> AsyncIterator[list[Answer]]:
    """16 clients, each asking one question after another while the block runs."""
    answers: list[Answer] = []
    stopping = asyncio.Event()

    async def client(seed: int) -> None:
        rng = random.Random(seed)
        while not stopping.is_set():
            body = rng.choice(bodies)
            answers.append((body, await http.post("/v1/classify", json=body, headers=headers)))

    async with httpx.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False) as http:
        clients = [asyncio.create_task(client(seed)) for seed in range(CLIENTS)]
        try:
            yield answers
        finally:
            stopping.set()
            await asyncio.gather(*clients)


async def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("end", [TritonProcess.kill, TritonProcess.drain])
async def test_a_triton_that_ends_fails_no_request_and_comes_back(
    running: Any, end: Callable[[TritonProcess], None]
) -> None:
    gateway, (first, second) = running(SMALL, SMALL)
    bodies = [{"text": text, "labels": list(LABELS)} for text in TEXTS]
    async with load(gateway, bodies, FRESH) as answers:
        await until(lambda: len(answers) > 100 and min(first.pairs(), second.pairs()) > 50, "both work")
        await asyncio.to_thread(end, first)
        done = len(answers)
        await until(lambda: len(answers) > done + 200, "the other goes on")
        await asyncio.to_thread(first.start)
        await until(lambda: first.pairs() > 50, "it has work again")
    failed = [answer.text for _, answer in answers if answer.status_code != httpx.codes.OK]
    assert not failed, failed[:3]


async def test_every_answer_is_one_engines_though_two_are_there(running: Any) -> None:
    """Texts with more labels than a call takes, from the cache and not: never a score of each."""
    gateway, tritons = running(SMALL, EMBEDDED)
    labels = [f"标签{i}" for i in range(70)]
    bodies = [{"text": text, "labels": labels} for text in TEXTS[:4]]
    oracles = await asyncio.gather(*(oracle(triton, bodies) for triton in tritons))
    expected = dict(oracles)
    async with load(gateway, bodies, {}) as answers:
        await until(lambda: len(answers) > 150, "answers")
    for body, answer in answers:
        assert answer.status_code == httpx.codes.OK, answer.text
        found = answer.json()
        got = dict(zip(found["labels"], found["scores"], strict=True))
        assert got == pytest.approx(expected[found["model_version"]][body["text"]], abs=1e-4)
    assert {answer.json()["model_version"] for _, answer in answers} == set(expected), "both engines were asked"


async def oracle(triton: TritonProcess, bodies: list[dict[str, Any]]) -> tuple[str, dict[str, dict[str, float]]]:
    """The engine's id, and the scores that it alone gives."""
    scores: dict[str, dict[str, float]] = {}
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        asked = Triton(client, triton.url)
        for body in bodies:
            labels = body["labels"]
            parts = [await asked.logits(body["text"], labels[i : i + 64], "{}", None, 30.0) for i in (0, 64)]
            logits = [tuple(row) for part in parts for row in part.logits.tolist()]
            text: str = body["text"]
            scores[text] = dict(zip(labels, ranking(logits, multi_label=False)[1], strict=True))
    return parts[0].engine.id, scores
