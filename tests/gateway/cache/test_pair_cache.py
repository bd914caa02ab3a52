from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.pair_cache import pack, pair_keys, unpack

FIELDS = st.tuples(
    st.text(max_size=8),
    st.text(max_size=8),
    st.text(max_size=8),
    st.none() | st.integers(1, 600),
    st.text(max_size=8),
    st.text(max_size=8),
)


@given(FIELDS, FIELDS)
def test_two_pairs_share_a_key_only_if_everything_is_equal(
    one: tuple[str, str, str, int | None, str, str], other: tuple[str, str, str, int | None, str, str]
) -> None:
    """Tenant, engine, template, token limit, text, label."""
    (first,) = pair_keys(*one[:5], [one[5]])
    (second,) = pair_keys(*other[:5], [other[5]])
    assert (first == second) == (one == other)


def test_a_pair_whose_special_tokens_are_text_has_a_key_of_its_own() -> None:
    as_text = pair_keys("t", "e", "{}", 16, "text", ["a"], special_tokens="text")
    fields = [("t", "e", "{}", 16, "text"), ("t", "e", "{}", None, "text"), ("t", "e", "{}text", 16, "text")]
    assert as_text not in [pair_keys(*each, ["a"]) for each in fields]
    assert pair_keys(*fields[0], ["a"], special_tokens="model") == pair_keys(*fields[0], ["a"])


def test_moving_a_character_from_field_to_field_changes_the_key() -> None:
    keys = {
        *pair_keys("ab", "c", "{}", None, "t", ["l"]),
        *pair_keys("a", "bc", "{}", None, "t", ["l"]),
        *pair_keys("ab", "c", "{}", None, "tl", [""]),
        *pair_keys("ab", "c", "{}", None, "", ["tl"]),
    }
    assert len(keys) == 4


def test_a_key_does_not_depend_on_the_labels_beside_it() -> None:
    one = pair_keys("t", "e", "{}", None, "text", ["a", "b", "c"])
    assert pair_keys("t", "e", "{}", None, "text", ["b"]) == one[1:2]


def test_a_lone_surrogate_has_a_key_as_well() -> None:
    assert len(pair_keys("t", "e", "{}", None, "\ud800", ["\udfff"])[0]) == 32


def test_values_come_back_to_the_bit() -> None:
    logits = np.array([[1.5, -2.25, 3e-8], [0, np.float32(1 / 3), -7]], dtype=np.float32)
    tokens = np.array([[12, 0, 0], [512, 300, 4]], dtype=np.int32)
    unknown = np.array([[0.25, 0], [0, 1]], dtype=np.float32)
    values = pack(logits, tokens, unknown)
    assert [len(value) for value in values] == [32, 32]
    got = unpack(values)
    np.testing.assert_array_equal(got[0], logits)
    np.testing.assert_array_equal(got[1], tokens)
    np.testing.assert_array_equal(got[2], unknown)
