"""Validation: the body of a request becomes a `ClassificationRequest`, or is refused."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, Struct, structs

from gateway.classification.pairs import PairList, Row, Source
from gateway.classification.schema import ClassifyBody, TokenizeBody
from gateway.settings import Settings
from stores.correction import Correction
from stores.errors import InvalidRequest
from stores.label_sets import PLACEHOLDER, LabelSet, normalized
from stores.special_tokens import MODEL, TEXT, SpecialTokens, as_text

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
    threshold: float | None = None
    """Least probability of entailment of the best label; below it the answer is none of these."""
    label_set: str | None = None
    """`name@version`, where the labels are from one."""
    entailment: bool = False
    """Tell each label's own probability of entailment."""
    correction: Correction | None = None
    """The label set's."""


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
    of_set = None if label_set is None else label_set.content.special_tokens
    special_tokens = body.special_tokens or of_set or special_tokens
    if label_set is not None:
        return _with_label_set(body, texts, label_set, settings, special_tokens)
    if body.labels is UNSET:
        raise InvalidRequest("give either labels or label_set", field="labels")
    assert isinstance(body.labels, str | list)
    labels = _labels(body.labels, settings)
    template = DEFAULT_TEMPLATE
    if body.hypothesis_template is not None:
        template = body.hypothesis_template
        if template.count(PLACEHOLDER) != 1:
            raise InvalidRequest("needs exactly one {}, where the label goes", field="hypothesis_template")
        _check_length(template, settings.max_template_characters, "hypothesis_template")
    if body.max_tokens is not None and not settings.min_tokens <= body.max_tokens <= settings.max_tokens:
        raise InvalidRequest(
            f"{body.max_tokens} is outside {settings.min_tokens} to {settings.max_tokens}", field="max_tokens"
        )
    return ClassificationRequest(
        _pairs(body, texts, labels, template, body.max_tokens, settings, special_tokens),
        labels,
        body.multi_label,
        body.text is not UNSET,
        entailment=body.entailment,
    )


def validate_pairs(
    pairs: Sequence[tuple[str, str]],
    settings: Settings,
    source: Source,
    special_tokens: SpecialTokens = MODEL,
    *,
    truncate: bool = True,
) -> tuple[Sequence[tuple[str, str]], PairList]:
    """Unrelated pairs of a text and a hypothesis, from the fields of `source`; equal texts share a row.

    Also the pairs in their order, as they are in these rows: the tenant's `special_tokens` may be text.
    """
    field = source.texts
    if not 1 <= len(pairs) <= settings.max_texts:
        raise InvalidRequest(f"{len(pairs)} pairs; 1 to {settings.max_texts} are allowed", field=field)
    for position, (text, hypothesis) in enumerate(pairs):
        _check(text, settings.max_text_characters, f"{field}[{position}]")
        _check(hypothesis, settings.max_label_characters, source.hypothesis or f"{field}[{position}]")
    if special_tokens == TEXT:
        texts, hypotheses = zip(*pairs, strict=True)
        texts = _as_text(texts, settings.max_text_characters, field)
        pairs = list(
            zip(
                texts, _as_text(hypotheses, settings.max_label_characters, source.hypothesis or field), strict=True
            )
        )
    hypotheses_of: dict[str, dict[str, None]] = {}
    positions: dict[str, int] = {}
    for position, (text, hypothesis) in enumerate(pairs):
        hypotheses_of.setdefault(text, {})[hypothesis] = None
        positions.setdefault(text, position)
    rows = tuple(Row(text, tuple(hypotheses)) for text, hypotheses in hypotheses_of.items())
    source = structs.replace(source, positions=tuple(positions.values()))
    return pairs, PairList(rows, PLACEHOLDER, None, source, truncate)


def is_text_alone(body: TokenizeBody) -> bool:
    return body.labels is UNSET and body.label_set is UNSET


def body_to_tokenize(body: TokenizeBody) -> ClassifyBody:
    """As if its text were to be classified; a text alone stands with a label that is of no interest."""
    labels = [ANY_LABEL] if is_text_alone(body) else body.labels
    return ClassifyBody(**(structs.asdict(body) | {"labels": labels}))


def split_labels(labels: str) -> list[str]:
    """Labels of one string, split at `,` and `，` as ModelScope's `_parse_labels` does."""
    return [label.strip() for label in labels.replace("，", ",").split(",") if label.strip()]


