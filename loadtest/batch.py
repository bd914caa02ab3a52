"""Runs one small batch from upload to completion, as a single request of the load test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from loadtest.workload import Request

LINES = 10
BOUNDARY = "load-test-lines"
POLLS, POLL_S = 120, 0.5

Call = Callable[[str, str, bytes | None, str], tuple[int, bytes]]
"""Takes method, path, body and content type; returns status and content."""


def run_batch(request: Request, call: Call, sleep: Callable[[float], None]) -> str | None:
    """Classify `LINES` variants of the request's text as a batch; what went wrong, or None."""
    lines = [
        {
            "custom_id": str(number),
            "method": "POST",
            "url": "/v1/classify",
            "body": {"text": f"{request.text}{number}", "labels": request.labels},
        }
        for number in range(LINES)
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    form = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="lines.jsonl"\r\n\r\n'
        f"{text}\r\n--{BOUNDARY}--\r\n"
    ).encode()
    status, content = call("POST", "/v1/files", form, f"multipart/form-data; boundary={BOUNDARY}")
    if status != 200:
        return f"upload: status {status}"
    body = {"input_file_id": json.loads(content)["id"], "endpoint": "/v1/classify", "completion_window": "24h"}
    status, content = call("POST", "/v1/batches", json.dumps(body).encode(), "application/json")
    if status != 200:
        return f"batch: status {status}"
    path = f"/v1/batches/{json.loads(content)['id']}"
    for _ in range(POLLS):
        status, content = call("GET", path, None, "application/json")
        if status != 200:
            return f"batch: status {status}"
        batch: dict[str, Any] = json.loads(content)
        if batch["status"] == "completed":
            completed = batch["request_counts"]["completed"]
            return None if completed == LINES else f"batch: {completed} of {LINES} lines completed"
        if batch["status"] in ("failed", "cancelled", "expired"):
            return f"batch {batch['status']}"
        sleep(POLL_S)
    return "batch: not completed in time"
