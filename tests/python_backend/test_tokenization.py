from pathlib import Path

import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing

from python_backend.errors import EngineError, NothingToRead, PairTooLong
from python_backend.tokenization import PairEncoder, PairLayout, load_tokenizer, pair_layout

ENGINE = Path(__file__).parents[1] / "golden/small"


def encoder(cached: int = 10, truncation: str = "longest_first", token_types: int = 2) -> PairEncoder:
    return PairEncoder(
        load_tokenizer(ENGINE), truncation=truncation, token_types=token_types, cached_hypotheses=cached
    )


def test_rows_equal_those_of_encoding_each_pair_by_itself() -> None:
    tokenizer = load_tokenizer(ENGINE)
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    text, hypotheses = "这个手机质量太差", ["投诉", "这是关于咨询的"]
    rows = encoder().encode(text, hypotheses, 512)
    for row, hypothesis in enumerate(hypotheses):
        first = [cls, *tokenizer.encode(text, add_special_tokens=False).ids, sep]
        second = [*tokenizer.encode(hypothesis, add_special_tokens=False).ids, sep]
        length = len(first) + len(second)
        assert rows.input_ids[row, :length].tolist() == first + second
        assert rows.token_type_ids[row].sum() == len(second)
        assert rows.attention_mask[row].sum() == length == rows.tokens[row, 0]
        assert not rows.input_ids[row, length:].any()


def test_truncated_tokens_are_counted_for_text_and_hypothesis() -> None:
    rows = encoder().encode("手机" * 20, ["投诉", "质" * 40], 16)
    assert rows.tokens.tolist() == [[16, 29, 0], [16, 33, 34]]
    assert rows.input_ids.shape == (2, 16)


def test_special_tokens_in_a_text_are_encoded_as_special_tokens() -> None:
    tokenizer = load_tokenizer(ENGINE)
    assert tokenizer.encode("手[SEP]机[MASK]", add_special_tokens=False).tokens == ["手", "[SEP]", "机", "[MASK]"]
    assert "[SEP]" not in tokenizer.encode("[sep]", add_special_tokens=False).tokens


def test_the_cache_evicts_the_least_recently_used_hypothesis() -> None:
    pair_encoder = encoder(cached=2)
    for hypothesis in ("一", "二", "一", "三"):
        pair_encoder.encode("手机", [hypothesis], 512)
    cache = pair_encoder._encoded_hypothesis.cache_info
    assert cache().misses == 3
    pair_encoder.encode("手机", ["一"], 512)
    assert cache().misses == 3
    pair_encoder.encode("手机", ["二"], 512)
    assert cache().misses == 4


def test_a_missing_or_invalid_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"tokenizer\.json is missing"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EngineError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer(tmp_path)


def test_the_layout_of_a_pair_is_that_of_the_tokenizers_post_processor() -> None:
    tokenizer = load_tokenizer(ENGINE)
    assert pair_layout(tokenizer) == PairLayout((2,), (3,), (3,), (0,), 0, 1)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    assert pair_layout(tokenizer) == PairLayout((2,), (3, 3), (3,), (0, 0), 0, 0)


def test_a_model_without_token_types_gets_zeros() -> None:
    assert not encoder(token_types=1).encode("手机", ["投诉"], 512).token_type_ids.any()


def test_rows_are_int64_as_the_engine_takes_them() -> None:
    rows = encoder().encode("手机", ["投诉"], 512)
    assert {rows.input_ids.dtype, rows.attention_mask.dtype, rows.token_type_ids.dtype} == {np.dtype(np.int64)}


def test_rows_are_padded_to_the_requested_length() -> None:
    rows = encoder().encode("手机", ["投诉", "咨询"], 512, pad_to=32)
    assert rows.input_ids.shape == rows.attention_mask.shape == rows.token_type_ids.shape == (2, 32)
    assert rows.attention_mask.sum(axis=1).tolist() == [7, 7]
    assert not rows.input_ids[:, 7:].any()


def test_a_pair_longer_than_its_bucket_is_refused_with_a_code() -> None:
    with pytest.raises(
        PairTooLong, match=r"^pair_too_long: a pair has 33 tokens, more than the 32 of its bucket$"
    ):
        encoder().encode("手" * 28, ["投诉"], 512, pad_to=32)


def test_unknown_tokens_are_told_of_the_text_and_of_each_label() -> None:
    rows = encoder().encode("手机🤖机", ["这是投诉", "这是🤖"], 512, labels=["投诉", "🤖"])
    assert rows.unknown.tolist() == [[0.25, 0.0], [0.25, 1.0]]


@pytest.mark.parametrize("text", ["\u200b", "\u0007\ufeff", "\ufffd"])
def test_what_the_tokenizer_makes_nothing_of_is_refused(text: str) -> None:
    with pytest.raises(NothingToRead, match=r"^nothing_to_read: text$"):
        encoder().encode(text, ["投诉"], 512)
    with pytest.raises(NothingToRead, match=r"^nothing_to_read: labels 1,3$"):
        encoder().encode("手机", ["投诉", text, "咨询", text + text], 512)


def test_a_label_without_tokens_is_refused_though_its_template_has_some() -> None:
    with pytest.raises(NothingToRead, match=r"^nothing_to_read: labels 0$"):
        encoder().encode("手机", ["这是\u200b"], 512, labels=["\u200b"])
