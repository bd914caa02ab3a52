"""Which process of `wanneng serve` is told what: no more than it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanneng.serve import processes
from wanneng.serve.processes import ProcessSpec
from wanneng.settings import ServeSettings

SETTINGS = ServeSettings(
    state_dir=Path("/s"),
    port=1,
    control_plane_port=2,
    triton_http_port=3,
    redis_url="redis://r",
    host="0.0.0.0",
    internal_port=4,
    budget_webhook_url="https://hook",
    budget_webhook_secret="s" * 32,
    oidc_client_secret="c",
)
GATEWAY = processes.gateway(SETTINGS, "internal", (32, 64))
CONTROL_PLANE = processes.control_plane(SETTINGS, "admin's", "internal")
WORKER = processes.worker(SETTINGS, "internal")
MIGRATION = processes.migration(SETTINGS)


@pytest.fixture(autouse=True)
def secrets_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *("ADMIN_KEY", "INTERNAL_KEY", "DATABASE_URL", "REDIS_URL"),
        *("BUDGET_WEBHOOK_URL", "BUDGET_WEBHOOK_SECRET", "OIDC_CLIENT_SECRET"),
    ):
        monkeypatch.setenv(f"WANNENG_{name}", "inherited")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ADMIN_KEY", {"the control plane"}),
        ("INTERNAL_KEY", {"the gateway", "the control plane", "the worker"}),
        ("DATABASE_URL", {"the gateway", "the control plane", "the worker", "the database migration"}),
        ("REDIS_URL", {"the gateway"}),
        ("BUDGET_WEBHOOK_URL", {"the worker"}),
        ("BUDGET_WEBHOOK_SECRET", {"the worker"}),
        ("OIDC_CLIENT_SECRET", {"the control plane"}),
    ],
)
def test_a_secret_is_told_to_those_who_need_it(name: str, told: set[str]) -> None:
    specs = (
        processes.gateway(SETTINGS, "internal", ()),
        processes.control_plane(SETTINGS, "admin's", "internal"),
        processes.worker(SETTINGS, "internal"),
        processes.migration(SETTINGS),
    )
    assert {spec.title for spec in specs if f"WANNENG_{name}" in spec.environment} == told
    assert "inherited" not in [value for spec in specs for value in spec.environment.values()]


@pytest.mark.parametrize(
    ("spec", "module", "variables"),
    [
        (
            GATEWAY,
            ["gateway"],
            {
                "HOST": "0.0.0.0",
                "PORT": "1",
                "INTERNAL_PORT": "4",
                "TRITON_URL": "http://127.0.0.1:3",
                "SAME_USER": "true",
                "LENGTH_BUCKETS": "32,64",
                "REDIS_URL": "redis://r",
                "DATABASE_URL": "sqlite:////s/wanneng.db",
                "CONTROL_PLANE_URL": "http://127.0.0.1:2",
                "INTERNAL_KEY": "internal",
            },
        ),
        (
            CONTROL_PLANE,
            ["control_plane", "serve"],
            {
                "CONTROL_PLANE_HOST": "127.0.0.1",
                "CONTROL_PLANE_PORT": "2",
                "DATABASE_URL": "sqlite:////s/wanneng.db",
                "ADMIN_KEY": "admin's",
                "INTERNAL_KEY": "internal",
                "REQUIRE_KEY": "true",
            },
        ),
        (
            WORKER,
            ["control_plane", "worker"],
            {
                "GATEWAY_URL": "http://127.0.0.1:1",
                "SAME_USER": "true",
                "DATABASE_URL": "sqlite:////s/wanneng.db",
                "INTERNAL_KEY": "internal",
            },
        ),
        (MIGRATION, ["control_plane", "migrate"], {"DATABASE_URL": "sqlite:////s/wanneng.db"}),
    ],
    ids=lambda value: value.log_name if isinstance(value, ProcessSpec) else "",
)
def test_a_process_is_told_what_the_settings_say(
    spec: ProcessSpec, module: list[str], variables: dict[str, str]
) -> None:
    assert spec.command[1:] == ["-m", *module]
    assert {name: spec.environment[f"WANNENG_{name}"] for name in variables} == variables


def test_the_control_plane_asks_for_keys_where_the_gateway_does() -> None:
    """It listens on loopback itself, so it cannot tell."""
    for settings, required in (
        (ServeSettings(), "false"),
        (ServeSettings(host="::"), "true"),
        (ServeSettings(require_key=True), "true"),
    ):
        environment = processes.control_plane(settings, "admin's", "internal").environment
        assert environment["WANNENG_REQUIRE_KEY"] == required


def test_length_buckets_are_those_that_triton_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANNENG_LENGTH_BUCKETS", "8,16")
    assert "WANNENG_LENGTH_BUCKETS" not in processes.gateway(SETTINGS, "internal", ()).environment


def test_with_a_file_of_tenants_the_gateway_needs_nobody_else() -> None:
    settings = ServeSettings(tenants_file=Path("/t.yaml"), redis_url="redis://r")
    environment = processes.gateway(settings, "internal", ()).environment
    assert environment["WANNENG_TENANTS_FILE"] == "/t.yaml"
    assert environment["WANNENG_REDIS_URL"] == "redis://r"
    assert not {"WANNENG_DATABASE_URL", "WANNENG_CONTROL_PLANE_URL"} & environment.keys()
