from hypothesis import given
from hypothesis import strategies as st

from python_backend.truncation import SPECIAL_TOKENS, longest_first


def token_by_token(text: int, hypothesis: int, max_tokens: int) -> tuple[int, int]:
    """The loop of the slow tokenizer: from the longer side, from the hypothesis when equal."""
    while text + hypothesis + SPECIAL_TOKENS > max_tokens:
        if text > hypothesis:
            text -= 1
        else:
            hypothesis -= 1
    return text, hypothesis


@given(st.integers(0, 700), st.integers(0, 700), st.integers(SPECIAL_TOKENS + 2, 512))
def test_the_closed_form_cuts_as_the_loop_does(text: int, hypothesis: int, max_tokens: int) -> None:
    assert longest_first(text, hypothesis, max_tokens) == token_by_token(text, hypothesis, max_tokens)


def test_a_text_beside_a_short_hypothesis_is_cut_alone() -> None:
    assert longest_first(600, 2, 512) == (507, 2)
