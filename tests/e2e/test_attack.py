"""No stranger and no tenant stops anyone else: the short form of `make attack`, which also compares latency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from benchmarks.attack import Scale, cheap_attacks, measure_attacks, processes_of
from benchmarks.attacks import ATTACKS
from benchmarks.disturbances import create_subject
from tests.e2e.server import ROOT, serving

SHORT = Scale(warm_up_s=0.5, undisturbed_s=0.4, attack_s=0.8, settle_s=0.0)


def test_no_attack_fails_a_neighbours_request(tmp_path: Path, verdict: Callable[[str, str], None]) -> None:
    with serving(tmp_path, ROOT / "tests/golden/small", WANNENG_REQUIRE_KEY="true") as server:
        subject = create_subject(server)
        processes = processes_of(server)
        assert len(processes) == 4, processes
        measurements = asyncio.run(measure_attacks(subject, SHORT, cheap_attacks(SHORT)))
        assert processes_of(server) == processes
    for measurement in measurements:
        failed, ratio, held, _ = measurement.promises()
        verdict(
            measurement.disturbance,
            f"{failed.measured} requests failed, p99 over undisturbed {ratio.measured}, "
            f"event loop held for at most {held.measured}",
        )
    assert [measurement.disturbance for measurement in measurements] == list(ATTACKS)
    for measurement in measurements:
        assert not measurement.faults, (measurement.disturbance, measurement.faults)
        assert len(measurement.samples) > 5, measurement.disturbance
        assert not measurement.restarted, measurement.disturbance
        # Refused, cut off or served: the attack reached the server, and it was no fault of the server.
        unexpected = {status for status in measurement.responses if status.startswith("5") and status != "503"}
        assert not unexpected, (measurement.disturbance, measurement.responses)
