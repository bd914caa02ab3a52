import pytest

from stores.api_keys import digest_of, generate_key, key_id_of, matches


def test_a_new_key_is_found_by_its_id_and_known_by_its_digest() -> None:
    new = generate_key()
    assert new.key.startswith(f"wn_{new.id}_")
    assert key_id_of(new.key) == new.id
    assert matches(new.key, new.digest)


def test_two_keys_share_nothing() -> None:
    one, other = generate_key(), generate_key()
    assert one.id != other.id
    assert not matches(one.key, other.digest)
    assert not matches(one.key[:-1] + ("0" if one.key[-1] != "0" else "1"), one.digest)


def test_nothing_matches_where_there_is_no_record() -> None:
    assert not matches("nobody's key", None)
    assert not matches(generate_key().key, None)


@pytest.mark.parametrize(
    "form", ["", "wn_", "wn_abc_def", "sk_0123456789ab_" + "0" * 48, "wn_0123456789AB_" + "0" * 48]
)
def test_a_malformed_key_has_no_id(form: str) -> None:
    assert key_id_of(form) is None


def test_a_key_never_shows_in_its_representation() -> None:
    new = generate_key()
    assert new.key not in repr(new)
    assert digest_of(new.key) == new.digest
