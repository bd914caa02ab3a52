"""What wrk prints is read, whatever units it chose."""

from __future__ import annotations

import pytest

from benchmarks.wrk import Loaded, read_output

PRINTED = """Running 8s test @ http://127.0.0.1:8080/v1/classify
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    15.23ms    4.10ms  90.51ms   93.17%
  Latency Distribution
     50%  850.00us
     75%   16.02ms
     90%   17.70ms
     99%    1.20s
  33042 requests in 8.00s, 21.40MB read
Requests/sec:   4129.36
Transfer/sec:      2.67MB
"""


def test_times_are_in_milliseconds() -> None:
    assert read_output(PRINTED) == Loaded(4129.36, 0.85, 1200.0)


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 3", "  Socket errors: connect 0, read 2, write 0, timeout 0"]
)
def test_a_rate_with_failed_requests_is_no_result(line: str) -> None:
    with pytest.raises(SystemExit, match=line.strip()):
        read_output(PRINTED.replace("Requests/sec", f"{line}\nRequests/sec"))
