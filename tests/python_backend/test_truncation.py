from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Encoding, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from python_backend.truncation import truncate_longest_first, truncate_longest_first_fast, truncate_only_first

LENGTHS = st.integers(0, 700)


def token_by_token(text: int, hypothesis: int, room: int) -> tuple[int, int]:
    """The loop of the slow tokenizer: from the longer side, from the hypothesis where both are equal."""
    while text + hypothesis > room:
        if text > hypothesis:
            text -= 1
        else:
            hypothesis -= 1
    return text, hypothesis


@given(LENGTHS, LENGTHS, st.integers(2, 509))
def test_the_closed_form_truncates_as_the_loop_does(text: int, hypothesis: int, room: int) -> None:
    assert truncate_longest_first(text, hypothesis, room) == token_by_token(text, hypothesis, room)


def test_only_the_text_is_truncated_beside_a_short_hypothesis() -> None:
    assert truncate_longest_first(600, 2, 509) == (507, 2)


def fast(strategy: str, text: int, hypothesis: int, room: int) -> tuple[int, int]:
    """What the library of the fast tokenizers leaves of a pair."""
    tokenizer = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.enable_truncation(room, strategy=strategy)
    encoding: Encoding = tokenizer.encode("a " * text, "a " * hypothesis)
    return encoding.sequence_ids.count(0), encoding.sequence_ids.count(1)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 40))
def test_longest_first_of_the_fast_tokenizers(text: int, hypothesis: int, room: int) -> None:
    assert truncate_longest_first_fast(text, hypothesis, room) == fast("longest_first", text, hypothesis, room)


@given(st.integers(0, 60), st.integers(0, 20), st.integers(21, 40))
def test_only_first_of_the_fast_tokenizers(text: int, hypothesis: int, room: int) -> None:
    """Where the hypothesis alone fits; a longer one is refused by transformers, and truncated here."""
    assert truncate_only_first(text, hypothesis, room) == fast("only_first", text, hypothesis, room)


@given(LENGTHS, LENGTHS, st.integers(2, 509))
def test_only_first_keeps_within_the_limit(text: int, hypothesis: int, room: int) -> None:
    kept = truncate_only_first(text, hypothesis, room)
    assert sum(kept) == min(room, text + hypothesis)
    assert kept.text <= text
    assert kept.hypothesis <= hypothesis
