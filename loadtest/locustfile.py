"""An open-loop Locust user: sends requests on a Poisson schedule and times each from when it was due.

Locust itself is closed-loop: a user waits for its response before it sends the next request, so a slow server
receives fewer requests and looks better than it is. Here each user is a source of arrivals that never waits.
"""

from __future__ import annotations

import logging
import os
import random
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.rpc.protocol import Message
from locust.runners import MasterRunner, WorkerRunner

from loadtest.batch import run_batch
from loadtest.budget import BUDGETS, Budget, Sample, find_budget, judge, write_report
from loadtest.endpoints import ENDPOINTS, check_response
from loadtest.errors import LoadTestError
from loadtest.settings import admin_key
from loadtest.shapes import SHAPES, arrivals, find_shape
from loadtest.tenants import Tenants
from loadtest.workload import FOLDER, Request, load_workload

MAX_IN_FLIGHT = 2_000
"""Requests of one process. One more is recorded as failed: no queue may hide in the client."""
DRAIN_S = 20.0
"""How long to wait for the last responses."""
USER_FINISHED = "user_finished"
"""The message of a worker to its master."""
log = logging.getLogger(__name__)


class Results:
    """What this process has measured; a worker reports it to its master."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.due = 0
        self.finished_users = 0
        self.error = ""
        """Of the user that failed first, after which no other sends anything; empty: none did."""


results = Results()


@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser) -> None:
    workloads = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    parser.add_argument("--load", default="small", help=f"rate and latency budget: {', '.join(BUDGETS)}")
    parser.add_argument("--shape", default="steady", help=f"rate over time: {', '.join(SHAPES)}")
    parser.add_argument("--workload", default="mixed", help=f"what is sent: {workloads}")
    parser.add_argument("--duration-s", type=float, default=60.0, help="how long requests arrive")
    parser.add_argument("--rate", type=float, default=0.0, help="maximum requests a second; 0: that of the load")
    parser.add_argument("--seed", type=int, default=1, help="one user sends the same requests for the same seed")
    parser.add_argument(
        "--triton-grpc", default="127.0.0.1:8001", help="host:port, for workloads past the gateway"
    )
    parser.add_argument("--verdict", default="", help="write the verdict to this file as JSON")
    parser.add_argument(
        "--admin-key-file",
        default="",
        help="the key that creates the tenants; by default WANNENG_ADMIN_KEY has it",
    )


class Arrivals(FastHttpUser):
    """One source of requests; several users share the rate evenly."""

    concurrency = MAX_IN_FLIGHT
    network_timeout = connection_timeout = 15.0
    _tenants: Tenants | None = None

    @task
    def run_all(self) -> None:
        """The whole run of this user; it stops afterwards, and so do the others of this process after an error."""
        # Locust ends no run for an error: after one of `on_start` it waits, after one of a task it runs it again.
        # What was created does not stay on the server, whatever happened.
        errors = [_error_of(step) for step in (self._prepare_and_send, self._clean_up)]
        results.error = next(filter(None, (results.error, *errors)), "")
        if isinstance(self.environment.runner, WorkerRunner):
            self.environment.runner.send_message(USER_FINISHED, results.error)
        else:
            _finish_user(self.environment)
        # Otherwise Locust would run the task again.
        raise StopUser

    def _prepare_and_send(self) -> None:
        options = self.environment.parsed_options
        number = len(self.environment.runner.user_greenlets) if self.environment.runner else 0
        seed = options.seed * 1_000_003 + os.getpid() % 65_536 * (options.num_users > 1) + number
        self._random = random.Random(seed)
        self._budget = find_budget(options.load)
        self._workload = load_workload(options.workload, seed)
        self._triton: Any = None
        if "triton" in self._workload.kinds:
            # Imported here: other workloads run without Triton's client.
            from loadtest.triton_client import TritonClient  # noqa: PLC0415

            self._triton = TritonClient(options.triton_grpc)
        else:
            self._tenants = Tenants(self.host or "", admin_key(options.admin_key_file), self._workload.tenants)
            self._tenants.create()
        self._send_all()

    def _clean_up(self) -> None:
        if self._tenants is not None:
            self._tenants.remove()

    def _send_all(self) -> None:
        """Send what is due when it is due, and wait for the last responses."""
        options = self.environment.parsed_options
        max_rate = (options.rate or self._budget.rate) / max(1, options.num_users or 1)
        in_flight = Pool(MAX_IN_FLIGHT)
        started_at = time.monotonic()
        for arrival_s in arrivals(find_shape(options.shape), max_rate, options.duration_s, self._random):
            gevent.sleep(max(0.0, started_at + arrival_s - time.monotonic()))
            if results.error:
                break
            request = self._workload.next_request()
            results.due += 1
            if in_flight.free_count() == 0:
                fault = f"{MAX_IN_FLIGHT} requests already in flight"
                results.samples.append(Sample(request.kind, request.tenant, 0.0, fault))
                continue
            in_flight.spawn(self._send, request, started_at + arrival_s)
        in_flight.join(DRAIN_S)
        in_flight.kill()

    def _send(self, request: Request, due_at: float) -> None:
        if request.kind == "triton":
            fault = self._triton.send(request)
            self._record(request, due_at, fault)
        elif request.kind == "batch":
            self._record(
                request, due_at, run_batch(request, lambda *call: self._call(request, *call), gevent.sleep)
            )
        else:
            endpoint = ENDPOINTS[request.kind]
            with self.client.post(
                endpoint.path,
                json=endpoint.body(request),
                headers=self._headers(request),
                name=request.kind,
                catch_response=True,
            ) as response:
                fault = check_response(request, response.status_code, response.content or b"")
                seconds = time.monotonic() - due_at
                response.request_meta["response_time"] = seconds * 1000
                if fault is None:
                    response.success()
                else:
                    response.failure(fault)
            results.samples.append(Sample(request.kind, request.tenant, seconds, fault))

    def _record(self, request: Request, due_at: float, fault: str | None) -> None:
        """Report to Locust what its own client did not send."""
        seconds = time.monotonic() - due_at
        results.samples.append(Sample(request.kind, request.tenant, seconds, fault))
        self.environment.events.request.fire(
            request_type="gRPC" if request.kind == "triton" else "batch",
            name=request.kind,
            response_time=seconds * 1000,
            response_length=0,
            exception=None if fault is None else LoadTestError(fault),
            context={},
        )

    def _call(
        self, request: Request, method: str, path: str, body: bytes | None, content_type: str
    ) -> tuple[int, bytes]:
        headers = self._headers(request) | {"Content-Type": content_type}
        response = self.client.request(method, path, data=body, headers=headers, name=f"batch {method}")
        return response.status_code, bytes(response.content or b"")

    def _headers(self, request: Request) -> dict[str, str]:
        key = self._tenants.keys.get(request.tenant) if self._tenants is not None else None
        return {"Authorization": f"Bearer {key}"} if key else {}


def _error_of(step: Callable[[], None]) -> str:
    """Why `step` failed; empty if it did not."""
    try:
        step()
    except LoadTestError as failed:
        return str(failed)
    except Exception as unexpected:
        log.exception("an unexpected error")
        return repr(unexpected)
    return ""


def _finish_user(environment: Environment) -> None:
    """Quit after the last user of this process or, at the master, of all processes."""
    results.finished_users += 1
    if results.finished_users == environment.parsed_options.num_users:
        gevent.spawn(environment.runner.quit)


@events.init.add_listener
def _register_message(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message(USER_FINISHED, _on_user_finished)


def _on_user_finished(environment: Environment, msg: Message, **_: Any) -> None:
    results.error = results.error or msg.data
    _finish_user(environment)


@events.report_to_master.add_listener
def _send_results(client_id: str, data: dict[str, Any]) -> None:
    data["wanneng"] = [[sample.kind, sample.tenant, sample.seconds, sample.fault] for sample in results.samples]
    data["wanneng_due"] = results.due
    results.samples, results.due = [], 0


@events.worker_report.add_listener
def _add_results(client_id: str, data: dict[str, Any]) -> None:
    results.samples += [Sample(*fields) for fields in data.get("wanneng", ())]
    results.due += data.get("wanneng_due", 0)


@events.quitting.add_listener
def _judge(environment: Environment, **_: Any) -> None:
    """Log each promise, and the error if there was one; exit code 0 if all were kept without one, 1 otherwise."""
    options = environment.parsed_options
    if options is None or getattr(options, "worker", False):
        return
    kept = not results.error
    if kept or results.samples:
        budget: Budget = find_budget(options.load)
        promises = judge(budget, results.samples, results.due)
        for promise in promises:
            log.info("%s", promise)
        if options.verdict:
            write_report(Path(options.verdict), budget, promises, results.samples)
        kept = kept and all(promise.kept for promise in promises)
    if results.error:
        log.error("the load test failed: %s", results.error)
    environment.process_exit_code = 0 if kept else 1
