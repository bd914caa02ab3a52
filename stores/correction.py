"""A label set's correction: what examples have taught about the model's logits for its labels."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from stores.errors import InvalidRequest

MAX_MAP_LABELS = 64
"""Of a correction with a map: it has a weight for each two labels, and each text is multiplied with it."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
MAX_VALUE = 100.0
"""Of a bias or a weight, whatever its sign; logits are rarely beyond 10."""


class Correction(Struct, frozen=True, forbid_unknown_fields=True):
    """Changes the entailment logits of a text's labels before they become scores.

    With one label to choose, `x` is a label's logit less `mean`, the mean over the labels, and becomes
    `mean + x / temperature + bias + Σ weights · x of all labels`. With `multi_label` or a single label, `x` is its
    logit less that of contradiction, and becomes `contradiction + x / temperature + bias`.
    """

    biases: tuple[float, ...]
    """One for each label, in their order."""
    temperature: float = 1.0
    map: tuple[tuple[float, ...], ...] | None = None
    """A row for each label, of one weight for each label."""


def validate_correction(correction: Correction, labels: int, *, multi_label: bool) -> None:
    """`InvalidRequest` for one that does not fit the labels, or whose numbers could overflow."""
    biases, rows = correction.biases, correction.map
    if not MIN_TEMPERATURE <= correction.temperature <= MAX_TEMPERATURE:
        raise InvalidRequest(
            f"must be between {MIN_TEMPERATURE:g} and {MAX_TEMPERATURE:g}", field="correction.temperature"
        )
    _check_values(biases, labels, "correction.biases")
    if rows is None:
        return
    if multi_label or labels == 1:
        raise InvalidRequest(
            "leave it out: labels that are scored one by one have biases and a temperature alone",
            field="correction.map",
        )
    if labels > MAX_MAP_LABELS:
        raise InvalidRequest(
            f"the set has {labels} labels; a map is for at most {MAX_MAP_LABELS}", field="correction.map"
        )
    if len(rows) != labels:
        raise InvalidRequest(f"{len(rows)} rows for {labels} labels", field="correction.map")
    for position, row in enumerate(rows):
        _check_values(row, labels, f"correction.map[{position}]")


def _check_values(values: tuple[float, ...], labels: int, field: str) -> None:
    if len(values) != labels:
        raise InvalidRequest(f"{len(values)} numbers for {labels} labels", field=field)
    if not _bounded(values):
        raise InvalidRequest(f"numbers must be between {-MAX_VALUE:g} and {MAX_VALUE:g}", field=field)


def _bounded(values: Iterable[float]) -> bool:
    """Not a number is not between any two."""
    return all(-MAX_VALUE <= value <= MAX_VALUE for value in values)
