"""What Locust runs: requests that arrive whether or not earlier ones were answered, timed from when they were due.

Locust by itself is closed-loop: a user waits for its answer before it asks again, so a slow server is asked less
and looks better than it is. Here each user is a source of arrivals that starts every request when it is due.
"""

from __future__ import annotations

import logging
import os
import random
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from loadtest.budget import BUDGETS, Budget, Sample, budget_of, judge, write_report
from loadtest.bulk import run_batch
from loadtest.doors import DOORS, fault_of_answer
from loadtest.errors import LoadError
from loadtest.shapes import SHAPES, arrivals, shape_of
from loadtest.tenants import Tenants
from loadtest.workload import FOLDER, Ask, load_workload

MOST_UNDER_WAY = 2_000
"""Of one process; a request that is due beyond it fails, for nothing waits here unseen."""
STRAGGLE_S = 20.0
OVER = "arrivals_over"
"""A worker's message to its master."""
log = logging.getLogger(__name__)


class Results:
    """Of this process; a worker hands them to its master."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.due = 0
        self.over = 0
        """Users whose requests have all come."""


results = Results()


@events.init_command_line_parser.add_listener
def _options(parser: ArgumentParser) -> None:
    workloads = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    parser.add_argument("--load", default="small", help=f"what is promised: {', '.join(BUDGETS)}")
    parser.add_argument("--shape", default="steady", help=f"over time: {', '.join(SHAPES)}")
    parser.add_argument("--workload", default="mixed", help=f"what is asked: {workloads}")
    parser.add_argument("--duration-s", type=float, default=60.0, help="how long requests arrive")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second at most; the load's own when 0")
    parser.add_argument("--seed", type=int, default=1, help="the same seed asks the same")
    parser.add_argument("--triton-grpc", default="127.0.0.1:8001", help="for workloads that ask Triton itself")
    parser.add_argument("--verdict", default="", help="write the verdict there as JSON")
    # Locust's own parser keeps it off its pages.
    parser.add_argument(
        "--admin-key", env_var="WANNENG_ADMIN_KEY", default="", is_secret=True, help="makes tenants"
    )


class Arrivals(FastHttpUser):
    """One source of requests; with several, each has its share of the rate."""

    concurrency = MOST_UNDER_WAY
    network_timeout = connection_timeout = 15.0

    def on_start(self) -> None:
        options = self.environment.parsed_options
        number = len(self.environment.runner.user_greenlets) if self.environment.runner else 0
        seed = options.seed * 1_000_003 + os.getpid() % 65_536 * (options.num_users > 1) + number
        self._random = random.Random(seed)
        self._budget = budget_of(options.load)
        self._workload = load_workload(options.workload, seed)
        self._tenants: Tenants | None = None
        self._direct: Any = None
        if "triton" in self._workload.kinds:
            # Who does not ask Triton itself needs none of its client.
            from loadtest.direct import Direct  # noqa: PLC0415

            self._direct = Direct(options.triton_grpc)
        else:
            self._tenants = Tenants(self.host or "", options.admin_key or None, self._workload.tenants)

    @task
    def arrive(self) -> None:
        """The whole of it, once."""
        options = self.environment.parsed_options
        highest = (options.rate or self._budget.rate) / max(1, options.num_users or 1)
        under_way = Pool(MOST_UNDER_WAY)
        began = time.monotonic()
        for at in arrivals(shape_of(options.shape), highest, options.duration_s, self._random):
            gevent.sleep(max(0.0, began + at - time.monotonic()))
            ask = self._workload.next()
            results.due += 1
            if under_way.free_count() == 0:
                results.samples.append(Sample(ask.kind, ask.tenant, 0.0, f"{MOST_UNDER_WAY} requests under way"))
                continue
            under_way.spawn(self._ask, ask, began + at)
        under_way.join(STRAGGLE_S)
        under_way.kill()
        if self._tenants is not None:
            self._tenants.remove()
        if isinstance(self.environment.runner, WorkerRunner):
            self.environment.runner.send_message(OVER)
        else:
            _one_is_over(self.environment)
        # Otherwise Locust would begin again.
        raise StopUser

    def _ask(self, ask: Ask, due_at: float) -> None:
        if ask.kind == "triton":
            fault = self._direct.ask(ask)
            self._record(ask, due_at, fault)
        elif ask.kind == "bulk":
            self._record(ask, due_at, run_batch(ask, lambda *call: self._call(ask, *call), gevent.sleep))
        else:
            door = DOORS[ask.kind]
            with self.client.post(
                door.path, json=door.body(ask), headers=self._headers(ask), name=ask.kind, catch_response=True
            ) as answer:
                fault = fault_of_answer(ask, answer.status_code, answer.content or b"")
                seconds = time.monotonic() - due_at
                answer.request_meta["response_time"] = seconds * 1000
                if fault is None:
                    answer.success()
                else:
                    answer.failure(fault)
            results.samples.append(Sample(ask.kind, ask.tenant, seconds, fault))

    def _record(self, ask: Ask, due_at: float, fault: str | None) -> None:
        """For what Locust does not send itself."""
        seconds = time.monotonic() - due_at
        results.samples.append(Sample(ask.kind, ask.tenant, seconds, fault))
        self.environment.events.request.fire(
            request_type="gRPC" if ask.kind == "triton" else "batch",
            name=ask.kind,
            response_time=seconds * 1000,
            response_length=0,
            exception=None if fault is None else LoadError(fault),
            context={},
        )

    def _call(self, ask: Ask, method: str, path: str, body: bytes | None, kind: str) -> tuple[int, bytes]:
        headers = self._headers(ask) | {"Content-Type": kind}
        answer = self.client.request(method, path, data=body, headers=headers, name=f"bulk {method}")
        return answer.status_code, bytes(answer.content or b"")

    def _headers(self, ask: Ask) -> dict[str, str]:
        key = self._tenants.keys.get(ask.tenant) if self._tenants is not None else None
        return {"Authorization": f"Bearer {key}"} if key else {}


def _one_is_over(environment: Environment, **_: Any) -> None:
    """The last one ends the run, here or at the master of all processes."""
    results.over += 1
    if results.over == environment.parsed_options.num_users:
        gevent.spawn(environment.runner.quit)


@events.init.add_listener
def _listen(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message(OVER, _one_is_over)


@events.report_to_master.add_listener
def _hand_over(client_id: str, data: dict[str, Any]) -> None:
    data["wanneng"] = [[one.kind, one.tenant, one.seconds, one.fault] for one in results.samples]
    data["wanneng_due"] = results.due
    results.samples, results.due = [], 0


@events.worker_report.add_listener
def _take_over(client_id: str, data: dict[str, Any]) -> None:
    results.samples += [Sample(*one) for one in data.get("wanneng", ())]
    results.due += data.get("wanneng_due", 0)


@events.quitting.add_listener
def _verdict(environment: Environment, **_: Any) -> None:
    """The promises one by one, and the exit code: 0 when all were kept."""
    options = environment.parsed_options
    if options is None or getattr(options, "worker", False):
        return
    budget: Budget = budget_of(options.load)
    lines = judge(budget, results.samples, results.due)
    for line in lines:
        log.info("%s", line)
    if options.verdict:
        write_report(Path(options.verdict), budget, lines, results.samples)
    environment.process_exit_code = 0 if all(line.kept for line in lines) else 1
