"""Schemathesis reads the OpenAPI document of a real server and tries what it allows, and what it does not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from sys import executable

import pytest

from tests.e2e.server import Server, serving

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance"
EXAMPLES = 40


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: what is tried here deletes tenants."""
    with serving(tmp_path_factory.mktemp("victim")) as running:
        yield running


@pytest.mark.parametrize("who", ["local.key", "admin.key"])
def test_no_request_is_answered_with_a_server_error(victim: Server, who: str, tmp_path: Path) -> None:
    """Seen failing with a division by zero in `tokenize`."""
    key = (victim.state_dir / who).read_text(encoding="utf-8").strip()
    options = {
        "header": f"Authorization: Bearer {key}",
        "checks": CHECKS,
        "max-examples": str(EXAMPLES),
        "phases": "examples,coverage,fuzzing",
        "request-timeout": "30",
        "generation-database": "none",
        "seed": "7",
    }
    command = [str(Path(executable).with_name("schemathesis")), "run", f"{victim.url}/openapi.json"]
    command += [part for name, value in options.items() for part in (f"--{name}", value)]
    # The operator's key opens its own paths alone, a tenant's the others.
    command += ["--include-path-regex" if who == "admin.key" else "--exclude-path-regex", "^/v1/tenants"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-6_000:]
