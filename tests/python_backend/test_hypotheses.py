import pytest

from python_backend.errors import InvalidRequest
from python_backend.hypotheses import check_labels, hypotheses


def test_the_placeholder_is_replaced_literally() -> None:
    """A label or template that is a format string stays what it is."""
    assert hypotheses(["{0}", "{:>99}"], "关于{}的{0.__class__}") == [
        "关于{0}的{0.__class__}",
        "关于{:>99}的{0.__class__}",
    ]


@pytest.mark.parametrize("template", ["", "关于", "{}{}", "{0}", "x" * 2_000 + "{}"])
def test_a_template_needs_exactly_one_placeholder_and_a_sane_length(template: str) -> None:
    with pytest.raises(InvalidRequest, match="hypothesis_template"):
        hypotheses(["投诉"], template)


@pytest.mark.parametrize("labels", [[], [" "], ["a", "a"], ["a", "b", "c", "d"], ["x" * 2_000]])
def test_labels_that_cannot_be_answered_are_refused(labels: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="labels"):
        check_labels(labels, most=3)
