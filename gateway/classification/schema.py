"""The bodies and answers of `/v1/classify` and `/v1/tokenize`, as they travel."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from stores.special_tokens import SpecialTokens

LabelList = Annotated[list[str], Meta(title="LabelList")]
CommaSeparatedLabels = Annotated[str, Meta(title="CommaSeparatedLabels")]
Labels = Annotated[LabelList | CommaSeparatedLabels, Meta(title="Labels")]


class ClassifyBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/classify`."""

    labels: Labels | UnsetType = UNSET
    """A list, or one string with labels separated by `,` or `，`."""
    label_set: str | UnsetType = UNSET
    """In place of labels: a label set of the tenant, its newest version (`tickets`) or another (`tickets@3`)."""
    text: str | UnsetType = UNSET
    """One text, for one `ClassifyAnswer`."""
    texts: list[str] | UnsetType = UNSET
    """In place of `text`: several, for `ClassifyAnswers`."""
    hypothesis_template: str | None = None
    """A sentence with one `{}` for the label; null: the engine's default, which is `{}` for StructBERT."""
    multi_label: bool = False
    """Score each label on its own."""
    max_tokens: int | None = None
    """A lower limit for the tokens of text and label together; null: the engine's."""
    entailment: bool = False
    """Tell each label's own probability of entailment as well, which thresholds are compared with."""
    truncate: bool = True
    """`false`: refuse the request where the token limit would cut a text or a label."""
    special_tokens: SpecialTokens | None = None
    """`text`: `[SEP]` and its like are text; `model`: special tokens; null: the label set's, or the tenant's."""


class TokenizeBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/tokenize`: a text alone, or with labels as in `ClassifyBody`."""

    text: str
    labels: Labels | UnsetType = UNSET
    label_set: str | UnsetType = UNSET
    hypothesis_template: str | None = None
    """With `{}` for the label; null: the engine's default, which is `{}` for StructBERT."""
    max_tokens: int | None = None
    special_tokens: SpecialTokens | None = None


class Truncation(Struct, frozen=True):
    """How many tokens the limit cut off: the maximum over the pairs of a text."""

    max_tokens: int
    text_tokens: int
    label_tokens: int


class TextResult(Struct, frozen=True):
    """The answer for one text: labels by score, best first."""

    labels: list[str]
    scores: list[float]
    truncated: bool
    cut: Truncation | UnsetType = UNSET
    none_of_these: bool | UnsetType = UNSET
    """Whether the best label's probability of entailment is below the set's threshold; absent without one."""
    entailment: list[float] | UnsetType = UNSET
    """In the order of `labels`; only where asked for."""
    unknown_share: float | UnsetType = UNSET
    """Share of the text's tokens that the model does not know; absent where it knows all."""
    unknown_labels: list[str] | UnsetType = UNSET
    """Labels with tokens that the model does not know; absent where it knows all."""

    @property
    def has_unknown(self) -> bool:
        return self.unknown_share is not UNSET or self.unknown_labels is not UNSET


class PairCounts(Struct, frozen=True):
    """How many pairs were computed for this answer, and how many were known."""

    computed: int
    cached: int


class CachedTokens(Struct, frozen=True):
    cached_tokens: int


class Usage(Struct, frozen=True):
    """Tokens of all pairs, named as OpenAI names them, for what meters requests in front of the gateway."""

    prompt_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    """How many of them were not computed for this answer."""


class ClassifyAnswer(TextResult, frozen=True, kw_only=True):
    """The answer for `text`."""

    pairs: PairCounts
    usage: Usage
    model: str
    model_version: str
    request_id: str
    label_set: str | UnsetType = UNSET


class ClassifyAnswers(Struct, frozen=True):
    """The answer for `texts`, in their order."""

    results: list[TextResult]
    pairs: PairCounts
    usage: Usage
    model: str
    model_version: str
    request_id: str
    label_set: str | UnsetType = UNSET


class LabelTokens(Struct, frozen=True):
    """How long the pair of the text and this label is, and how much the limit cuts from each."""

    label: str
    tokens: int
    text_cut: int
    label_cut: int
    unknown_share: float
    """Of the label's tokens: those that the model does not know."""


class TokenizeAnswer(Struct, frozen=True):
    max_tokens: int
    text_tokens: int
    """Before truncation."""
    unknown_share: float
    """Of these: tokens that the model does not know."""
    labels: list[LabelTokens]
    truncated: bool
