import numpy as np
import pytest

from python_backend.errors import InvalidInput
from python_backend.manifest import LABEL_ORDER, Manifest
from python_backend.rows import Rows, check_rows


def taking(max_tokens: int = 4, token_types: int = 2) -> Manifest:
    """An engine with a vocabulary of 10 tokens."""
    return Manifest("n", "i", "fp32", max_tokens, 10, LABEL_ORDER, "{}", token_types, "longest_first", "bert", ())


def valid_rows() -> Rows:
    ids = np.array([[2, 7, 3, 0], [2, 8, 9, 3]], dtype=np.int64)
    return {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64), "token_type_ids": np.zeros_like(ids)}


def test_valid_rows_pass() -> None:
    check_rows(valid_rows(), taking())


def test_padding_may_be_wider_than_the_model() -> None:
    """As in the bucket of 512 tokens, for a model that takes fewer."""
    check_rows(
        {name: np.pad(values, ((0, 0), (0, 9))) for name, values in valid_rows().items()},
        taking(),
    )


@pytest.mark.parametrize(
    ("name", "index", "value"),
    [
        ("input_ids", (0, 1), 10),
        ("input_ids", (1, 3), -1),
        ("token_type_ids", (0, 0), 2),
        ("attention_mask", (0, 0), 0),
        ("attention_mask", (0, slice(None)), 0),
        ("attention_mask", (1, 2), 5),
    ],
)
def test_a_row_that_would_fail_its_batch_is_refused(name: str, index: tuple[int, int | slice], value: int) -> None:
    rows = valid_rows()
    rows[name][index] = value
    with pytest.raises(InvalidInput, match=name):
        check_rows(rows, taking())


def test_unequal_shapes_and_overlong_rows_are_refused() -> None:
    rows = valid_rows()
    with pytest.raises(InvalidInput, match="a row has 4 tokens, at most 3"):
        check_rows(rows, taking(3))
    rows["attention_mask"] = rows["attention_mask"][:1]
    with pytest.raises(InvalidInput, match="shapes differ"):
        check_rows(rows, taking())


def test_a_model_without_token_types_takes_zeros_only() -> None:
    rows = valid_rows()
    check_rows(rows, taking(token_types=1))
    rows["token_type_ids"][0, 1] = 1
    with pytest.raises(InvalidInput, match=r"every value must be 0$"):
        check_rows(rows, taking(token_types=1))
