from dataclasses import fields
from pathlib import Path

import pytest

from wanneng.errors import StartError
from wanneng.settings import (
    CHECKOUT,
    MINIMUMS,
    SECRETS,
    ServeSettings,
    inherited_environment,
    is_proxied,
    load_settings,
    nvidia_release,
)


def test_a_flag_outranks_the_environment_which_outranks_the_default() -> None:
    environment = {"WANNENG_PORT": "9001", "WANNENG_TRITON_HTTP_PORT": "9002"}
    settings = load_settings({"port": 9003, "triton_http_port": None}, environment)
    assert (settings.port, settings.triton_http_port, settings.triton_grpc_port) == (9003, 9002, 8001)


@pytest.mark.parametrize("value", ["x", "0", "65536", "-1", "1.5"])
def test_a_bad_value_fails_by_the_name_it_came_under(value: str) -> None:
    with pytest.raises(StartError, match="WANNENG_PORT"):
        load_settings({}, {"WANNENG_PORT": value})
    with pytest.raises(StartError, match="--triton-grpc-port"):
        load_settings({"triton_grpc_port": value}, {})


def test_every_number_has_a_minimum() -> None:
    numbers = {setting.name for setting in fields(ServeSettings) if setting.type in ("int", "float")}
    assert set(MINIMUMS) == numbers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_timeout_s", "nan"),
        ("start_timeout_s", "inf"),
        ("start_timeout_s", "-5"),
        ("start_timeout_s", "0"),
        ("engine_threads", "-1"),
        ("log_file_bytes", "9999"),
        ("log_files", "1"),
    ],
)
def test_a_number_below_its_minimum_or_without_end_is_refused(name: str, value: str) -> None:
    variable = f"WANNENG_{name.upper()}"
    with pytest.raises(StartError, match=rf"{variable} is {value}(\.0)?; a number from [0-9]+ is needed"):
        load_settings({}, {variable: value})


@pytest.mark.parametrize("name", ["engine", "state_dir", "tenants_file"])
def test_a_home_folder_that_is_not_known_is_refused_by_the_settings_name(name: str) -> None:
    with pytest.raises(StartError, match=f"WANNENG_{name.upper()} is '~nobody-of-that-name/x', .* absolute path"):
        load_settings({}, {f"WANNENG_{name.upper()}": "~nobody-of-that-name/x"})
    with pytest.raises(StartError, match=f"--{name.replace('_', '-')} is '~nobody-of-that-name'"):
        load_settings({name: Path("~nobody-of-that-name")}, {})


def test_an_internal_port_is_where_tenants_are_managed() -> None:
    assert load_settings({}, {"WANNENG_INTERNAL_PORT": "0"}).operators_url == "http://127.0.0.1:8080"
    assert load_settings({"internal_port": 8090}, {}).operators_url == "http://127.0.0.1:8090"
    with pytest.raises(StartError, match="WANNENG_INTERNAL_PORT is -1; a port from 0 to 65535"):
        load_settings({}, {"WANNENG_INTERNAL_PORT": "-1"})


def test_an_empty_address_is_refused_since_it_would_mean_every_interface() -> None:
    with pytest.raises(StartError, match="WANNENG_HOST is empty"):
        load_settings({}, {"WANNENG_HOST": ""})


def test_a_url_can_be_pasted_whatever_the_address() -> None:
    assert ServeSettings(host="0.0.0.0", port=1).url == "http://127.0.0.1:1"
    assert ServeSettings(host="::1", port=1).url == "http://[::1]:1"


def test_paths_become_absolute_for_the_servers() -> None:
    settings = load_settings({"engine": Path("some/engine")}, {"WANNENG_TENANTS_FILE": "tenants.yaml"})
    assert settings.engine == Path.cwd() / "some/engine"
    assert settings.tenants_file == Path.cwd() / "tenants.yaml"


def test_a_database_in_the_state_folder_is_the_default() -> None:
    assert ServeSettings(state_dir=Path("/s")).effective_database_url == "sqlite:////s/wanneng.db"
    assert ServeSettings(database_url="postgresql://db").effective_database_url == "postgresql://db"


def test_the_release_is_that_of_nvidias_image() -> None:
    assert nvidia_release({"NVIDIA_TRITON_SERVER_VERSION": "26.04"}) == "26.04"
    assert nvidia_release({}) == ""


def test_children_inherit_everything_but_secrets_and_the_packages_of_another_python() -> None:
    environment = dict.fromkeys(SECRETS, "secret") | {"WANNENG_MAX_TEXTS": "8"}
    environment |= {"PYTHONPATH": "/p", "PYTHONHOME": "/usr/lib/python3.9"}
    inherited = inherited_environment(environment)
    assert "secret" not in inherited.values()
    assert inherited["WANNENG_MAX_TEXTS"] == "8"
    assert inherited["PYTHONPATH"] == str(CHECKOUT)
    assert "PYTHONHOME" not in inherited


def test_secrets_are_not_shown_with_the_settings() -> None:
    secret = "s" * 32
    settings = load_settings({}, dict.fromkeys(SECRETS, secret))
    assert secret not in repr(settings)
    assert (settings.admin_key, settings.internal_key) == (secret, secret)


@pytest.mark.parametrize("name", ["WANNENG_ADMIN_KEY", "WANNENG_INTERNAL_KEY"])
def test_a_key_that_could_be_guessed_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(StartError, match=f"{name} has fewer than 32 characters") as error:
        load_settings({}, {name: "k" * 31})
    assert "kkk" not in str(error.value)


def test_the_line_end_of_a_secret_is_no_part_of_it() -> None:
    secret = "s" * 32
    variables = {
        "WANNENG_ADMIN_KEY": f"{secret}\r\n",
        "WANNENG_DATABASE_URL": "postgresql://x/y\n",
        "WANNENG_PORT": "80\r",
    }
    settings = load_settings({}, variables)
    assert (settings.admin_key, settings.database_url, settings.port) == (secret, "postgresql://x/y", 80)


@pytest.mark.parametrize("key", ["…" * 32, "a" * 31 + "é", "two words " * 5])
def test_a_key_that_no_header_can_have_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(
        StartError, match="WANNENG_INTERNAL_KEY has a character that no header can have"
    ) as refusal:
        load_settings({}, {"WANNENG_INTERNAL_KEY": key})
    assert key not in str(refusal.value)


@pytest.mark.parametrize(
    ("variables", "proxied"),
    [
        ({}, False),
        ({"http_proxy": "http://proxy:3128"}, True),
        ({"ALL_PROXY": "socks5://proxy"}, True),
        ({"https_proxy": "http://proxy:3128"}, False),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "localhost,127.0.0.1"}, False),
    ],
)
def test_what_curl_would_send_to_a_proxy(
    variables: dict[str, str], proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for variable in (name, name.upper()):
            monkeypatch.delenv(variable, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_proxied("http://127.0.0.1:8080") is proxied
