import pytest

from gateway.keys import digest_of, is_key, key_id_of, make_key


def test_a_new_key_is_found_by_its_id_and_known_by_its_digest() -> None:
    new = make_key()
    assert new.key.startswith(f"wn_{new.id}_")
    assert key_id_of(new.key) == new.id
    assert is_key(new.key, new.digest)


def test_two_keys_share_nothing() -> None:
    one, other = make_key(), make_key()
    assert one.id != other.id
    assert not is_key(one.key, other.digest)
    assert not is_key(one.key[:-1] + ("0" if one.key[-1] != "0" else "1"), one.digest)


def test_nobodys_digest_is_no_key() -> None:
    assert not is_key("nobody's key", None)
    assert not is_key(make_key().key, None)


@pytest.mark.parametrize(
    "form", ["", "wn_", "wn_abc_def", "sk_0123456789ab_" + "0" * 48, "wn_0123456789AB_" + "0" * 48]
)
def test_what_is_no_key_has_no_id(form: str) -> None:
    assert key_id_of(form) is None


def test_a_key_never_shows_in_its_representation() -> None:
    new = make_key()
    assert new.key not in repr(new)
    assert digest_of(new.key) == new.digest
