"""`wanneng serve` with a tenants file: the gateway alone, without a control plane, a worker or a database."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from stores.api_keys import NewApiKey, generate_key
from tests.e2e.server import ROOT, command_line, descendants, serving
from tests.polling import until

CONTROL_PLANE_PATHS = (
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/ui/app.js"),
    ("GET", "/v1/tenants"),
    ("POST", "/v1/tenants/acme/keys"),
    ("PUT", "/v1/label-sets/tickets"),
    ("GET", "/v1/usage"),
    ("POST", "/v1/files"),
    ("GET", "/v1/batches"),
)


def write_tenants(path: Path, key: NewApiKey, labels: str) -> None:
    """One tenant with a key and a label set; written aside and moved, so that nobody reads a part of it."""
    content = f"""
tenants:
  - id: acme
    keys:
      - id: "{key.id}"
        sha256: "{key.digest}"
    label_sets:
      - {{name: tickets, version: 1, labels: {labels}}}
"""
    new = path.with_suffix(".new")
    new.write_text(content, encoding="utf-8")
    new.replace(path)


def test_a_tenants_file_takes_the_place_of_the_control_plane_and_its_database(tmp_path: Path) -> None:
    file, state, key = tmp_path / "tenants.yaml", tmp_path / "state", generate_key()
    write_tenants(file, key, "[投诉, 咨询]")
    settings = {"WANNENG_TENANTS_FILE": str(file), "WANNENG_REQUIRE_KEY": "true"}
    with (
        serving(state, ROOT / "tests/golden/small", **settings) as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client,
    ):
        body = {"text": "要求退款", "label_set": "tickets"}
        headers = {"Authorization": f"Bearer {key.key}"}
        assert client.post("/v1/classify", json=body).status_code == 401
        answer = client.post("/v1/classify", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["label_set"], set(answer.json()["labels"])) == ("tickets@1", {"投诉", "咨询"})

        for method, path in CONTROL_PLANE_PATHS:
            refused = client.request(method, path, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (501, "not_available"), path
        commands = [command_line(pid) for pid in descendants(server.process.pid)]
        assert any("-m gateway " in command for command in commands)
        assert not [command for command in commands if "control_plane" in command]
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{server.ports[4]}/livez", trust_env=False)
        assert not list(state.glob("*.db*"))

        write_tenants(file, key, "[投诉, 咨询, 建议]")
        until(
            lambda: len(client.post("/v1/classify", json=body, headers=headers).json()["labels"]) == 3,
            "the new content is not read",
            timeout_s=30,
        )
