"""`python -m wanneng.serve.probe`: one real inference at this machine's Triton; exit code 0 when it succeeds.

For the start of a pod and an image's health command. Asked of a busy server it would wait in the queue with
everybody else, and call it ill for being busy; afterwards `wanneng.serve.alive` is what to ask.
"""

from __future__ import annotations

import http.client
import json
import sys

from wanneng.errors import StartError
from wanneng.serve.alive import note_of, running_stubs
from wanneng.serve.triton import ENSEMBLE, buckets_of
from wanneng.settings import ServeSettings, load_settings

TIMEOUT_S = 10.0
TEXT, LABEL = "就绪检查", "是"


def main() -> None:
    """One sentence on standard error when there is no answer."""
    try:
        settings = load_settings({})
        for bucket in buckets_of(settings.model_config_name) or (None,):
            _infer(settings, bucket)
        settings.state.mkdir(parents=True, exist_ok=True)
        note_of(settings).write_text(f"{running_stubs(settings.state)}\n", encoding="ascii")
    except (StartError, OSError, http.client.HTTPException) as error:
        sys.exit(f"probe: {error}")


def _infer(settings: ServeSettings, bucket: int | None) -> None:
    connection = http.client.HTTPConnection(
        settings.triton_host_here, settings.triton_http_port, timeout=TIMEOUT_S
    )
    model, inputs = ENSEMBLE, [_input("text", "BYTES", TEXT), _input("labels", "BYTES", LABEL)]
    if bucket is not None:
        model = f"{ENSEMBLE}_s{bucket}"
        inputs.append(_input("pad_to", "INT32", bucket))
    body = json.dumps({"inputs": inputs, "outputs": [{"name": "logits"}]})
    connection.request("POST", f"/v2/models/{model}/infer", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read(1_000)
    if answer.status != http.client.OK:
        raise StartError(f"{model} answered {answer.status}: {said.decode(errors='replace')}")


def _input(name: str, datatype: str, value: object) -> dict[str, object]:
    return {"name": name, "shape": [1], "datatype": datatype, "data": [value]}


if __name__ == "__main__":
    main()
