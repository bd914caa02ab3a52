import pytest

from gateway.settings import Settings, SettingsError, load_settings


def test_the_environment_overrides_the_defaults() -> None:
    settings = load_settings({"WANNENG_PORT": "9", "WANNENG_DEADLINE_S": "2.5", "WANNENG_TRITON_URL": "http://t"})
    assert (settings.port, settings.deadline_s, settings.triton_url) == (9, 2.5, "http://t")
    assert load_settings({}) == Settings()


@pytest.mark.parametrize("value", ["many", "0", "-1", ""])
def test_a_bad_value_fails_by_its_variable(value: str) -> None:
    with pytest.raises(SettingsError, match="WANNENG_MAX_LABELS"):
        load_settings({"WANNENG_MAX_LABELS": value})


def test_an_empty_address_is_refused_since_it_would_mean_every_interface() -> None:
    with pytest.raises(SettingsError, match="WANNENG_HOST is empty"):
        load_settings({"WANNENG_HOST": ""})


def test_buckets_are_numbers_with_commas_between_them() -> None:
    assert load_settings({"WANNENG_BUCKETS": "64, 32,512"}).buckets == (32, 64, 512)
    assert load_settings({"WANNENG_BUCKETS": ""}).buckets == ()
    for bad in ("32;64", "short", "0,32"):
        with pytest.raises(
            SettingsError, match=r"WANNENG_BUCKETS is .*, numbers with commas between them are needed"
        ):
            load_settings({"WANNENG_BUCKETS": bad})
