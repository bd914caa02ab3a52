import pytest

from python_backend.errors import InvalidInput
from python_backend.hypotheses import check_labels, hypotheses


def test_the_placeholder_is_replaced_literally() -> None:
    """Format strings in a label or a template are not evaluated."""
    assert hypotheses(["{0}", "{:>99}"], "关于{}的{0.__class__}") == [
        "关于{0}的{0.__class__}",
        "关于{:>99}的{0.__class__}",
    ]


@pytest.mark.parametrize("template", ["", "关于", "{}{}", "{0}", "x" * 2_000 + "{}"])
def test_a_template_has_exactly_one_placeholder_and_a_bounded_length(template: str) -> None:
    with pytest.raises(InvalidInput, match="hypothesis_template"):
        hypotheses(["投诉"], template)


@pytest.mark.parametrize("labels", [[], [" "], ["a", "a"], ["a", "b", "c", "d"], ["x" * 2_000]])
def test_invalid_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(InvalidInput, match="labels"):
        check_labels(labels, max_labels=3)
