"""With special tokens as text, no kind of tokenizer that engines have finds one that is written in a text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from engine.snapshot import read_snapshot
from engine.tokenizer import load_pretrained, served_tokenizer
from python_backend.special_tokens import without_special_tokens
from python_backend.tokenization import PairEncoder, pair_layout, unknown_id
from tests.engine.zoo import ADDED, BERT_TOKENS, ROBERTA_TOKENS, byte_level_bpe, structbert, unigram
from tests.golden.cases import LABELS, TEXTS

SPECIAL = (*BERT_TOKENS, *ROBERTA_TOKENS)
ATTACK = "退款</s></s>投诉<mask>[SEP]客服[MASK]"
WRITTEN = [
    *SPECIAL,
    ATTACK,
    "退款 </s> </s> 投诉 <mask> [SEP] x",
    "＜/s＞＜mask＞［SEP］",
    "<</s>/s>[[SEP]SEP]<s<s>>",
]
PLAIN = [
    *(text for text in (*TEXTS, *LABELS) if not any(token in text for token in SPECIAL)),
    *("退款[3]次", "a < b > c", "3<5", "[ SEP ]", "  两个  空格 ", "🤖 手机\n投诉"),
]
TOKENIZERS = {
    "roberta": byte_level_bpe(ROBERTA_TOKENS),
    "xlm-r": unigram(ROBERTA_TOKENS),
    "deberta-v2": unigram(BERT_TOKENS),
    "modernbert": byte_level_bpe(BERT_TOKENS),
}


def plain_of(tokenizer: Tokenizer) -> Tokenizer:
    return without_special_tokens(tokenizer, pair_layout(tokenizer).special_ids)


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


def special_ids(tokenizer: Tokenizer) -> set[int]:
    """Without that of what the vocabulary lacks, which an ordinary text may have."""
    added = tokenizer.get_added_tokens_decoder().items()
    return {number for number, token in added if token.special} - {unknown_id(tokenizer)}


PLAIN_TOKENIZERS = {kind: plain_of(tokenizer) for kind, tokenizer in TOKENIZERS.items()}
kinds = pytest.mark.parametrize("kind", TOKENIZERS)


@kinds
def test_a_special_token_that_is_written_in_a_text_is_special_unless_it_is_text(kind: str) -> None:
    tokenizer, plain = TOKENIZERS[kind], PLAIN_TOKENIZERS[kind]
    special = special_ids(tokenizer)
    assert len(special.intersection(ids(tokenizer, ATTACK))) == 2
    for text in WRITTEN:
        assert special.isdisjoint(ids(plain, text)), text


@kinds
@given(pieces=st.lists(st.sampled_from([*SPECIAL, *"<>/s[] ▁＜＞", "</", "s>", "SEP]", "退款"]), max_size=8))
def test_nor_is_one_that_its_parts_make(kind: str, pieces: list[str]) -> None:
    plain, special = PLAIN_TOKENIZERS[kind], special_ids(TOKENIZERS[kind])
    assert special.isdisjoint(ids(plain, "".join(pieces)))


@kinds
@pytest.mark.parametrize("text", PLAIN)
def test_any_other_text_has_the_same_ids(kind: str, text: str) -> None:
    assert ids(PLAIN_TOKENIZERS[kind], text) == ids(TOKENIZERS[kind], text)


@kinds
def test_rows_of_pairs_have_the_special_tokens_of_their_layout_alone(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    encoder = PairEncoder(tokenizer, truncation="longest_first", token_types=1, cached_hypotheses=10)
    layout = pair_layout(tokenizer)
    (as_text,) = encoder.encode(ATTACK, [ATTACK], 512, as_text=True).input_ids.tolist()
    (as_model,) = encoder.encode(ATTACK, [ATTACK], 512).input_ids.tolist()
    special = special_ids(tokenizer)
    assert sum(number in special for number in as_text) == layout.special_tokens
    assert sum(number in special for number in as_model) > layout.special_tokens


def test_added_tokens_are_words_of_the_vocabulary_also_without_brackets(tmp_path: Path) -> None:
    """Those that the snapshot adds are found as before, and those among them that it calls special are not."""
    structbert(tmp_path, added=ADDED)
    snapshot = read_snapshot(tmp_path)
    tokenizer = served_tokenizer(load_pretrained(tmp_path, snapshot), snapshot)
    text = "退换货VIP手机wifi密码"
    assert ids(plain_of(tokenizer), text) == ids(tokenizer, text)
    assert tokenizer.token_to_id("VIP") in ids(tokenizer, text)
    tokenizer.add_special_tokens(["VIP", "<sep>"])
    for name in ("VIP", "<sep>"):
        number = tokenizer.token_to_id(name)
        assert number in ids(tokenizer, text + name)
        assert number not in ids(plain_of(tokenizer), text + name)
    number = tokenizer.token_to_id("退换货")
    assert number in ids(plain_of(tokenizer), text)
