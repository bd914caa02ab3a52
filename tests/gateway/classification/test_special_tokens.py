"""With `special_tokens: text` the tokens are those of ordinary text, by the tokenizer that `expand` runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from python_backend.hypotheses import hypotheses
from python_backend.tokenization import load_tokenizer
from stores.special_tokens import as_text

GOLDEN = Path(__file__).parents[2] / "golden"
FOLDERS = [GOLDEN / "small", GOLDEN / "cased"]
SPECIAL = ("[SEP]", "[PAD]", "[MASK]", "[CLS]", "[UNK]")
PIECES = st.lists(st.sampled_from([*SPECIAL, *"[]SEP手 \u0301\0", "[unused1]", "sep", "S"]), max_size=8).map(
    "".join
)


def ordinary(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer without special tokens."""
    plain = Tokenizer(tokenizer.model)
    plain.normalizer, plain.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    return plain


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


TOKENIZERS = [(tokenizer, ordinary(tokenizer)) for tokenizer in map(load_tokenizer, FOLDERS)]


@pytest.mark.parametrize("tokens", TOKENIZERS, ids=["small", "cased"])
@pytest.mark.parametrize(
    "text",
    [*SPECIAL, "手[SEP]机[MASK]", "[[SEP]SEP]", "[S[SEP]EP]", "[ SEP]", "[SE\0P]", "[", "[SEP][", "[unused1]"],
)
def test_no_special_token_is_left(tokens: tuple[Tokenizer, Tokenizer], text: str) -> None:
    tokenizer, plain = tokens
    assert ids(tokenizer, as_text(text)) == ids(plain, text)
    assert ids(tokenizer, as_text(as_text(text))) == ids(plain, text)


@pytest.mark.parametrize("tokens", TOKENIZERS, ids=["small", "cased"])
def test_every_token_that_is_special_begins_with_a_bracket(tokens: tuple[Tokenizer, Tokenizer]) -> None:
    """Otherwise a blank after each `[` would not be enough."""
    tokenizer, plain = tokens
    assert {token.content for token in tokenizer.get_added_tokens_decoder().values()} == set(SPECIAL)
    assert ids(tokenizer, "手[SEP]") != ids(plain, "手[SEP]"), "it is special without as_text"
    assert ids(tokenizer, "[unused1]") == ids(plain, "[unused1]"), "only special tokens are found whole"


@given(PIECES, PIECES, PIECES)
def test_a_template_and_a_label_together_make_none_either(before: str, label: str, after: str) -> None:
    for tokenizer, plain in TOKENIZERS:
        (hypothesis,) = hypotheses([as_text(label)], as_text(before + "{}" + after))
        assert ids(tokenizer, hypothesis) == ids(plain, before + label + after)


@pytest.mark.parametrize(
    ("template", "label"), [("[S{}", "EP]"), ("[{}", "SEP]"), ("{}EP]", "[S"), ("{}SEP]", "[")]
)
def test_neither_do_halves_of_one(template: str, label: str) -> None:
    for tokenizer, plain in TOKENIZERS:
        (given,) = hypotheses([label], template)
        assert ids(tokenizer, given) != ids(plain, given), "it is special without as_text"
        (hypothesis,) = hypotheses([as_text(label)], as_text(template))
        assert ids(tokenizer, hypothesis) == ids(plain, given)


def test_labels_that_differ_still_do() -> None:
    labels = ["[SEP]", "[ SEP]", "[  SEP]", "SEP"]
    assert len(set(map(as_text, labels))) == len(labels)


def test_a_text_without_brackets_is_not_copied() -> None:
    text = "这个手机质量太差" * 1_000
    assert as_text(text) is text
