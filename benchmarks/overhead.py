"""What everything around the engine costs: `make bench-overhead`, about four minutes, needs `wrk`.

Each request has five labels and a text that nobody has sent before, so that no pair is cached. CPU time of a
request in each process, with an engine of the tests that has next to nothing to compute; the time of a request
while there is no other, with the tiny engine; and pairs a second of the server over those of the bare engine, in
turns, with the engine that is served by default.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import secrets
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from benchmarks.resource_usage import name_of
from benchmarks.wrk import Loaded, run_wrk
from engine.recipe import INPUTS
from engine.verification.served_engine import encoder_of
from python_backend.engine import load_engine, run_requests
from python_backend.hypotheses import hypotheses
from python_backend.manifest import load_manifest
from python_backend.rows import Rows
from tests.e2e.server import ROOT, TINY, Server, serving
from wanneng.bench import LABELS, TEXTS, Texts
from wanneng.settings import ServeSettings

SMALLEST = ROOT / "tests/golden/small"
CLIENTS, LONE_CLIENTS = 32, 1
WARM_S, SECONDS = 3, 10
PAIRS = len(LABELS.split(","))
BARE_TEXTS = 12
"""Of a batch of the bare engine: 60 pairs, nearly a full call of the gateway, which gives a slow engine fewer."""
BARE_BATCHES = 20
"""That are prepared and come again and again."""
TIMES = re.compile(r'nv_inference_(queue|compute_\w+)_duration_us\{model="(\w+)".*\} (\d+)')
"""Of Triton's metrics."""


def main() -> None:
    """Print the results and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results/overhead.json")
    options = parser.parse_args()
    with _server(SMALLEST) as server:
        cpu = [_cpu_us(server) for _ in range(options.rounds)]
    with _server(TINY) as server:
        lone = [_lone_ms(server) for _ in range(options.rounds)]
    with _server(ServeSettings().engine) as server:
        rates = _served_and_bare(server, options.rounds)
    served, bare = (median(of_kind) for of_kind in zip(*rates, strict=True))
    results: dict[str, Any] = {
        "rounds": options.rounds,
        "load_at_the_end": round(psutil.getloadavg()[0], 1),
        "cpu_us_of_a_request": _medians(cpu),
        "ms_of_a_lone_request": _medians(lone),
        "served_pairs_per_s": round(served, 1),
        "bare_pairs_per_s": round(bare, 1),
        "served_over_bare": round(served / bare, 2),
        "served_over_bare_by_round": [round(one / other, 2) for one, other in rates],
    }
    options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


@contextmanager
def _server(engine: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as state, serving(Path(state), engine) as server:
        _load(server, CLIENTS, WARM_S)
        yield server


def _load(server: Server, connections: int, seconds: int = SECONDS) -> Loaded:
    texts = ", ".join(f"[[{text}]]" for text in TEXTS)
    script = f"""
        wrk.method = "POST"
        wrk.headers["Content-Type"] = "application/json"
        local texts, count = {{{texts}}}, 0
        function request()
            count = count + 1
            local text = texts[count % #texts + 1] .. "（单号{secrets.token_hex(3)}" .. count .. "）"
            return wrk.format(nil, nil, nil, '{{"text":"' .. text .. '","labels":"{LABELS}"}}')
        end
    """
    return run_wrk(f"{server.url}/v1/classify", script, seconds=seconds, connections=connections)


def _cpu_us(server: Server) -> dict[str, float]:
    """Microseconds of CPU that a request took in each process."""
    before = _cpu_seconds(server)
    loaded = _load(server, CLIENTS)
    requests = loaded.requests_per_s * SECONDS
    after = _cpu_seconds(server)
    per_request = {name: 1e6 * (after[name] - before.get(name, 0.0)) / requests for name in after}
    return per_request | {"all": sum(per_request.values())}


def _cpu_seconds(server: Server) -> dict[str, float]:
    """By process, since its start."""
    seconds: dict[str, float] = defaultdict(float)
    for process in psutil.Process(server.process.pid).children(recursive=True):
        times = process.cpu_times()
        seconds[name_of(process)] += times.user + times.system
    return dict(seconds)


def _lone_ms(server: Server) -> dict[str, float]:
    """Milliseconds of a request while there is no other, and how long each of Triton's models had it."""
    before, executed_before = _triton_us(server), server.pairs_and_executions()[1]
    loaded = _load(server, LONE_CLIENTS)
    requests = server.pairs_and_executions()[1] - executed_before
    parts = {name: us / requests / 1e3 for name, us in (_triton_us(server) - before).items()}
    total = loaded.p50_ms
    return parts | {"p50": total, "outside the engine": total - parts["structbert compute_infer"]}


def _triton_us(server: Server) -> Counter[str]:
    text = httpx.get(server.triton_metrics, trust_env=False).text
    # Ensembles have the times of their parts.
    return Counter(
        {f"{model} {part}": int(us) for part, model, us in TIMES.findall(text) if "zero_shot" not in model}
    )


def _served_and_bare(server: Server, rounds: int) -> list[tuple[float, float]]:
    """Pairs a second of both, by round."""
    folder = ServeSettings().engine
    manifest = load_manifest(folder)
    encoder, engine, texts = encoder_of(folder, manifest), load_engine(folder, manifest), Texts()
    labels = hypotheses(LABELS.split(","), manifest.default_template)

    def rows(number: int) -> Rows:
        encoded = encoder.encode(texts.text(number), labels, manifest.max_tokens)
        return {name: getattr(encoded, name) for name in INPUTS}

    batches = [
        [rows(number) for number in range(start, start + BARE_TEXTS)]
        for start in range(0, BARE_BATCHES * BARE_TEXTS, BARE_TEXTS)
    ]

    def bare() -> float:
        started_at = time.perf_counter()
        for count, batch in enumerate(itertools.cycle(batches), 1):
            run_requests(engine, batch)
            seconds = time.perf_counter() - started_at
            if seconds > SECONDS:
                return count * BARE_TEXTS * PAIRS / seconds
        raise AssertionError("a cycle does not end")

    bare()
    return [(_load(server, CLIENTS).requests_per_s * PAIRS, bare()) for _ in range(rounds)]


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    names = {name: None for measured in rounds for name in measured}
    return {name: round(median(measured.get(name, 0.0) for measured in rounds), 2) for name in names}


if __name__ == "__main__":
    main()
