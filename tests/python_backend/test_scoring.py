import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.classification.scoring import ranking as gateway_ranking
from python_backend.scoring import rank

logits = arrays(np.float32, st.tuples(st.integers(1, 20), st.just(3)), elements=st.floats(-20, 20, width=32))


def test_single_label_scores_are_a_softmax_of_the_entailment_logits() -> None:
    ranking = rank(np.array([[0, 9, 9], [np.log(3), 0, 0]], dtype=np.float32), multi_label=False)
    assert ranking.order.tolist() == [1, 0]
    assert ranking.scores.tolist() == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize(("rows", "multi_label"), [(1, False), (2, True)])
def test_multi_label_and_only_one_label_weigh_entailment_against_contradiction(
    rows: int, multi_label: bool
) -> None:
    values = np.array([[np.log(4), 50, 0]] * rows, dtype=np.float32)
    assert rank(values, multi_label=multi_label).scores.tolist() == pytest.approx([0.8] * rows)


def test_ties_come_in_reverse_as_in_modelscope() -> None:
    assert rank(np.zeros((3, 3), dtype=np.float32), multi_label=False).order.tolist() == [2, 1, 0]


@given(logits, st.booleans())
def test_the_gateway_ranks_as_triton_does(values: np.ndarray, multi_label: bool) -> None:
    labels = [str(i) for i in range(len(values))]
    ranking = rank(values, multi_label=multi_label)
    order, by_label = gateway_ranking([tuple(row) for row in values.tolist()], multi_label=multi_label)
    names, scores = [labels[index] for index in order], [by_label[index] for index in order]
    assert scores == pytest.approx(ranking.scores.tolist(), abs=1e-6)
    by_name = dict(zip(names, scores, strict=True))
    assert [by_name[str(i)] for i in ranking.order] == pytest.approx(scores, abs=1e-6)
