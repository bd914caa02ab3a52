"""Runs clients/cases.json with a client in another language, against a real server and beside the Python client.

Where the suite says `{"python": true}`, the value is what the Python client was answered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.e2e.server import ROOT, Server
from wanneng import Client, GatewayRefused

CASES: list[dict[str, Any]] = json.loads((ROOT / "clients/cases.json").read_text(encoding="utf-8"))["cases"]
NAMES = [case["name"] for case in CASES]
FROM_PYTHON = {"python": True}
TIMEOUT_S = 300
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
"""Node and Go come with the environment of the tests."""

Verdicts = Mapping[str, str]
"""What went wrong in each case that was run, by its name; `""`: nothing."""


def new_keys(server: Server) -> dict[str, str]:
    """Keys of new tenants, as the cases name them."""
    admin_key = (server.state_dir / "admin.key").read_text(encoding="utf-8").strip()
    with Client(server.url, admin_key) as operator:
        tenants, keys = operator.tenants, operator.tenants.keys
        tenant, limited, pages = (tenants.create(f"cases-{uuid.uuid4().hex}").id for _ in range(3))
        tenants.set_quota(limited, pairs_per_minute=2)
        return {
            "tenant": keys.create(tenant).secret,
            "reader": keys.create(tenant, scopes=["usage:read"]).secret,
            "limited": keys.create(limited).secret,
            "pages": keys.create(pages).secret,
            "wrong": "wn_0000000000000000_0000000000000000000000000000000000000000000",
        }


def answered_by_python(server: Server) -> list[dict[str, Any]]:
    """The cases, with what the Python client is answered in the place of `FROM_PYTHON`."""
    with Client(server.url, new_keys(server)["tenant"]) as client:
        return [case | {"steps": [_answered(client, step) for step in case["steps"]]} for case in CASES]


def _answered(client: Client, step: dict[str, Any]) -> dict[str, Any]:
    if step["call"] == "putLabelSet" and "key" not in step:
        with suppress(GatewayRefused):
            client.request("PUT", f"/v1/label-sets/{step['path']['name']}", json=step["body"])
    expected = step.get("expect", {})
    pointers = [pointer for pointer, value in expected.items() if value == FROM_PYTHON]
    if not pointers:
        return step
    assert step["call"] == "classify"
    options = dict(step["body"])
    texts, labels = options.pop("texts", None) or [options.pop("text")], options.pop("labels", None)
    answers = client.classify_all(texts, labels, **options)
    values = {}
    for pointer in pointers:
        *results, name = pointer.strip("/").split("/")
        value = getattr(answers[int(results[1]) if results else 0], name)
        values[pointer] = list(value) if isinstance(value, tuple) else value
    return step | {"expect": expected | values}


def run_cases(language: str, server: Server, cases: Sequence[dict[str, Any]], folder: Path) -> Verdicts:
    """What the client of this language makes of each case."""
    assert (ROOT / "clients/typescript/dist").exists(), "the clients are not built: run `make clients`"
    variables = {"long": "这个手机质量太差，要求退款。" * 40}
    suite = {"url": server.url, "keys": new_keys(server), "variables": variables, "cases": cases}
    file = folder / "cases.json"
    file.write_text(json.dumps(suite, ensure_ascii=False), encoding="utf-8")
    return LANGUAGES[language]({**os.environ, "PATH": PATH, "WANNENG_CASES": str(file)})


def _run_typescript(environment: Mapping[str, str]) -> Verdicts:
    command = ["node", "--test", "--test-reporter=junit", "dist/test/cases.test.js"]
    done = _run(command, "typescript", environment)
    cases = list(ET.fromstring(done.stdout).iter("testcase"))
    return {case.attrib["name"]: "\n".join(failure.text or "" for failure in case) for case in cases}


def _run_go(environment: Mapping[str, str]) -> Verdicts:
    done = _run(["go", "test", "-count=1", "-json", "-run=TestCases", "."], "go", environment)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(_go_verdicts([event for event in events if "/" in event.get("Test", "")]))


def _go_verdicts(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    printed: dict[str, str] = {}
    for event in events:
        name = event["Test"].partition("/")[2].replace("_", " ")
        if event["Action"] == "output":
            printed[name] = printed.get(name, "") + event["Output"]
        elif event["Action"] in ("pass", "fail", "skip"):
            yield name, "" if event["Action"] == "pass" else printed.get(name, event["Action"])


def _run(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=ROOT / "clients" / folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode in (0, 1), f"{done.stdout}\n{done.stderr}"
    return done


LANGUAGES: Mapping[str, Callable[[Mapping[str, str]], Verdicts]] = {
    "typescript": _run_typescript,
    "go": _run_go,
}
