"""A misspelt variable of the environment is refused by its name, and those of other processes are not."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from functools import partial

import pytest
from msgspec.structs import fields

from control_plane.settings import Settings as ControlPlaneSettings
from control_plane.settings import WorkerSettings, load_worker_settings
from control_plane.settings import load_settings as load_control_plane_settings
from gateway.settings import Settings as GatewaySettings
from tests.helm.tools import ROOT
from wanneng.settings import ServeSettings
from web.settings import SettingsError, load_settings
from web.variables import KNOWN, unknown_variables

load_of_gateway = partial(load_settings, GatewaySettings)
OF_COMMANDS = {"URL", "KEY", "PEER_KEY"}
OF_COMPOSE = {"IMAGES", "VERSION", "ENGINES", "ADDRESS"}
OF_TESTS = {"NO_SKIPS", "SCREENSHOTS", "CASES"}


def test_the_settings_of_every_process_are_known() -> None:
    servers = (GatewaySettings, ControlPlaneSettings, WorkerSettings)
    names = {field.name.upper() for kind in servers for field in fields(kind)}
    names |= {field.name.upper() for field in dataclasses.fields(ServeSettings)}
    assert names | OF_COMMANDS | OF_COMPOSE | OF_TESTS | {"WORKERS"} == KNOWN


@pytest.mark.parametrize("load", [load_of_gateway, load_control_plane_settings, load_worker_settings])
def test_a_misspelt_variable_is_refused_by_its_name(load: object) -> None:
    with pytest.raises(
        SettingsError, match=r"WANNENG_PAIRS_PER_MINUT is no setting .* is WANNENG_PAIRS_PER_MINUTE"
    ):
        load({"WANNENG_PAIRS_PER_MINUT": "60"})  # type: ignore[operator]


def test_every_unknown_variable_is_named_without_its_value() -> None:
    given = {"WANNENG_ADMINKEY": "secret", "WANNENG_PURPLE": "x", "WANNENG_PORT": "1"}
    with pytest.raises(SettingsError) as caught:
        load_of_gateway(given)
    message = str(caught.value)
    assert "WANNENG_ADMINKEY is no setting of wanneng: is WANNENG_ADMIN_KEY meant?" in message
    assert (
        "WANNENG_PURPLE is no setting of wanneng: docs/configuration.md lists the settings; otherwise unset it"
        in message
    )
    assert "secret" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WANNENG_MAX_FILE_BYTES", "1"),
        ("WANNENG_NO_SKIPS", "1"),
        ("WANNENG_INTERNAL_SERVICE_HOST", "10.96.0.1"),
        ("WANNENG_INTERNAL_SERVICE_PORT_HTTP", "80"),
        ("WANNENG_INTERNAL_PORT_80_TCP_ADDR", "10.96.0.1"),
        ("WANNENG_GATEWAY_PORT", "tcp://10.96.0.1:80"),
        ("PAIRS_PER_MINUT", "1"),
    ],
)
def test_variables_of_other_processes_and_of_kubernetes_are_let_through(name: str, value: str) -> None:
    assert unknown_variables({name: value}) == []


def test_the_command_line_knows_the_same_variables_as_the_servers() -> None:
    copies = [(ROOT / package / "variables.py").read_text(encoding="utf-8") for package in ("web", "wanneng")]
    assert copies[0] == copies[1]


@pytest.mark.parametrize(
    "module",
    [
        ["gateway"],
        *(["control_plane", command] for command in ("serve", "worker", "migrate")),
        *(["wanneng", command] for command in ("serve", "triton")),
        ["wanneng", "engine", "wait", "/nowhere", "--timeout-s=0"],
        ["wanneng", "classify", "text", "--labels=a,b"],
        ["wanneng", "cluster", "status"],
    ],
    ids=" ".join,
)
def test_a_process_does_not_start_with_a_misspelt_variable(module: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *module],
        check=False,
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "WANNENG_MAX_LABLES": "9",
            "WANNENG_DATABASE_URL": "sqlite:////nowhere/w.db",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "WANNENG_MAX_LABLES is no setting of wanneng: is WANNENG_MAX_LABELS meant?" in done.stdout + done.stderr
