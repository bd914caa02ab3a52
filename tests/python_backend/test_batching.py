import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from python_backend.batching import MAX_WASTE, MIN_ROWS, plan_runs

lengths = st.lists(st.integers(1, 512), max_size=200)


@given(lengths)
def test_every_row_is_run_once_within_the_bounds(rows: list[int]) -> None:
    runs = plan_runs(rows, max_rows=32, max_cells=2_048)
    assert sorted(np.concatenate(runs).tolist() if runs else []) == list(range(len(rows)))
    for run in runs:
        longest = max(rows[i] for i in run)
        assert len(run) <= 32
        assert len(run) == 1 or len(run) * longest <= 2_048


@given(lengths)
def test_larger_runs_waste_little_padding(rows: list[int]) -> None:
    for run in plan_runs(rows, max_rows=32, max_cells=2_048):
        cells = len(run) * max(rows[i] for i in run)
        waste = cells - sum(rows[i] for i in run)
        assert len(run) <= MIN_ROWS or waste <= MAX_WASTE * cells


def test_a_run_holds_no_more_rows_than_its_bound() -> None:
    assert [len(run) for run in plan_runs([1] * 100, max_rows=32, max_cells=4_096)] == [32, 32, 32, 4]


def test_rows_of_one_length_make_one_run() -> None:
    assert [len(run) for run in plan_runs([20] * 40, max_rows=64, max_cells=4_096)] == [40]
