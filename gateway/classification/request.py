"""Validation: the body of a request becomes a `ClassificationRequest`, or is refused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec import UNSET, Struct, structs

from gateway.cache.pair_cache import MAX_LABEL_LISTS
from gateway.classification.pairs import PairList, Row, Source
from gateway.classification.schema import ClassifyBody, TokenizeBody
from gateway.settings import Settings
from stores.errors import InvalidRequest
from stores.label_sets import (
    PLACEHOLDER,
    LabelSet,
    check_label_count,
    check_labels,
    check_length,
    check_max_tokens,
    check_template,
    check_text,
)
from stores.special_tokens import MODEL, SpecialTokens

OTHER_SEPARATORS = frozenset("、;；|\n\t")
"""What people put between labels by mistake."""
ANY_LABEL = "?"
DEFAULT_TEMPLATE = ""
"""The engine's, which Triton puts in its place."""


class ClassificationRequest(Struct, frozen=True):
    """Every text with every label, within the limits."""

    pairs: PairList
    names: tuple[str, ...]
    """What the answer calls the labels: a label set may have hypotheses of its own."""
    multi_label: bool
    single: bool
    """The caller gave `text`, and wants one answer instead of a list."""
    label_set: LabelSet | None = None
    """Where the labels are from one."""
    entailment: bool = False
    """Tell each label's own probability of entailment."""

    @property
    def label_set_name(self) -> str:
        """Empty where the labels are not from one."""
        return self.label_set.name if self.label_set else ""


def validate(
    body: ClassifyBody,
    settings: Settings,
    label_set: LabelSet | None = None,
    special_tokens: SpecialTokens = MODEL,
) -> ClassificationRequest:
    """Check everything that can be checked without a tokenizer; `InvalidRequest` names the field.

    `label_set` is the one that the body names; it was validated when it was stored. `special_tokens` are
    the tenant's, where neither the body nor the label set says what they are.
    """
    texts = _texts(body, settings)
    if label_set is not None:
        _refuse_overrides(body)
        content = label_set.content
        names, labels, template = content.names, content.hypotheses, PLACEHOLDER
        multi_label, max_tokens = content.multi_label, content.max_tokens
        special_tokens = content.special_tokens or special_tokens
    else:
        if body.labels is UNSET:
            raise InvalidRequest("give either labels or label_set", field="labels")
        given = body.labels if isinstance(body.labels, str) else tuple(body.labels)
        names = labels = _labels(given, settings)
        template, multi_label = body.hypothesis_template or DEFAULT_TEMPLATE, body.multi_label
        max_tokens = body.max_tokens
        if body.hypothesis_template is not None:
            check_template(body.hypothesis_template, settings)
        check_max_tokens(max_tokens, settings)
    source = Source("texts" if body.text is UNSET else "text", "labels" if label_set is None else "label_set")
    count = len(texts) * len(labels)
    if count > settings.max_pairs:
        raise InvalidRequest(
            f"{len(texts)} texts with {len(labels)} labels are {count} pairs, at most {settings.max_pairs} are "
            "allowed in one request",
            field="texts",
        )
    rows = tuple(Row(text, labels) for text in texts)
    return ClassificationRequest(
        PairList(rows, template, max_tokens, source, body.truncate, body.special_tokens or special_tokens),
        names,
        multi_label,
        body.text is not UNSET,
        label_set,
        body.entailment,
    )


def validate_pairs(
    pairs: Sequence[tuple[str, str]],
    settings: Settings,
    source: Source,
    special_tokens: SpecialTokens = MODEL,
    *,
    truncate: bool = True,
) -> PairList:
    """Unrelated pairs of a text and a hypothesis, from the fields of `source`; equal texts share a row."""
    field = source.texts
    if not 1 <= len(pairs) <= settings.max_texts:
        raise InvalidRequest(f"{len(pairs)} pairs; 1 to {settings.max_texts} are allowed", field=field)
    for position, (text, hypothesis) in enumerate(pairs):
        check_text(text, settings.max_text_characters, f"{field}[{position}]")
        check_text(hypothesis, settings.max_label_characters, source.hypothesis or f"{field}[{position}]")
    hypotheses_of: dict[str, dict[str, None]] = {}
    positions: dict[str, int] = {}
    for position, (text, hypothesis) in enumerate(pairs):
        hypotheses_of.setdefault(text, {})[hypothesis] = None
        positions.setdefault(text, position)
    rows = tuple(Row(text, tuple(hypotheses)) for text, hypotheses in hypotheses_of.items())
    source = structs.replace(source, positions=tuple(positions.values()))
    return PairList(rows, PLACEHOLDER, None, source, truncate, special_tokens)


def is_text_alone(body: TokenizeBody) -> bool:
    return body.labels is UNSET and body.label_set is UNSET


def body_to_tokenize(body: TokenizeBody) -> ClassifyBody:
    """As if its text were to be classified; a text alone stands with a label that is of no interest."""
    labels = [ANY_LABEL] if is_text_alone(body) else body.labels
    return ClassifyBody(**(structs.asdict(body) | {"labels": labels}))


def split_labels(labels: str) -> list[str]:
    """Labels of one string, split at `,` and `，` as ModelScope's `_parse_labels` does."""
    return [label.strip() for label in labels.replace("，", ",").split(",") if label.strip()]


def _refuse_overrides(body: ClassifyBody) -> None:
    for name, default in (("hypothesis_template", None), ("multi_label", False), ("max_tokens", None)):
        if getattr(body, name) != default:
            raise InvalidRequest("the label set determines it; leave it out", field=name)


def _texts(body: ClassifyBody, settings: Settings) -> tuple[str, ...]:
    if (body.text is UNSET) == (body.texts is UNSET):
        raise InvalidRequest("give either text or texts", field="text")
    if isinstance(body.text, str):
        check_text(body.text, settings.max_text_characters, "text")
        return (body.text,)
    assert isinstance(body.texts, list)
    if not 1 <= len(body.texts) <= settings.max_texts:
        raise InvalidRequest(f"{len(body.texts)} texts; 1 to {settings.max_texts} are allowed", field="texts")
    for position, text in enumerate(body.texts):
        check_text(text, settings.max_text_characters, f"texts[{position}]")
    return tuple(body.texts)


@lru_cache(MAX_LABEL_LISTS)
def _labels(given: str | tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    if isinstance(given, str):
        check_length(given, settings.max_labels * (settings.max_label_characters + 1), "labels")
    labels = split_labels(given) if isinstance(given, str) else given
    check_label_count(len(labels), settings.max_labels)
    if isinstance(given, str) and len(labels) == 1 and not OTHER_SEPARATORS.isdisjoint(given):
        raise InvalidRequest(
            "the string is one label, for only , and ， separate labels; if it is meant, give it in a list",
            field="labels",
        )
    check_labels(labels, settings)
    return (*labels,)
