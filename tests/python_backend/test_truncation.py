from hypothesis import given
from hypothesis import strategies as st

from python_backend.truncation import PAIR_SPECIAL_TOKENS, truncate_longest_first


def token_by_token(text: int, hypothesis: int, max_tokens: int) -> tuple[int, int]:
    """The loop of the slow tokenizer: from the longer side, from the hypothesis where both are equal."""
    while text + hypothesis + PAIR_SPECIAL_TOKENS > max_tokens:
        if text > hypothesis:
            text -= 1
        else:
            hypothesis -= 1
    return text, hypothesis


@given(st.integers(0, 700), st.integers(0, 700), st.integers(PAIR_SPECIAL_TOKENS + 2, 512))
def test_the_closed_form_truncates_as_the_loop_does(text: int, hypothesis: int, max_tokens: int) -> None:
    assert truncate_longest_first(text, hypothesis, max_tokens) == token_by_token(text, hypothesis, max_tokens)


def test_only_the_text_is_truncated_beside_a_short_hypothesis() -> None:
    assert truncate_longest_first(600, 2, 512) == (507, 2)
