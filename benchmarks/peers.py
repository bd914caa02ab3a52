"""Compares the product with bare engines, the transformers pipeline and infinity, in one run: `make bench-peers`.

One model with random weights, texts with five labels, all pairs new. In each round every peer is measured in turn,
since cores are shared and only ratios within one run are meaningful. Bare engines and the pipeline compute batches
as fast as they can; servers are asked by closed loops of 1, 8 and 32 clients and by open loops at 50% and 80% of
the best closed one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.peer_engines import ENGINES
from tests.e2e.server import free_ports, serving
from wanneng.bench import LABELS, Texts, measure
from wanneng.client.connection import authorities
from wanneng.errors import RequestError
from wanneng.load import Measured, Plan, run

ROOT = Path(__file__).parents[1]
PRECISIONS = ("fp32", "bf16", "int8")
"""Of the product's engines."""
ENVIRONMENTS = {"onnxruntime": ".venv", "openvino": ".venv-openvino", "transformers": ".venv-engine"}
INFINITY = ROOT / ".venv-infinity/bin/infinity_emb"
ENGINE_BATCHES, PIPELINE_BATCHES = (8, 32), (4, 16, 64)
"""Of these the fastest in the first round is used; the pipeline's are texts, and it is also measured with one."""
START_TIMEOUT_S = 300.0
PAIRS = len(LABELS.split(","))


def main() -> None:
    """Print the table; write JSON, table and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="a small model, and two seconds for each measurement")
    parser.add_argument("--work", type=Path, default=ROOT / "build/peers")
    parser.add_argument("--output", type=Path, default=ROOT / "build/peers/peers.json")
    options = parser.parse_args()
    shape, seconds = ("embedded", 2.0) if options.short else ("base", 10.0)
    models = options.work / shape
    builder = ROOT / ".venv-engine/bin/python"
    subprocess.run([builder, "-m", "benchmarks.peer_models", models, "--shape", shape], cwd=ROOT, check=True)
    texts = {
        "texts": [Texts().text(number) for number in range(max(PIPELINE_BATCHES))],
        "labels": LABELS.split(","),
    }
    (models / "texts.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    measured, lacking = _measure(models, options.rounds, seconds)
    results = {
        "shape": shape,
        "labels": PAIRS,
        "rounds": options.rounds,
        "seconds": seconds,
        "cores": len(os.sched_getaffinity(0)),
        "load_at_the_end": round(os.getloadavg()[0], 1),
        "lacking": lacking,
        "peers": {peer: _summary(rounds) for peer, rounds in measured.items()},
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    # Matplotlib is in the environment of the engine builder.
    subprocess.run([builder, "-m", "benchmarks.peers_report", options.output], cwd=ROOT, check=True)


def _measure(models: Path, rounds: int, seconds: float) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """The rounds of each peer, and the peers that are not installed, or that do not run here."""
    measured: dict[str, list[dict[str, Any]]] = {}
    lacking: list[str] = []
    with ExitStack() as stack:
        peers: dict[str, Callable[[], dict[str, Any]]] = {}
        for kind in ENGINES:
            python = ROOT / ENVIRONMENTS[kind.partition("-")[0]] / "bin/python"
            engine = _Engine(kind, python, models) if python.exists() else None
            if engine is None or not engine.is_ready():
                lacking.append(kind)
                continue
            stack.callback(engine.stop)
            peers[kind] = partial(engine.measure, seconds)
        for precision in PRECISIONS:
            if not (models / precision).exists():
                lacking.append(f"wanneng-{precision}")
                continue
            state = stack.enter_context(tempfile.TemporaryDirectory())
            server = stack.enter_context(serving(Path(state), models / precision))
            peers[f"wanneng-{precision}"] = partial(_ask_wanneng, server.url, seconds)
        if INFINITY.exists():
            url = stack.enter_context(_infinity(models / "reranker"))
            peers["infinity"] = partial(_ask_infinity, url, seconds)
        else:
            lacking.append("infinity")
        for number in range(1, rounds + 1):
            for peer, measure in peers.items():
                print(f"round {number} of {rounds}: {peer}", file=sys.stderr)
                measured.setdefault(peer, []).append(measure())
    return measured, lacking


class _Engine:
    """A process of `peer_engines.py`."""

    def __init__(self, kind: str, python: Path, models: Path) -> None:
        self._is_pipeline = kind == "transformers"
        self._best_batch = 0
        command = [str(python), str(ROOT / "benchmarks/peer_engines.py"), kind, str(models)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def is_ready(self) -> bool:
        assert self._process.stdout is not None
        return bool(self._process.stdout.readline() == "ready\n")

    def measure(self, seconds: float) -> dict[str, Any]:
        """Pairs a second, with the best batch and, for the pipeline, of one text at a time."""
        if not self._best_batch:
            batches = PIPELINE_BATCHES if self._is_pipeline else ENGINE_BATCHES
            self._best_batch = max(batches, key=lambda batch: self._rate(batch, seconds))
        result = {"batch": self._best_batch, "pairs_per_s": self._rate(self._best_batch, seconds)}
        return result | ({"single_pairs_per_s": self._rate(1, seconds)} if self._is_pipeline else {})

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _rate(self, batch: int, seconds: float) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"batch": batch, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return float(answer["pairs"] / answer["seconds"])


def _served(loops: Sequence[Measured]) -> dict[str, Any]:
    closed = max(loop.requests_per_s for loop in loops if not loop.is_open)
    return {"pairs_per_s": PAIRS * closed, "loops": [loop.summary() for loop in loops]}


def _ask_wanneng(url: str, seconds: float) -> dict[str, Any]:
    return _served(asyncio.run(measure(url, None, Texts(), LABELS, Plan(duration_s=seconds), timeout_s=60)))


def _ask_infinity(url: str, seconds: float) -> dict[str, Any]:
    return _served(asyncio.run(_rerank(url, Plan(duration_s=seconds))))


async def _rerank(url: str, plan: Plan) -> list[Measured]:
    texts = Texts()
    # Read once, as for the product.
    trusted = authorities(url)
    async with AsyncExitStack() as stack:
        clients: dict[int, httpx.AsyncClient] = {}

        async def send(connection: int, number: int) -> object:
            if connection not in clients:
                client = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, verify=trusted)
                clients[connection] = await stack.enter_async_context(client)
            body = {"model": "reranker", "query": texts.text(number), "documents": LABELS.split(",")}
            try:
                answer = await clients[connection].post("/rerank", json=body)
                answer.raise_for_status()
            except httpx.HTTPError as error:
                raise RequestError(str(error)) from error
            return answer.json()["results"]

        return await run(send, plan)


@contextmanager
def _infinity(model: Path) -> Iterator[str]:
    port = free_ports(1)[0]
    options = ["--model-id", str(model), "--served-model-name", "reranker", "--port", str(port), "--device", "cpu"]
    command = [
        str(INFINITY),
        "v2",
        *options,
        "--engine",
        "torch",
        "--no-bettertransformer",
        "--no-model-warmup",
        "--host",
        "127.0.0.1",
    ]
    settings = ["env", "INFINITY_ANONYMOUS_USAGE_STATS=0", "HF_HUB_OFFLINE=1"]
    process = subprocess.Popen([*settings, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _is_healthy(url):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"infinity does not start: {' '.join(command)}")
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _summary(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds, and the rounds."""
    medians = {
        name: round(median(measured[name] for measured in rounds), 1)
        for name in ("pairs_per_s", "single_pairs_per_s")
        if name in rounds[0]
    }
    return medians | {"rounds": list(rounds)}


if __name__ == "__main__":
    main()
