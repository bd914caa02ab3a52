"""The clients in TypeScript and Go, generated from the OpenAPI document, do what the cases of clients/ say."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.client_cases import LANGUAGES, NAMES, PATH, Verdicts, answered_by_python, new_keys, run_cases
from tests.e2e.server import ROOT, Server, serving

API = ROOT / "docs/api.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Asks for keys on loopback too."""
    with serving(tmp_path_factory.mktemp("serve"), WANNENG_REQUIRE_KEY="true") as running:
        yield running


@pytest.fixture(scope="module")
def cases(server: Server) -> list[dict[str, Any]]:
    return answered_by_python(server)


@pytest.fixture(scope="module", params=sorted(LANGUAGES))
def verdicts(
    request: pytest.FixtureRequest,
    server: Server,
    cases: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Verdicts:
    return run_cases(request.param, server, cases, tmp_path_factory.mktemp("cases"))


@pytest.mark.parametrize("case", NAMES)
def test_a_client_is_answered_as_the_suite_says(case: str, verdicts: Verdicts) -> None:
    assert case in verdicts, f"not run; these were: {sorted(verdicts)}"
    assert not verdicts[case]


def test_every_case_is_run_and_none_beside(verdicts: Verdicts) -> None:
    assert sorted(verdicts) == sorted(NAMES)
    assert len(NAMES) == 20


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_the_runners_notice_each_difference(
    language: str, server: Server, cases: list[dict[str, Any]], tmp_path: Path
) -> None:
    step = cases[0]["steps"][0]
    first, *scores = step["expect"]["/scores"]
    refusal = {"status": 401, "code": "unauthorized"}
    wrong = {
        "a score": step | {"expect": {"/scores": [first + 1e-5, *scores]}},
        "an order": step | {"expect": {"/labels": step["expect"]["/labels"][::-1]}},
        "a length": step | {"expect": {"/labels": {"length": 2}}},
        "what is absent": step | {"expect": {"/none_of_these": False}},
        "what is present": step | {"expect": {"/scores": {"absent": True}}},
        "a header": step | {"headers": {"X-Request-Id": "another"}},
        "a refusal": step,
        "no refusal": step | {"key": "tenant", "refused": refusal},
        "a code": step | {"refused": refusal | {"code": "missing_scope"}},
        "a status": step | {"refused": refusal | {"status": 403}},
        "a field": step | {"refused": refusal | {"field": "text"}},
        "a request id": step | {"refused": refusal | {"request_id": "another"}},
        "a time to wait": step | {"refused": refusal | {"retry_after": True}},
    }
    of_wrong_key = {"a refusal", "a code", "a status", "a field", "a request id", "a time to wait"}
    suite = [
        {"name": name, "steps": [({"key": "wrong"} if name in of_wrong_key else {}) | step]}
        for name, step in wrong.items()
    ]
    verdicts = run_cases(language, server, suite, tmp_path)
    assert {name for name, failure in verdicts.items() if failure} == set(wrong)


EXAMPLES = dict(
    re.findall(r"^```(typescript|go)\n(.*?)^```$", API.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)


def run(command: str, folder: Path, key: str) -> str:
    """What was printed by the commands of a shell."""
    environment = {**os.environ, "PATH": PATH, "WANNENG_KEY": key, "CLIENTS": str(ROOT / "clients")}
    done = subprocess.run(
        ["bash", "-euxc", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    ("language", "file", "commands"),
    [
        (
            "typescript",
            "example.mts",
            """
            mkdir -p node_modules/@types
            ln -s "$CLIENTS"/typescript node_modules/wanneng
            ln -s "$CLIENTS"/typescript/node_modules/@types/node node_modules/@types/node
            "$CLIENTS"/typescript/node_modules/.bin/tsc --strict --target es2022 --module nodenext example.mts
            node example.mjs
            """,
        ),
        (
            "go",
            "example.go",
            """
            go mod init example
            go mod edit -require wanneng@v0.0.0 -replace "wanneng=$CLIENTS/go"
            go mod tidy
            go run .
            """,
        ),
    ],
)
def test_the_example_of_a_language_runs(
    language: str, file: str, commands: str, server: Server, tmp_path: Path
) -> None:
    example = EXAMPLES[language].replace("http://127.0.0.1:8080", server.url)
    (tmp_path / file).write_text(example, encoding="utf-8")
    printed = run(commands, tmp_path, new_keys(server)["tenant"])
    best, refused = printed.splitlines()
    assert best.startswith("投诉 0.9")
    assert refused.startswith("not_found")


def test_the_document_that_the_clients_come_from_is_the_one_that_is_served(server: Server) -> None:
    served = httpx.get(f"{server.url}/openapi.json", timeout=10, trust_env=False).json()
    assert served == json.loads((ROOT / "clients/openapi.json").read_text(encoding="utf-8")), "run `make openapi`"
