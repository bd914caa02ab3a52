import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from python_backend.batching import MAX_PADDING_PERCENT, MIN_ROWS, plan_batches

lengths = st.lists(st.integers(1, 512), max_size=200)


@given(lengths)
def test_every_row_is_in_one_batch_within_the_bounds(row_lengths: list[int]) -> None:
    batches = plan_batches(row_lengths, max_rows=32, max_padded_tokens=2_048)
    assert sorted(np.concatenate(batches).tolist() if batches else []) == list(range(len(row_lengths)))
    for batch in batches:
        max_length = max(row_lengths[i] for i in batch)
        assert len(batch) <= 32
        assert len(batch) == 1 or len(batch) * max_length <= 2_048


@given(lengths)
def test_larger_batches_have_little_padding(row_lengths: list[int]) -> None:
    for batch in plan_batches(row_lengths, max_rows=32, max_padded_tokens=2_048):
        padded_tokens = len(batch) * max(row_lengths[i] for i in batch)
        padding = padded_tokens - sum(row_lengths[i] for i in batch)
        assert len(batch) <= MIN_ROWS or 100 * padding <= MAX_PADDING_PERCENT * padded_tokens


def test_a_batch_holds_no_more_rows_than_its_bound() -> None:
    assert [len(batch) for batch in plan_batches([1] * 100, max_rows=32, max_padded_tokens=4_096)] == [
        32,
        32,
        32,
        4,
    ]


def test_rows_that_may_not_be_mixed_make_a_batch_for_each_length() -> None:
    batches = plan_batches([8, 16, 8, 16, 24], max_rows=32, max_padded_tokens=4_096, mixed=False)
    assert [batch.tolist() for batch in batches] == [[0, 2], [1, 3], [4]]


def test_rows_of_the_same_length_make_one_batch() -> None:
    assert [len(batch) for batch in plan_batches([20] * 40, max_rows=64, max_padded_tokens=4_096)] == [40]
