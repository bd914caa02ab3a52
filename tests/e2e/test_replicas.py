"""Two real Tritons with two engines behind one gateway."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.classification.scoring import ranking
from gateway.triton.client import TritonClient
from tests.e2e.pressure import TEXTS, load, until
from tests.e2e.replicas import GatewayProcess, TritonProcess
from tests.e2e.server import ROOT
from tests.fakes.backend import inference_call

SMALL, EMBEDDED = ROOT / "tests/golden/small", ROOT / "embedded"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Any]:
    """Starts Tritons with the engines that are asked for, and a gateway before them; all are gone afterwards."""
    with ExitStack() as stack:

        def start(*engines: Path, share: float | None = None) -> tuple[GatewayProcess, list[TritonProcess]]:
            """`share`: of the requests that the last engine answers."""
            tritons = []
            for number, engine in enumerate(engines):
                triton = TritonProcess(engine, tmp_path / f"triton{number}")
                triton.start()
                stack.callback(triton.kill)
                tritons.append(triton)
            addresses = ",".join(triton.url for triton in tritons)
            if share is not None:
                addresses += f"#pool=canary&share={share}"
            gateway = GatewayProcess(addresses, tmp_path, settings={"WANNENG_COMPARISON_SAMPLE": "1"})
            gateway.start()
            stack.callback(gateway.stop)
            return gateway, tritons

        yield start


async def test_every_answer_is_one_engines_though_two_are_there(running: Any) -> None:
    """Texts with more labels than a call takes, from the cache and not: never a score of each."""
    gateway, tritons = running(SMALL, EMBEDDED)
    labels = [f"标签{i}" for i in range(70)]
    bodies = [{"text": text, "labels": labels} for text in TEXTS[:4]]
    oracles = await asyncio.gather(*(oracle(triton, bodies) for triton in tritons))
    expected = dict(oracles)
    async with load(gateway.url, bodies, {}) as seen:
        await until(lambda: len(seen.answers) > 150, "answers")
    assert not seen.failed, seen.failed[:3]
    for body, response, _ in seen.answers:
        answer = response.json()
        got = dict(zip(answer["labels"], answer["scores"], strict=True))
        assert got == pytest.approx(expected[answer["model_version"]][body["text"]], abs=1e-4)
    asked = {answer.response.json()["model_version"] for answer in seen.answers}
    assert asked == set(expected), "both engines were asked"


def test_a_model_on_trial_answers_its_share_and_is_compared(running: Any) -> None:
    """Promoted and aborted by the share alone."""
    gateway, tritons = running(SMALL, EMBEDDED, share=0.5)
    texts = [f"第{number}次来电，要求退款" for number in range(30)]

    def engines() -> list[str]:
        bodies = ({"text": text, "labels": ["投诉", "咨询"]} for text in texts)
        answers = [httpx.post(f"{gateway.url}/v1/classify", json=body, trust_env=False).json() for body in bodies]
        return [answer["model_version"] for answer in answers]

    first = engines()
    metrics = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
    (trial,) = re.findall(r'wanneng_pool_engines{engine="(.+)",pool="canary"}', metrics)
    (own,) = set(first) - {trial}
    assert first.count(trial) in range(5, 26)
    assert engines() == first, "a text changed its model"
    metrics = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
    compared = [line for line in metrics.splitlines() if line.startswith("wanneng_compared_texts_total{")]
    assert compared
    assert any(f'other="{trial}"' in line for line in compared)
    assert 'wanneng_pool_call_seconds_count{pool="canary"}' in metrics
    for share, answering in ((1, trial), (0, own)):
        gateway.stop()
        gateway.triton_url = f"{tritons[0].url},{tritons[1].url}#pool=canary&share={share}"
        gateway.start()
        assert set(engines()) == {answering}


async def oracle(triton: TritonProcess, bodies: list[dict[str, Any]]) -> tuple[str, dict[str, dict[str, float]]]:
    """The engine's id, and the scores that it alone gives."""
    scores: dict[str, dict[str, float]] = {}
    async with httpx.AsyncHTTPTransport(trust_env=False) as transport:
        triton_client = TritonClient(transport, triton.url)
        for body in bodies:
            labels = body["labels"]
            calls = [inference_call(body["text"], labels[i : i + 64], in_s=30.0) for i in (0, 64)]
            parts = [await triton_client.logits(call) for call in calls]
            logits = [tuple(row) for part in parts for row in part.logits.tolist()]
            text: str = body["text"]
            scores[text] = dict(zip(labels, ranking(logits, multi_label=False)[1], strict=True))
    return parts[0].engine.id, scores
