"""Turns a request's body into a question that Triton can answer, or refuses it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, Struct, UnsetType

from gateway.errors import InvalidRequest
from gateway.schema import ClassifyBody
from gateway.settings import Settings

PLACEHOLDER = "{}"


class KnownLabels(Struct, frozen=True):
    """Labels of a tenant's set: what they are called, and what is said of a text."""

    reference: str
    names: tuple[str, ...]
    hypotheses: tuple[str, ...]
    multi_label: bool
    max_tokens: int | None
    threshold: float | None


class Question(Struct, frozen=True):
    """Texts and labels that fit the limits."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    template: str
    multi_label: bool
    max_tokens: int | None
    """The caller's token limit; None: the engine's."""
    single: bool
    """The caller gave `text`, and wants one answer instead of a list."""
    names: tuple[str, ...] = ()
    """What the answer calls the labels, where that is not what Triton is asked."""
    threshold: float | None = None
    """Least probability of entailment of the best label; below it, it is none of these."""
    label_set: str | None = None
    """`name@version`, where the labels are from."""
    entailment: bool = False
    """Tell each label's own probability of entailment."""

    @property
    def pairs(self) -> int:
        return len(self.texts) * len(self.labels)


def ask(body: ClassifyBody, limits: Settings) -> Question:
    """Check everything that can be checked without tokens; `InvalidRequest` names the field."""
    texts = _texts(body, limits)
    if isinstance(body.labels, UnsetType):
        raise InvalidRequest("give either labels or label_set", field="labels")
    labels = _labels(body.labels, limits)
    if body.hypothesis_template.count(PLACEHOLDER) != 1:
        raise InvalidRequest("exactly one {} is needed, where the label goes", field="hypothesis_template")
    _check_length(body.hypothesis_template, limits.max_template_characters, "hypothesis_template")
    if body.max_tokens is not None and not limits.min_tokens <= body.max_tokens <= limits.max_tokens:
        raise InvalidRequest(
            f"{body.max_tokens} is outside {limits.min_tokens} to {limits.max_tokens}", field="max_tokens"
        )
    question = Question(
        texts,
        labels,
        body.hypothesis_template,
        body.multi_label,
        body.max_tokens,
        body.text is not UNSET,
        entailment=body.entailment,
    )
    _check_pairs(question, limits)
    return question


def ask_with(body: ClassifyBody, known: KnownLabels, limits: Settings) -> Question:
    """The texts of `body` with labels that were checked when they were kept."""
    for name, default in (("hypothesis_template", PLACEHOLDER), ("multi_label", False), ("max_tokens", None)):
        if getattr(body, name) != default:
            raise InvalidRequest("the label set says that; leave it out", field=name)
    question = Question(
        texts=_texts(body, limits),
        labels=known.hypotheses,
        template=PLACEHOLDER,
        multi_label=known.multi_label,
        max_tokens=known.max_tokens,
        single=body.text is not UNSET,
        names=known.names,
        threshold=known.threshold,
        label_set=known.reference,
        entailment=body.entailment,
    )
    _check_pairs(question, limits)
    return question


def _check_pairs(question: Question, limits: Settings) -> None:
    texts, labels = question.texts, question.labels
    if question.pairs > limits.max_pairs:
        raise InvalidRequest(
            f"{len(texts)} texts with {len(labels)} labels are {question.pairs} pairs, "
            f"at most {limits.max_pairs} in one request",
            field="texts",
        )


def split_labels(labels: str) -> list[str]:
    """Labels of one string, split at `,` and `，` as ModelScope's `_parse_labels` does."""
    return [label.strip() for label in labels.replace("，", ",").split(",") if label.strip()]


def _texts(body: ClassifyBody, limits: Settings) -> tuple[str, ...]:
    if (body.text is UNSET) == (body.texts is UNSET):
        raise InvalidRequest("give either text or texts", field="text")
    if isinstance(body.text, str):
        _check_text(body.text, limits, "text")
        return (body.text,)
    assert isinstance(body.texts, list)
    if not 1 <= len(body.texts) <= limits.max_texts:
        raise InvalidRequest(f"{len(body.texts)} texts, 1 to {limits.max_texts} are possible", field="texts")
    for place, text in enumerate(body.texts):
        _check_text(text, limits, f"texts[{place}]")
    return tuple(body.texts)


def _check_text(text: str, limits: Settings, field: str) -> None:
    if not text.strip():
        raise InvalidRequest("empty", field=field)
    _check_length(text, limits.max_text_characters, field)


def _labels(given: str | Sequence[str], limits: Settings) -> tuple[str, ...]:
    labels = split_labels(given) if isinstance(given, str) else given
    if not labels:
        raise InvalidRequest("at least one label is needed", field="labels")
    if len(labels) > limits.max_labels:
        raise InvalidRequest(f"{len(labels)} labels, at most {limits.max_labels}", field="labels")
    seen: set[str] = set()
    for place, label in enumerate(labels):
        if not label.strip():
            raise InvalidRequest("empty", field=f"labels[{place}]")
        _check_length(label, limits.max_label_characters, f"labels[{place}]")
        if label in seen:
            raise InvalidRequest("given twice", field=f"labels[{place}]")
        seen.add(label)
    return tuple(labels)


def _check_length(value: str, most: int, field: str) -> None:
    if len(value) > most:
        raise InvalidRequest(f"{len(value)} characters, at most {most}", field=field)
