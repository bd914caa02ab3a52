"""A batch from its file to its answers, as one question. Knows no schedule."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from loadtest.workload import Ask

LINES = 10
BOUNDARY = "load-test-lines"
POLLS, POLL_S = 120, 0.5

Call = Callable[[str, str, bytes | None, str], tuple[int, bytes]]
"""Method, path, body and its type give status and content."""


def run_batch(ask: Ask, call: Call, sleep: Callable[[float], None]) -> str | None:
    """Ask for the answers of `LINES` lines; what went wrong, or None."""
    lines = [
        {
            "custom_id": str(number),
            "method": "POST",
            "url": "/v1/classify",
            "body": {"text": f"{ask.text}{number}", "labels": ask.labels},
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
        return f"file: status {status}"
    wanted = {"input_file_id": json.loads(content)["id"], "endpoint": "/v1/classify", "completion_window": "24h"}
    status, content = call("POST", "/v1/batches", json.dumps(wanted).encode(), "application/json")
    if status != 200:
        return f"batch: status {status}"
    path = f"/v1/batches/{json.loads(content)['id']}"
    for _ in range(POLLS):
        status, content = call("GET", path, None, "application/json")
        found: dict[str, Any] = json.loads(content)
        if status != 200:
            return f"batch: status {status}"
        if found["status"] == "completed":
            done = found["request_counts"]["completed"]
            return None if done == LINES else f"{done} of {LINES} lines were answered"
        if found["status"] in ("failed", "cancelled", "expired"):
            return f"batch {found['status']}"
        sleep(POLL_S)
    return "batch: not completed in time"
