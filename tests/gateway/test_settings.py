import pytest

from gateway.settings import Settings
from web.settings import SettingsError, load_settings


def test_the_environment_overrides_the_defaults() -> None:
    settings = load_settings(
        Settings, {"WANNENG_PORT": "9", "WANNENG_DEADLINE_S": "2.5", "WANNENG_TRITON_URL": "http://t"}
    )
    assert (settings.port, settings.deadline_s, settings.triton_url) == (9, 2.5, "http://t")
    assert load_settings(Settings, {}) == Settings()


@pytest.mark.parametrize("value", ["many", "0", "-1", ""])
def test_a_bad_value_fails_by_its_variable(value: str) -> None:
    with pytest.raises(SettingsError, match="WANNENG_MAX_LABELS"):
        load_settings(Settings, {"WANNENG_MAX_LABELS": value})


def test_an_empty_address_is_refused_since_it_would_mean_every_interface() -> None:
    with pytest.raises(SettingsError, match="WANNENG_HOST is empty"):
        load_settings(Settings, {"WANNENG_HOST": ""})


def test_length_buckets_are_numbers_with_commas_between_them_and_come_in_order() -> None:
    """In order, for the first that holds a pair is taken."""
    assert load_settings(Settings, {"WANNENG_LENGTH_BUCKETS": "64, 32,512"}).length_buckets == (32, 64, 512)
    assert load_settings(Settings, {}).length_buckets == ()
    for bad in ("32;64", "short", "0,32", ""):
        with pytest.raises(SettingsError, match=r"WANNENG_LENGTH_BUCKETS is "):
            load_settings(Settings, {"WANNENG_LENGTH_BUCKETS": bad})


@pytest.mark.parametrize(
    ("host", "require_key", "needed"),
    [("127.0.0.1", False, False), ("127.0.0.1", True, True), ("0.0.0.0", False, True), ("10.1.2.3", False, True)],
)
def test_strangers_need_a_key(host: str, require_key: bool, needed: bool) -> None:
    assert Settings(host=host, require_key=require_key).keys_needed is needed


def test_the_internal_key_is_long_and_never_shown() -> None:
    with pytest.raises(SettingsError, match="WANNENG_INTERNAL_KEY") as refusal:
        load_settings(Settings, {"WANNENG_INTERNAL_KEY": "hunter2"})
    assert "hunter2" not in str(refusal.value)
    assert "w" * 32 not in repr(load_settings(Settings, {"WANNENG_INTERNAL_KEY": "w" * 32}))


def test_redis_needs_the_secret_that_signs_what_is_in_it() -> None:
    with pytest.raises(SettingsError, match="WANNENG_REDIS_URL needs WANNENG_INTERNAL_KEY"):
        load_settings(Settings, {"WANNENG_REDIS_URL": "redis://r"})
    load_settings(Settings, {"WANNENG_REDIS_URL": "redis://r", "WANNENG_INTERNAL_KEY": "i" * 32})
