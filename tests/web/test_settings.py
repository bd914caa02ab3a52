"""The loader of settings, which names the variable that it cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct

from web.settings import Count, CountOrNone, Port, Secret, ServerSettings, SettingsError, Text, load_settings

SECRET = "s" * 32


class Example(ServerSettings, frozen=True, kw_only=True):
    host: Text = "127.0.0.1"
    port: Port = 8080
    internal_key: Secret = ""
    cache_bytes: CountOrNone = 5
    length_buckets: tuple[Count, ...] = ()


class WithPath(Struct):
    folder: Path = Path("/default")


def test_the_environment_overrides_the_defaults() -> None:
    environment = {
        "WANNENG_PORT": "9",
        "WANNENG_BODY_TIMEOUT_S": "2.5",
        "WANNENG_HOST": " 10.0.0.1 ",
        "WANNENG_CACHE_BYTES": "0",
        "WANNENG_LENGTH_BUCKETS": "64, 32,512",
        "UNRELATED": "x",
    }
    assert load_settings(Example, environment) == Example(
        port=9, body_timeout_s=2.5, host="10.0.0.1", cache_bytes=0, length_buckets=(64, 32, 512)
    )
    assert load_settings(Example, {}) == Example()
    assert load_settings(WithPath, {"WANNENG_FOLDER": "/tmp"}) == WithPath(Path("/tmp"))


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("true", True), ("Yes", True), ("0", False), ("false", False), ("no", False)]
)
def test_a_switch_is_on_or_off(text: str, value: bool) -> None:
    assert load_settings(Example, {"WANNENG_REQUIRE_KEY": text}).require_key is value


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("WANNENG_MAX_LABELS", ("many", "0", "-1", "1.5", "")),
        ("WANNENG_PORT", ("0", "65536", "http", " ")),
        ("WANNENG_BODY_TIMEOUT_S", ("0", "-1", "soon", "nan", "inf")),
        ("WANNENG_DRAIN_S", ("-1", "x")),
        ("WANNENG_REQUIRE_KEY", ("maybe", "")),
        ("WANNENG_HOST", ("",)),
        ("WANNENG_LENGTH_BUCKETS", ("32;64", "short", "0,32")),
        ("WANNENG_CACHE_BYTES", ("-1",)),
        ("WANNENG_INTERNAL_KEY", ("s" * 31,)),
    ],
)
def test_a_bad_value_fails_by_its_variable(variable: str, values: tuple[str, ...]) -> None:
    for value in values:
        with pytest.raises(SettingsError, match=f"^{variable}") as refusal:
            load_settings(Example, {variable: value})
        assert not isinstance(refusal.value.__cause__, Exception)


def test_a_variable_that_is_set_to_nothing_is_refused() -> None:
    """An empty address would mean every interface of the machine."""
    with pytest.raises(SettingsError, match="WANNENG_HOST is empty; give it a value or unset it"):
        load_settings(Example, {"WANNENG_HOST": ""})


def test_a_bad_value_is_shown_unless_it_is_secret() -> None:
    with pytest.raises(SettingsError, match="WANNENG_PORT is 'http': "):
        load_settings(Example, {"WANNENG_PORT": "http"})
    with pytest.raises(SettingsError) as refusal:
        load_settings(Example, {"WANNENG_INTERNAL_KEY": "hunter2"})
    assert "hunter2" not in str(refusal.value)


def test_secrets_are_shown_nowhere() -> None:
    settings = Example(internal_key=SECRET, database_url="postgresql://a:hunter2@b/c")
    shown = repr(settings)
    assert SECRET not in shown
    assert "hunter2" not in shown
    assert "port=8080" in shown


@pytest.mark.parametrize("end", ["\n", "\r\n", " "])
def test_the_line_end_of_a_secret_is_no_part_of_it(end: str) -> None:
    assert load_settings(Example, {"WANNENG_INTERNAL_KEY": SECRET + end}).internal_key == SECRET


@pytest.mark.parametrize("key", ["…" * 32, "a" * 31 + "é", "two words " * 5, f"{SECRET}\n{SECRET}"])
def test_a_key_that_no_header_can_have_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(SettingsError, match="WANNENG_INTERNAL_KEY has a character that no header") as refusal:
        load_settings(Example, {"WANNENG_INTERNAL_KEY": key})
    assert key not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8081", "h", "ftp://h", "http://", "http://h:99999", "http://[::1", "http://h:x"]
)
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="WANNENG_OTLP_ENDPOINT is not like http://host:8080"):
        load_settings(Example, {"WANNENG_OTLP_ENDPOINT": url})
    with pytest.raises(SettingsError) as refusal:
        load_settings(Example, {"WANNENG_OTLP_ENDPOINT": "https://user:secret@"})
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("url", ["http://h", "https://user:secret@h:1/p", "http://[::1]:4318"])
def test_an_address_is_taken_as_it_is(url: str) -> None:
    assert load_settings(Example, {"WANNENG_OTLP_ENDPOINT": url}).otlp_endpoint == url
