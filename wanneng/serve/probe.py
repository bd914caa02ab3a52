"""`python -m wanneng.serve.probe`, the startup probe: one real inference at this machine's Triton.

It is an image's health check too, but no liveness probe: it waits in the queue with everybody else, and a busy
server would count as dead. That one is `wanneng.serve.alive`.
"""

from __future__ import annotations

import http.client
import json
import os
import sys

from wanneng.errors import StartError
from wanneng.serve.alive import running_stubs, silence_file, stub_count_file
from wanneng.serve.hardware_config import read_config
from wanneng.serve.private_files import UMASK
from wanneng.serve.triton import ENSEMBLE
from wanneng.settings import ServeSettings, load_settings

TIMEOUT_S = 10.0
TEXT, LABEL = "就绪检查", "是"


def main() -> None:
    """Exit code 1 and one sentence on standard error when there is no answer."""
    try:
        settings = load_settings({})
        for bucket in read_config(settings.model_config_name).buckets or (None,):
            _infer(settings, bucket)
        os.umask(UMASK)
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        silence_file(settings).unlink(missing_ok=True)
        stub_count_file(settings).write_text(f"{running_stubs(settings.state_dir)}\n", encoding="ascii")
    except (StartError, OSError, http.client.HTTPException) as error:
        sys.exit(f"probe: {error}")


def _infer(settings: ServeSettings, bucket: int | None) -> None:
    connection = http.client.HTTPConnection(
        settings.reachable_triton_host, settings.triton_http_port, timeout=TIMEOUT_S
    )
    model, inputs = ENSEMBLE, [_input("text", "BYTES", TEXT), _input("labels", "BYTES", LABEL)]
    if bucket is not None:
        model = f"{ENSEMBLE}_s{bucket}"
        inputs.append(_input("pad_to", "INT32", bucket))
    body = json.dumps({"inputs": inputs, "outputs": [{"name": "logits"}]})
    connection.request("POST", f"/v2/models/{model}/infer", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read(1_000)
    if answer.status != http.client.OK:
        raise StartError(f"{model} answered {answer.status}: {content.decode(errors='replace')}")


def _input(name: str, datatype: str, value: object) -> dict[str, object]:
    return {"name": name, "shape": [1], "datatype": datatype, "data": [value]}


if __name__ == "__main__":
    main()
