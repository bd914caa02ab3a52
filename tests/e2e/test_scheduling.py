"""Priority levels, the default priority and the override of timeouts act in the real Triton."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import httpx
import numpy as np
import pytest
import tritonclient.grpc as grpc

from tests.e2e.server import Server

FULL_BATCH = 64
DEFAULTS = 12
QUEUED_TIMEOUT_S = 10.0
PENDING = 'nv_inference_pending_request_count{model="structbert"'


class Requests:
    """Sends requests that each fill an execution, and notes the order in which they end."""

    def __init__(self, server: Server, pool: ThreadPoolExecutor) -> None:
        self._server = server
        self._pool = pool
        self._lock = threading.Lock()
        self.ended: list[str] = []

    def send(self, name: str, priority: int = 0, timeout_us: int | None = None) -> Future[None]:
        """Rows straight to `structbert`."""
        values = np.full((FULL_BATCH, 64), 20, dtype=np.int64)
        tensors = {
            "input_ids": values,
            "attention_mask": np.ones_like(values),
            "token_type_ids": np.zeros_like(values),
        }
        inputs = []
        for tensor, rows in tensors.items():
            inputs.append(grpc.InferInput(tensor, list(rows.shape), "INT64"))
            inputs[-1].set_data_from_numpy(rows)
        return self._pool.submit(self._ask, name, "structbert", inputs, priority, timeout_us)

    def send_text(self, name: str, priority: int) -> Future[None]:
        """A text and labels to the ensemble, which hands the priority on."""
        inputs = []
        for tensor, strings in (("text", ["手机"]), ("labels", ["投诉", "咨询"])):
            inputs.append(grpc.InferInput(tensor, [len(strings)], "BYTES"))
            inputs[-1].set_data_from_numpy(np.array([s.encode() for s in strings], dtype=object))
        return self._pool.submit(self._ask, name, "zero_shot", inputs, priority, None)

    def _ask(
        self, name: str, model: str, inputs: list[grpc.InferInput], priority: int, timeout_us: int | None
    ) -> None:
        with grpc.InferenceServerClient(self._server.triton_grpc) as client:
            client.infer(model, inputs, priority=priority, timeout=timeout_us)
        with self._lock:
            self.ended.append(name)

    def wait_until_queued(self, count: int) -> None:
        """Until `count` requests wait for the engine."""
        deadline = time.monotonic() + QUEUED_TIMEOUT_S
        while time.monotonic() < deadline:
            for line in httpx.get(self._server.triton_metrics, trust_env=False).text.splitlines():
                if line.startswith(PENDING) and float(line.rpartition(" ")[2]) >= count:
                    return
            time.sleep(0.01)
        raise AssertionError(f"{count} requests never queued")


@pytest.mark.parametrize("priority_of_the_first", [0, 2], ids=["default", "explicit"])
def test_the_urgent_overtake_the_default_and_batches_wait_for_all(
    server: Server, priority_of_the_first: int
) -> None:
    """Requests without a priority stand where priority 2 stands: behind 1, before 3."""
    with ThreadPoolExecutor(DEFAULTS + 3) as pool:
        requests = Requests(server, pool)
        sent = [requests.send("first", priority_of_the_first) for _ in range(DEFAULTS - 2)]
        requests.wait_until_queued(DEFAULTS - 5)
        sent.append(requests.send("batch", 3))
        requests.wait_until_queued(2)
        sent += [requests.send("second") for _ in range(2)]
        sent.append(requests.send_text("urgent", 1))
        for request in sent:
            request.result(timeout=60)
    ended = requests.ended
    assert ended[-1] == "batch", ended
    assert ended.index("urgent") < len(ended) - 5, ended
    assert ended.index("second") > ended.index("urgent"), ended


def test_a_request_may_shorten_its_time_in_the_queue(server: Server) -> None:
    """The config's own timeout is 30 s; without the override this request would be answered."""
    with ThreadPoolExecutor(6) as pool:
        requests = Requests(server, pool)
        sent = [requests.send("patient") for _ in range(4)]
        requests.wait_until_queued(2)
        impatient = partial(requests.send("impatient", timeout_us=1_000).result, timeout=60)
        with pytest.raises(grpc.InferenceServerException, match="timeout expired"):
            impatient()
        for request in sent:
            request.result(timeout=60)
    assert requests.ended == ["patient"] * 4
