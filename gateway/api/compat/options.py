"""Inputs and options of other APIs; what a text classifier cannot honour is refused by name, not ignored.

Clients send null for what their callers leave out, so each option but `return_documents` takes it as its default.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct

from gateway.classification.schema import ClassifyBody
from stores.errors import InvalidRequest

MAX_TOKENS = 512
"""No pair is longer, so a limit of at least this many tokens changes nothing."""
ALL_TOKENS = -1
"""In vLLM's API: as many as the model accepts."""

Document = str | dict[str, Any]
"""A text, or an object with a `text`."""
NOT_TEXT = frozenset({"image", "image_url", "video", "video_url", "audio", "content"})


NEUTRAL = {"max_chunks_per_doc": 1, "rank_fields": ["text"]}
"""Values that change nothing: a text is one chunk, and only the text is read."""
TOKEN_LIMITS = frozenset({"truncate_prompt_tokens", "max_tokens_per_doc", "max_tokens_per_query"})
TruncationDirection = Literal["right", "Right"] | None
"""Text Embeddings Inference's; the token limit cuts the end of a text."""
OF_VLLM = (*sorted(TOKEN_LIMITS), "instruction", "chat_template")


class VllmOptions(Struct):
    """The options of vLLM's APIs; those that only concern scheduling are ignored."""

    truncate: bool | None = True
    """`false`: refuse what is beyond the token limit; an extension of vLLM's API."""
    truncate_prompt_tokens: int | None = None
    max_tokens_per_doc: int | None = None
    max_tokens_per_query: int | None = None
    truncation_side: Literal["right"] | None = None
    use_activation: bool | None = None
    """`false`: logits of entailment instead of probabilities."""
    activation: bool | None = None
    """Its former name."""
    instruction: str | None = None
    chat_template: str | None = None

    @property
    def raw(self) -> bool:
        return self.use_activation is False or self.activation is False


def check_options(options: Struct, *names: str) -> None:
    """`InvalidRequest` for the first of `names` whose value would change the answer."""
    for name in names:
        value = getattr(options, name)
        if value is None or value == NEUTRAL.get(name):
            continue
        if name not in TOKEN_LIMITS:
            raise InvalidRequest("is not supported; leave it out", field=name)
        if value != ALL_TOKENS and value < MAX_TOKENS:
            raise InvalidRequest(f"must be at least {MAX_TOKENS}, or left out", field=name)


def text_of(document: Document, field: str) -> str:
    """The document's text; `InvalidRequest` if it has none, or also has images or audio."""
    if isinstance(document, str):
        return document
    other = sorted(NOT_TEXT & document.keys())
    if other:
        raise InvalidRequest("only text is classified", field=f"{field}.{other[0]}")
    text = document.get("text")
    if not isinstance(text, str):
        raise InvalidRequest("must be a text, or an object with a text", field=field)
    return text


def classify_body(
    model: str | None,
    labels: str | list[str] | None,
    texts: str | list[str],
    *,
    truncate: bool | None,
    **options: Any,
) -> ClassifyBody:
    """For APIs with a model but no labels: `model` names a label set, unless `labels` are given."""
    if labels is None and not model:
        raise InvalidRequest("name a label set as the model, or give labels", field="model")
    texts = [texts] if isinstance(texts, str) else texts
    label_set = model if labels is None and model else UNSET
    given = UNSET if labels is None else labels
    return ClassifyBody(given, label_set, texts=texts, truncate=truncate is not False, **options)
