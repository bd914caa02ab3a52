"""Labels and a template become hypotheses. Knows nothing about tokens."""

from __future__ import annotations

from collections.abc import Sequence

from python_backend.errors import InvalidRequest

PLACEHOLDER = "{}"
DEFAULT_TEMPLATE = PLACEHOLDER
"""ModelScope's default: the hypothesis is the label."""
MAX_LABEL_CHARACTERS = 1_024
MAX_TEMPLATE_CHARACTERS = 1_024


def check_labels(labels: Sequence[str], *, most: int) -> None:
    """Refuse no label, more than `most`, an empty or overlong label, and a label given twice."""
    if not labels:
        raise InvalidRequest("labels: at least one label is needed")
    if len(labels) > most:
        raise InvalidRequest(
            f"labels: {len(labels)} labels, at most {most} in one request; send the rest in another"
        )
    seen: set[str] = set()
    for label in labels:
        if not label.strip():
            raise InvalidRequest("labels: a label is empty")
        if len(label) > MAX_LABEL_CHARACTERS:
            raise InvalidRequest(f"labels: a label has {len(label)} characters, at most {MAX_LABEL_CHARACTERS}")
        if label in seen:
            raise InvalidRequest("labels: a label is given twice")
        seen.add(label)


def hypotheses(labels: Sequence[str], template: str) -> list[str]:
    """One hypothesis a label; the placeholder is replaced literally.

    `str.format` on a caller's template would be a memory bomb (`{:>999999999}`) and an attribute leak.
    """
    if template.count(PLACEHOLDER) != 1:
        raise InvalidRequest("hypothesis_template: exactly one {} is needed, where the label goes")
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise InvalidRequest(f"hypothesis_template: {len(template)} characters, at most {MAX_TEMPLATE_CHARACTERS}")
    before, after = template.split(PLACEHOLDER)
    return [f"{before}{label}{after}" for label in labels]
