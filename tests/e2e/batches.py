"""Batches as a caller sees them: their files, how far they are, and what they answered."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import httpx

TIMEOUT_S = 240.0
UNFINISHED = {"validating", "in_progress", "finalizing"}


def create_batch(client: httpx.Client, bodies: Sequence[dict[str, Any]]) -> str:
    """Upload a line for each body, `line-0` and so on, and create a batch of them; returns its id."""
    lines = (
        {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/classify", "body": body}
        for number, body in enumerate(bodies)
    )
    content = b"\n".join(json.dumps(line).encode() for line in lines)
    file = client.post("/v1/files", files={"file": ("in.jsonl", content)}, data={"purpose": "batch"})
    assert file.status_code == 200, file.text
    body = {"input_file_id": file.json()["id"], "endpoint": "/v1/classify", "completion_window": "24h"}
    batch = client.post("/v1/batches", json=body)
    assert batch.status_code == 200, batch.text
    return str(batch.json()["id"])


def batch_of(client: httpx.Client, batch_id: str) -> dict[str, Any] | None:
    """None while nobody answers, as when a gateway or a control plane was killed."""
    try:
        response = client.get(f"/v1/batches/{batch_id}")
    except httpx.TransportError:
        return None
    return response.json() if response.is_success else None


def wait_for_lines(client: httpx.Client, batch_id: str, lines: int) -> dict[str, Any]:
    """The batch once it has answered `lines` of its lines."""
    return _wait(client, batch_id, lines, finished=False)


def wait_for_end(client: httpx.Client, batch_id: str) -> dict[str, Any]:
    """The batch once it is completed."""
    return _wait(client, batch_id, 0, finished=True)


def _wait(client: httpx.Client, batch_id: str, lines: int, *, finished: bool) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        batch = batch_of(client, batch_id)
        if batch is not None:
            if batch["status"] == "completed" or (not finished and batch["request_counts"]["completed"] >= lines):
                return batch
            assert batch["status"] in UNFINISHED, batch
        assert time.monotonic() < deadline, batch
        time.sleep(0.1)


def answers_of(client: httpx.Client, batch: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of its output file."""
    output = client.get(f"/v1/files/{batch['output_file_id']}/content")
    assert output.status_code == 200, output.text
    return [json.loads(line) for line in output.text.splitlines()]


def assert_each_line_is_answered_once(client: httpx.Client, batch: dict[str, Any], lines: int) -> None:
    assert batch["request_counts"] == {"total": lines, "completed": lines, "failed": 0}
    ids = [answer["custom_id"] for answer in answers_of(client, batch)]
    assert ids == [f"line-{number}" for number in range(lines)]
