"""Where special tokens are text, the tokens are those of a tokenizer that has no special tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from python_backend.special_tokens import without_special_tokens
from python_backend.tokenization import PairEncoder, load_tokenizer, pair_layout

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = [GOLDEN / "small", GOLDEN / "cased"]
SPECIAL = ("[SEP]", "[PAD]", "[MASK]", "[CLS]", "[UNK]")
PIECES = st.lists(
    st.sampled_from([*SPECIAL, *"[]SEP手 3\u0301\0", " [SEP] ", "[unused1]", "sep", "S", "🤖"]), max_size=8
).map("".join)


def ordinary(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer without special tokens."""
    plain = Tokenizer(tokenizer.model)
    plain.normalizer, plain.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    return plain


def as_text(tokenizer: Tokenizer) -> Tokenizer:
    return without_special_tokens(tokenizer, pair_layout(tokenizer).special_ids)


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


TOKENIZERS = [(tokenizer, as_text(tokenizer), ordinary(tokenizer)) for tokenizer in map(load_tokenizer, FOLDERS)]


@pytest.mark.parametrize("tokenizers", TOKENIZERS, ids=["small", "cased"])
@pytest.mark.parametrize(
    "text",
    [*SPECIAL, "手[SEP]机[MASK]", "[[SEP]SEP]", "[S[SEP]EP]", "[ SEP]", "[SE\0P]", "[", "[SEP][", "[unused1]"],
)
def test_special_tokens_are_encoded_as_ordinary_text(
    tokenizers: tuple[Tokenizer, Tokenizer, Tokenizer], text: str
) -> None:
    _, plain, expected = tokenizers
    assert ids(plain, text) == ids(expected, text)


def test_they_are_special_otherwise() -> None:
    for tokenizer, plain, _ in TOKENIZERS:
        for special in SPECIAL:
            assert ids(tokenizer, special) == [tokenizer.token_to_id(special)] != ids(plain, special)


@given(PIECES)
def test_so_is_every_other_text(text: str) -> None:
    for _, plain, expected in TOKENIZERS:
        assert ids(plain, text) == ids(expected, text)


def test_texts_and_hypotheses_of_both_kinds_are_encoded_by_one_encoder() -> None:
    """The cache of hypotheses keeps them apart."""
    encoder = PairEncoder(
        load_tokenizer(GOLDEN / "small"), truncation="longest_first", token_types=2, cached_hypotheses=10
    )
    text, hypothesis = "手机[SEP]投诉", "这是[MASK]"
    as_model, text_alone, again = (
        encoder.encode(text, [hypothesis], 512, as_text=kind) for kind in (False, True, False)
    )
    assert as_model.input_ids.tolist() == again.input_ids.tolist()
    special = [2, 3, encoder._tokenizer.token_to_id("[MASK]")]
    assert [as_model.input_ids[0].tolist().count(number) for number in special] == [1, 3, 1]
    assert [text_alone.input_ids[0].tolist().count(number) for number in special] == [1, 2, 0]
    assert text_alone.text_tokens.tolist() == [len(ids(TOKENIZERS[0][2], text))]
