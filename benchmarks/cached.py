"""Throughput of one gateway process on cached pairs, compared with a bare echo server in the same run.

`make bench-gateway`, with `wanneng serve --require-key` running and `wrk` installed. Authentication, quotas,
metrics and the access log are on. One body comes again and again, which is answered as a whole; then it comes
with blanks behind it, so that its pairs alone are known. Cores are shared with the client, so ratios say more than
rates, and CPU a request more than both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from benchmarks.wrk import run_wrk

BODY = {"text": "这个手机质量太差，要求退款", "labels": "投诉,咨询,建议"}
ECHO_PORT = 8099
ROUNDS, ROUND_S, CONNECTIONS = 3, 5, 16
BODIES = 1_500
"""With other blanks each: more than come again soon enough to be kept as a whole."""
ECHO = """
import msgspec, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def echo(request):
    body = msgspec.json.decode(await request.body())
    return Response(msgspec.json.encode(body), media_type="application/json")

uvicorn.run(Starlette(routes=[Route("/v1/classify", echo, methods=["POST"])]), port=%d, access_log=False,
            log_level="warning", server_header=False, proxy_headers=False)
"""


def main() -> None:
    """Print the results and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--state-dir", type=Path, default=Path(".state"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results/cached.json")
    options = parser.parse_args()
    key = (options.state_dir / "local.key").read_text(encoding="utf-8").strip()
    _set_quota(options.url, (options.state_dir / "admin.key").read_text(encoding="utf-8").strip())
    rounds, other_rounds, echo_rounds = [], [], []
    echo_server = subprocess.Popen([sys.executable, "-c", ECHO % ECHO_PORT])
    try:
        _wrk(options.url, key, 1, 0)
        time.sleep(1)
        for _ in range(ROUNDS):
            rounds.append(_round(options.url, key))
            other_rounds.append(_round(options.url, key, bodies=BODIES))
            echo_rounds.append(_round(f"http://127.0.0.1:{ECHO_PORT}", key))
    finally:
        echo_server.terminate()
        echo_server.wait()
    measured = (rounds, other_rounds, echo_rounds)
    rate, other_rate, echo_rate = (max(rate for rate, _ in of_kind) for of_kind in measured)
    cpu_us, other_cpu_us, echo_cpu_us = (min(cpu_us for _, cpu_us in of_kind) for of_kind in measured)
    half_rate, half_p99_ms = _wrk(options.url, key, ROUND_S, max(1, round(1_000 * CONNECTIONS / (rate / 2))))
    results = {
        "cached_per_s": round(rate),
        "echo_per_s": round(echo_rate),
        "other_bytes_per_s": round(other_rate),
        "cached_to_echo": round(rate / echo_rate, 2),
        "cached_cpu_us": round(cpu_us),
        "other_bytes_cpu_us": round(other_cpu_us),
        "echo_cpu_us": round(echo_cpu_us),
        "echo_to_cached_cpu": round(echo_cpu_us / cpu_us, 2),
        "half_per_s": round(half_rate),
        "half_p99_ms": half_p99_ms,
    }
    options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name, value in results.items():
        print(f"{name:>18} {value:>10}")


def _set_quota(url: str, admin_key: str) -> None:
    quota = {"requests_per_minute": 1_000_000_000, "pairs_per_minute": 1_000_000_000}
    headers = {"Authorization": f"Bearer {admin_key}"}
    httpx.put(f"{url}/v1/tenants/local/quota", json=quota, headers=headers, trust_env=False).raise_for_status()


def _round(url: str, key: str, bodies: int = 1) -> tuple[float, float]:
    """Requests a second, and microseconds of the server's CPU that each took."""
    server = _listener(httpx.URL(url).port)
    before = server.cpu_times()
    rate, _ = _wrk(url, key, ROUND_S, 0, bodies)
    after = server.cpu_times()
    return rate, (after.user + after.system - before.user - before.system) * 1e6 / (rate * ROUND_S)


def _listener(port: int | None) -> psutil.Process:
    sockets = [socket for socket in psutil.net_connections("tcp") if socket.status == psutil.CONN_LISTEN]
    return psutil.Process(next(socket.pid for socket in sockets if socket.laddr and socket.laddr.port == port))


def _wrk(url: str, key: str, seconds: int, delay_ms: int, bodies: int = 1) -> tuple[float, float]:
    """Requests a second and p99 in milliseconds; each connection waits `delay_ms` between requests.

    `bodies`: that come in turn, the same but for blanks.
    """
    script = f"""
        wrk.method = "POST"
        wrk.headers["Content-Type"] = "application/json"
        wrk.headers["Authorization"] = "Bearer " .. os.getenv("WANNENG_KEY")
        wrk.body = [[{json.dumps(BODY, ensure_ascii=False)}]]
    """
    if bodies > 1:
        script += f"""
            local count, body = 0, wrk.body
            function request()
                count = (count + 1) % {bodies}
                return wrk.format(nil, nil, nil, body .. string.rep(" ", count))
            end
        """
    script += f"function delay() return {delay_ms} end" if delay_ms else ""
    loaded = run_wrk(f"{url}/v1/classify", script, seconds=seconds, connections=CONNECTIONS, key=key)
    return loaded.requests_per_s, loaded.p99_ms


if __name__ == "__main__":
    main()
