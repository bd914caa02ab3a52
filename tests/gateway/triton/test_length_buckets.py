import unicodedata
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.triton.backend import Pair
from gateway.triton.length_buckets import bucket_of, buckets_for, may_exceed, token_upper_bound
from python_backend.errors import NothingToRead
from python_backend.hypotheses import hypotheses
from python_backend.tokenization import PairEncoder, load_tokenizer

EMBEDDED = Path(__file__).parents[3] / "embedded"
ENCODER = PairEncoder(load_tokenizer(EMBEDDED), truncation="longest_first", token_types=2, cached_hypotheses=100)
TEXTS = st.text(min_size=1, max_size=60) | st.text(alphabet="각힣İŉǖẞﬃ한국語ok[SEP]5 ", min_size=1, max_size=60)


@settings(max_examples=300)
@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3, unique=True), st.sampled_from(["{}", "这是关于{}的"]))
def test_no_pair_of_the_real_tokenizer_is_longer_than_the_bound(
    text: str, labels: list[str], template: str
) -> None:
    try:
        rows = ENCODER.encode(text, hypotheses(labels, template), 512)
    except NothingToRead:
        return
    pairs = [Pair(text, label, template, None) for label in labels]
    assert rows.input_ids.shape[1] <= max(token_upper_bound(pair, 512) for pair in pairs)


@given(TEXTS, TEXTS, st.sampled_from(["{}", "这是关于{}的"]), st.integers(20, 200))
def test_no_byte_level_tokenizer_makes_more_tokens_than_may_be(
    text: str, label: str, template: str, limit: int
) -> None:
    """A token of each byte is the most that any makes."""
    tokens = len(unicodedata.normalize("NFKC", text + template.replace("{}", label)).encode()) + 4
    assert tokens <= limit or may_exceed(text, [label], template, limit)


def test_a_default_template_may_be_long() -> None:
    assert not may_exceed("text", ["label"], "{}", 64)
    assert may_exceed("text", ["label"], "", 64)


def test_the_bound_is_exact_for_chinese() -> None:
    assert token_upper_bound(Pair("这个手机", "建议吗", "{}", None), 512) == 4 + 3 + 3
    assert ENCODER.encode("这个手机", ["建议吗"], 512).input_ids.shape[1] == 10


def test_a_token_limit_bounds_it() -> None:
    assert token_upper_bound(Pair("手" * 1_000, "投诉", "{}", None), 64) == 64
    assert token_upper_bound(Pair("手" * 1_000, "投诉", "{}", 50), 64) == 50


def test_the_shortest_bucket_that_holds_the_pair_comes_first() -> None:
    buckets = (32, 64, 128)
    assert buckets_for(buckets, 10) == [32, 64, 128]
    assert buckets_for(buckets, 32) == [32, 64, 128]
    assert buckets_for(buckets, 33) == [64, 128]


def test_the_longest_pair_chooses_the_bucket() -> None:
    short, long = Pair("手机", "投诉", "{}", None), Pair("手" * 40, "投诉", "{}", None)
    assert bucket_of((32, 64, 128), [short]) == 32
    assert bucket_of((32, 64, 128), [short, long, short]) == 64
    assert bucket_of((), [long]) == 0


def test_a_pair_longer_than_every_bucket_is_asked_of_the_longest_which_may_cut_it() -> None:
    assert list(buckets_for((32, 64), 500)) == [64]