def _with_label_set(
    body: ClassifyBody,
    texts: tuple[str, ...],
    label_set: LabelSet,
    settings: Settings,
    special_tokens: SpecialTokens,
) -> ClassificationRequest:
    for name, default in (("hypothesis_template", None), ("multi_label", False), ("max_tokens", None)):
        if getattr(body, name) != default:
            raise InvalidRequest("the label set determines it; leave it out", field=name)
    content = label_set.content
    return ClassificationRequest(
        _pairs(body, texts, content.hypotheses, PLACEHOLDER, content.max_tokens, settings, special_tokens),
        content.names,
        content.multi_label,
        body.text is not UNSET,
        content.threshold,
        label_set.reference,
        body.entailment,
        content.correction,
    )


def _pairs(
    body: ClassifyBody,
    texts: tuple[str, ...],
    labels: tuple[str, ...],
    template: str,
    max_tokens: int | None,
    settings: Settings,
    special_tokens: SpecialTokens,
) -> PairList:
    count = len(texts) * len(labels)
    if count > settings.max_pairs:
        raise InvalidRequest(
            f"{len(texts)} texts with {len(labels)} labels are {count} pairs, at most {settings.max_pairs} are "
            "allowed in one request",
            field="texts",
        )
    source = Source(
        "texts" if body.text is UNSET else "text", "labels" if body.label_set is UNSET else "label_set"
    )
    if special_tokens == TEXT:
        texts = _as_text(texts, settings.max_text_characters, source.texts)
        labels = _as_text(labels, settings.max_label_characters, source.labels)
        (template,) = _as_text((template,), settings.max_template_characters, "hypothesis_template")
    rows = tuple(Row(text, labels) for text in texts)
    return PairList(rows, template, max_tokens, source, body.truncate)


def _as_text(values: tuple[str, ...], max_characters: int, field: str) -> tuple[str, ...]:
    """Without special tokens; `InvalidRequest` where the blanks that this takes make one too long."""
    values = tuple(map(as_text, values))
    if max(map(len, values)) > max_characters:
        raise InvalidRequest(
            f"more than {max_characters} characters; where special_tokens is text, each [ counts twice",
            field=field,
        )
    return values


def _texts(body: ClassifyBody, settings: Settings) -> tuple[str, ...]:
    if (body.text is UNSET) == (body.texts is UNSET):
        raise InvalidRequest("give either text or texts", field="text")
    if isinstance(body.text, str):
        _check(body.text, settings.max_text_characters, "text")
        return (body.text,)
    assert isinstance(body.texts, list)
    if not 1 <= len(body.texts) <= settings.max_texts:
        raise InvalidRequest(f"{len(body.texts)} texts; 1 to {settings.max_texts} are allowed", field="texts")
    for position, text in enumerate(body.texts):
        _check(text, settings.max_text_characters, f"texts[{position}]")
    return tuple(body.texts)


def _labels(given: str | list[str], settings: Settings) -> tuple[str, ...]:
    if isinstance(given, str):
        _check_length(given, settings.max_labels * (settings.max_label_characters + 1), "labels")
    labels = split_labels(given) if isinstance(given, str) else given
    if not labels:
        raise InvalidRequest("at least one label is needed", field="labels")
    if len(labels) > settings.max_labels:
        raise InvalidRequest(f"{len(labels)} labels, at most {settings.max_labels} are allowed", field="labels")
    if isinstance(given, str) and len(labels) == 1 and not OTHER_SEPARATORS.isdisjoint(given):
        raise InvalidRequest(
            "the string is one label, for only , and ， separate labels; if it is meant, give it in a list",
            field="labels",
        )
    seen: set[str] = set()
    for position, label in enumerate(labels):
        _check(label, settings.max_label_characters, f"labels[{position}]")
        spelling = normalized(label)
        if spelling in seen:
            raise InvalidRequest("duplicate label", field=f"labels[{position}]")
        seen.add(spelling)
    return tuple(labels)


def _check(value: str, max_characters: int, field: str) -> None:
    """`InvalidRequest` for a text or a label that is empty or too long."""
    if not value.strip():
        raise InvalidRequest("empty", field=field)
    _check_length(value, max_characters, field)


def _check_length(value: str, max_characters: int, field: str) -> None:
    if len(value) > max_characters:
        raise InvalidRequest(f"{len(value)} characters, at most {max_characters} are allowed", field=field)
