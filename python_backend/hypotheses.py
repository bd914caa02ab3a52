"""Turns candidate labels and a template into hypotheses."""

from __future__ import annotations

from collections.abc import Sequence

from python_backend.errors import InvalidInput

PLACEHOLDER = "{}"
MAX_LABEL_CHARACTERS = 1_024
MAX_TEMPLATE_CHARACTERS = 1_024


def check_labels(labels: Sequence[str], *, max_labels: int) -> None:
    """Raise `InvalidInput` for no label or more than `max_labels`, and for an empty, overlong or repeated one."""
    if not labels:
        raise InvalidInput("labels: at least one label is needed")
    if len(labels) > max_labels:
        raise InvalidInput(
            f"labels: {len(labels)} labels, at most {max_labels} per request; split them over several requests"
        )
    seen: set[str] = set()
    for label in labels:
        check_label(label)
        if label in seen:
            raise InvalidInput("labels: a label is given twice")
        seen.add(label)


def check_label(label: str) -> None:
    """Raise `InvalidInput` for an empty or overlong one."""
    if not label.strip():
        raise InvalidInput("labels: a label is empty")
    if len(label) > MAX_LABEL_CHARACTERS:
        raise InvalidInput(f"labels: a label has {len(label)} characters, at most {MAX_LABEL_CHARACTERS}")


def check_template(template: str) -> None:
    """Raise `InvalidInput` unless it has one place for the label, and for an overlong one."""
    if template.count(PLACEHOLDER) != 1:
        raise InvalidInput("hypothesis_template: exactly one {} is needed, where the label goes")
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise InvalidInput(f"hypothesis_template: {len(template)} characters, at most {MAX_TEMPLATE_CHARACTERS}")


def hypotheses(labels: Sequence[str], template: str) -> list[str]:
    """One hypothesis per label; `InvalidInput` for a bad template."""
    check_template(template)
    return [fill(template, label) for label in labels]


def fill(template: str, label: str) -> str:
    """`template`, which has been checked, with its `{}` replaced by the label.

    `str.format` is not used: a template from a caller could exhaust memory (`{:>999999999}`) or read attributes.
    """
    return template.replace(PLACEHOLDER, label)
