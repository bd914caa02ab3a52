"""The settings of the control plane and of the worker, and the variables that their errors name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from control_plane.settings import (
    Settings,
    SettingsError,
    WorkerSettings,
    check_oidc,
    load_settings,
    load_worker_settings,
)

ADMIN_KEY, INTERNAL_KEY = "a" * 32, "k" * 32
NEEDED = {"WANNENG_INTERNAL_KEY": INTERNAL_KEY}
Load = Callable[[Mapping[str, str]], Any]


def test_the_environment_overrides_the_defaults() -> None:
    environment = {
        "WANNENG_CONTROL_PLANE_PORT": "9",
        "WANNENG_UPLOAD_TIMEOUT_S": "2.5",
        "WANNENG_ADMIN_KEY": ADMIN_KEY,
    }
    settings = load_settings(environment)
    assert (settings.control_plane_port, settings.upload_timeout_s, settings.admin_key) == (9, 2.5, ADMIN_KEY)
    assert load_settings({}) == Settings()
    assert load_worker_settings(NEEDED) == WorkerSettings(internal_key=INTERNAL_KEY)


@pytest.mark.parametrize(
    ("load", "variable", "values"),
    [
        (load_settings, "WANNENG_CONTROL_PLANE_HOST", ("",)),
        (load_settings, "WANNENG_CONTROL_PLANE_PORT", ("0", "70000", "http")),
        (load_settings, "WANNENG_MAX_FILE_BYTES", ("0", "-1", "many")),
        (load_settings, "WANNENG_MAX_TENANT_FILE_BYTES", ("0", "1.5")),
        (load_settings, "WANNENG_UPLOAD_TIMEOUT_S", ("0", "soon")),
        (load_settings, "WANNENG_MAX_LABELS", ("0",)),
        (load_settings, "WANNENG_REQUIRE_KEY", ("perhaps",)),
        (load_settings, "WANNENG_ADMIN_KEY", ("", "a" * 31)),
        (load_settings, "WANNENG_INTERNAL_KEY", ("", "k" * 31)),
        (load_worker_settings, "WANNENG_DATABASE_URL", ("",)),
        (load_worker_settings, "WANNENG_GATEWAY_URL", ("", "127.0.0.1:8080", "ftp://gateway", "http://")),
        (load_worker_settings, "WANNENG_INTERNAL_KEY", ("", "k" * 31)),
        (load_worker_settings, "WANNENG_MAX_BATCH_LINES", ("0", "all")),
        (load_worker_settings, "WANNENG_BATCH_LINES_AT_ONCE", ("0", "-4")),
        (load_worker_settings, "WANNENG_BATCH_RETENTION_DAYS", ("0", "forever")),
        (load_worker_settings, "WANNENG_BUDGET_WEBHOOK_URL", ("", "ftp://alerts", "https://alerts.example")),
        (load_worker_settings, "WANNENG_BUDGET_WEBHOOK_SECRET", ("", "s" * 31)),
        (load_settings, "WANNENG_PRICE_PER_MILLION_TOKENS", ("-1", "free")),
        (load_settings, "WANNENG_CURRENCY", ("yuan", "¥")),
        (load_settings, "WANNENG_OIDC_ROLES", ("{", "admins", '{"a": {"admin": true}}', '{"a": "operator"}')),
        (load_settings, "WANNENG_OIDC_SESSION_S", ("0", "86401", "soon")),
    ],
)
def test_a_bad_value_fails_by_its_variable(load: Load, variable: str, values: tuple[str, ...]) -> None:
    for value in values:
        with pytest.raises(SettingsError, match=f"^{variable}"):
            load(NEEDED | {variable: value})


OIDC = NEEDED | {
    "WANNENG_ADMIN_KEY": ADMIN_KEY,
    "WANNENG_OIDC_ISSUER": "https://login.example",
    "WANNENG_OIDC_CLIENT_ID": "console",
    "WANNENG_OIDC_CLIENT_SECRET": "very secret",
    "WANNENG_OIDC_REDIRECT_URLS": "https://c.example/console, http://localhost:8090/console",
    "WANNENG_OIDC_ROLES": '{"a=b,c": {"operator": true}, "acme": {"tenant": "t_1", "scopes": ["classify"]}}',
}


def test_people_may_sign_in_with_what_is_needed_for_it() -> None:
    settings = load_settings(OIDC)
    check_oidc(settings)
    assert settings.oidc_redirect_urls == ("https://c.example/console", "http://localhost:8090/console")
    assert settings.oidc_roles["a=b,c"].operator
    assert settings.oidc_roles["acme"].scopes == ("classify",)
    assert "very secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in ("INTERNAL_KEY", "ADMIN_KEY", "OIDC_CLIENT_ID", "OIDC_ROLES")),
        ("OIDC_REDIRECT_URLS", None),
        ("OIDC_REDIRECT_URLS", "http://c.example/console"),
        ("OIDC_ISSUER", "http://login.example"),
        ("OIDC_ISSUER", "login.example"),
        ("OIDC_SCOPES", "profile"),
        ("OIDC_ROLES", '{"a": {}}'),
        ("OIDC_ROLES", '{"a": {"operator": true}'),
        ("OIDC_ROLES", '{"a": {"operator": true}, "a": {"tenant": "t"}}'),
        ("OIDC_ROLES", '{"a": {"tenant": "t", "tenant": "u"}}'),
        ("OIDC_ROLES", '{"a": {"tenant": "t", "scopes": ["everything"]}}'),
    ],
)
def test_a_sign_in_that_nobody_could_use_is_refused_by_its_variable(name: str, value: str | None) -> None:
    environment = {variable: text for variable, text in OIDC.items() if variable != f"WANNENG_{name}"}
    if value is not None:
        environment[f"WANNENG_{name}"] = value
    with pytest.raises(SettingsError, match=f"WANNENG_{name}"):
        check_oidc(load_settings(environment))


def test_a_worker_needs_the_key_that_it_shares_with_the_gateway() -> None:
    with pytest.raises(
        SettingsError, match=r"^WANNENG_INTERNAL_KEY is missing; .* the same secret of at least 32"
    ):
        load_worker_settings({})


@pytest.mark.parametrize("load", [load_settings, load_worker_settings])
def test_there_is_no_control_plane_where_tenants_are_declared_in_a_file(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"^WANNENG_TENANTS_FILE is set; there is no control plane"):
        load(NEEDED | {"WANNENG_TENANTS_FILE": "tenants.yaml"})


@pytest.mark.parametrize(
    ("host", "require_key", "needed"),
    [
        ("127.0.0.1", False, False),
        ("127.0.0.1", True, True),
        ("0.0.0.0", False, True),
        ("control-plane", False, True),
    ],
)
def test_keys_are_needed_wherever_a_stranger_may_ask(host: str, require_key: bool, needed: bool) -> None:
    assert Settings(control_plane_host=host, require_key=require_key).keys_needed is needed


def test_secrets_are_shown_nowhere() -> None:
    url = "postgresql://a:hunter2@b/c"
    shown = repr(Settings(admin_key="hunter2", database_url=url))
    shown += repr(WorkerSettings(internal_key=INTERNAL_KEY, database_url=url))
    assert "hunter2" not in shown
    assert INTERNAL_KEY not in shown
    assert "batch_lines_at_once=16" in shown
