"""Inputs and options of other APIs; what a text classifier cannot honour is refused by name, never ignored."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct

from gateway.classification.schema import ClassifyBody
from stores.errors import InvalidRequest

MAX_TOKENS = 512
"""No pair has more, so a limit of at least as many changes nothing."""
ALL_TOKENS = -1
"""vLLM's way to say: as many as the model takes."""

Document = str | dict[str, Any]
"""A text, or an object that has it as `text`."""
NOT_TEXT = frozenset({"image", "image_url", "video", "video_url", "audio", "content"})


NEUTRAL = {"max_chunks_per_doc": 1, "rank_fields": ["text"]}
"""Values that ask for what is done anyway: a text is one chunk, and nothing but it is read."""
TOKEN_LIMITS = frozenset({"truncate_prompt_tokens", "max_tokens_per_doc", "max_tokens_per_query"})
OF_VLLM = (*sorted(TOKEN_LIMITS), "instruction", "chat_template")


class VllmOptions(Struct):
    """What vLLM's APIs have beside their inputs; where it only says how to schedule, it is ignored."""

    truncate: bool = True
    """`false`: refuse what is beyond the token limit; not of vLLM."""
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
    """`InvalidRequest` for the first of `names` that asks for something else than what is done anyway."""
    for name in names:
        value = getattr(options, name)
        if value is None or value == NEUTRAL.get(name):
            continue
        if name not in TOKEN_LIMITS:
            raise InvalidRequest("is not supported; leave it out", field=name)
        if value != ALL_TOKENS and value < MAX_TOKENS:
            raise InvalidRequest(f"must be at least {MAX_TOKENS}, or left out", field=name)


def text_of(document: Document, field: str) -> str:
    """Its text; `InvalidRequest` where it has none, or something beside it that has to be seen or heard."""
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
    model: str | None, labels: str | list[str] | None, texts: str | list[str], **options: Any
) -> ClassifyBody:
    """Of an API that has a model and no labels: `model` names a label set, unless labels are given after all."""
    if labels is None and not model:
        raise InvalidRequest("name a label set, or give labels", field="model")
    texts = [texts] if isinstance(texts, str) else texts
    label_set = model if labels is None and model else UNSET
    return ClassifyBody(UNSET if labels is None else labels, label_set, texts=texts, **options)
