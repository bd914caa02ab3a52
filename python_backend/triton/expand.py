"""Triton model `expand`: encodes pairs of texts and labels as token rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from python_backend.errors import InvalidInput, InvalidTokenLimit
from python_backend.hypotheses import (
    MAX_LABEL_CHARACTERS,
    MAX_TEMPLATE_CHARACTERS,
    PLACEHOLDER,
    check_label,
    check_labels,
    check_template,
    fill,
    hypotheses,
)
from python_backend.manifest import load_manifest
from python_backend.settings import load_settings
from python_backend.tokenization import Pair, PairEncoder, TokenRows, load_tokenizer
from python_backend.triton import tensors
from python_backend.triton.requests import named, respond_to_each

MAX_PAIRS = 64
"""Labels per request: the `max_batch_size` of `structbert`, which a request of an ensemble cannot exceed."""
MAX_TEXT_CHARACTERS = 100_000
MIN_TOKENS = 8
MAX_PAD_TO = 512
"""Tokens of the longest bucket."""
LIMITS = (MAX_PAIRS, MAX_TEXT_CHARACTERS, MAX_LABEL_CHARACTERS, MAX_TEMPLATE_CHARACTERS)
CACHED_HYPOTHESES = 50_000

_Value = TypeVar("_Value")
log = logging.getLogger(__name__)


class ExpandModel:
    """Validates the request, tokenizes its pairs, and returns the identity of the engine they are for."""

    def initialize(self, args: dict[str, str]) -> None:
        settings = load_settings()
        self._manifest = load_manifest(settings.engine_folder)
        self._engine_id = self._manifest.served_id()
        self._encoder = PairEncoder(
            load_tokenizer(settings.engine_folder),
            truncation=self._manifest.truncation,
            token_types=self._manifest.token_types,
            cached_hypotheses=CACHED_HYPOTHESES,
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        return respond_to_each(requests, self._answer)

    def _answer(self, request: Any) -> list[Any]:
        pad_to = tensors.number(request, tensors.PAD_TO, 0)
        if pad_to and not MIN_TOKENS <= pad_to <= MAX_PAD_TO:
            raise InvalidInput(f"pad_to: {pad_to}, it must be {MIN_TOKENS} to {MAX_PAD_TO}")
        index = tensors.optional_array(request, tensors.PAIRS)
        encode = self._encode_labels if index is None else partial(self._encode_pairs, index=index)
        rows, limits = encode(request, pad_to=pad_to or None, as_text=_as_text(request))
        # Probes and counts of tokens have no id. Whatever runs the engine, this says where a request has been.
        if of_requests := named([request]):
            log.info("%d pairs of %d tokens", len(rows.tokens), rows.tokens[:, 0].sum(), extra=of_requests)
        refused = {str(pair): str(error) for pair, error in rows.refused.items()}
        return [
            *(tensors.output(name, getattr(rows, name)) for name in tensors.ENGINE_INPUTS),
            tensors.output(tensors.TOKENS, rows.tokens),
            tensors.output(tensors.UNKNOWN, rows.unknown),
            tensors.string_output(tensors.REFUSED, [json.dumps(refused) if refused else ""]),
            tensors.output(tensors.TEXT_TOKENS, rows.text_tokens),
            tensors.output(tensors.TOKEN_LIMIT, limits),
            tensors.output(tensors.LIMITS, np.array(LIMITS, dtype=np.int32)),
            tensors.string_output(tensors.ENGINE_ID, [self._engine_id]),
            tensors.string_output(tensors.ENGINE_NAME, [self._manifest.name]),
            tensors.string_output(tensors.CONTRACT, [self._manifest.contract(self._engine_id)]),
        ]

    def _encode_labels(
        self, request: Any, *, pad_to: int | None, as_text: bool
    ) -> tuple[TokenRows, NDArray[np.int32]]:
        """One text with each label; invalid as a whole. Also the token limit, `[1]` int32."""
        text = tensors.string(request, tensors.TEXT)
        check_text(text)
        labels = tensors.strings(request, tensors.LABELS) or []
        check_labels(labels, max_labels=MAX_PAIRS)
        max_tokens = self._token_limit(tensors.number(request, tensors.MAX_TOKENS, 0))
        template = tensors.string(request, tensors.TEMPLATE, "") or self._manifest.default_template
        rows = self._encoder.encode(
            text,
            hypotheses(labels, template),
            max_tokens,
            labels=None if template == PLACEHOLDER else labels,
            pad_to=pad_to,
            as_text=as_text,
        )
        return rows, np.array([max_tokens], dtype=np.int32)

    def _encode_pairs(
        self, request: Any, *, index: NDArray[Any], pad_to: int | None, as_text: bool
    ) -> tuple[TokenRows, NDArray[np.int32]]:
        """Any pairs, of which an invalid one is refused alone. Also the token limit of each, `[n]` int32."""
        texts = tensors.strings(request, tensors.TEXT) or []
        labels = tensors.strings(request, tensors.LABELS) or []
        templates = tensors.strings(request, tensors.TEMPLATE) or [""]
        _check_index(index, (len(texts), len(labels), len(templates)))
        templates = [template or self._manifest.default_template for template in templates]
        text_errors = [refusal(check_text, text) for text in texts]
        label_errors = [refusal(check_label, label) for label in labels]
        template_errors = [refusal(check_template, template) for template in templates]
        limit_errors = {limit: refusal(self._token_limit, limit) for limit in np.unique(index[:, 3]).tolist()}
        hypothesis_of: dict[tuple[int, int], int] = {}
        pairs, refused = [], {}
        for row, (text, label, template, max_tokens) in enumerate(index.tolist()):
            error = text_errors[text] or label_errors[label] or template_errors[template]
            error = error or limit_errors[max_tokens]
            if error is not None:
                refused[row] = error
            hypothesis = hypothesis_of.setdefault((template, label), len(hypothesis_of))
            pairs.append(Pair(text, hypothesis, max_tokens or self._manifest.max_tokens))
        # What is refused may be too long to be encoded.
        texts = ["" if error else text for text, error in zip(texts, text_errors, strict=True)]
        labels = ["" if error else label for label, error in zip(labels, label_errors, strict=True)]
        templates = ["" if error else each for each, error in zip(templates, template_errors, strict=True)]
        rows = self._encoder.encode_pairs(
            texts,
            [fill(templates[template], labels[label]) for template, label in hypothesis_of],
            pairs,
            labels=[labels[label] for _, label in hypothesis_of],
            pad_to=pad_to,
            refused=refused,
            as_text=as_text,
        )
        return rows, np.array([pair.max_tokens for pair in pairs], dtype=np.int32)

    def _token_limit(self, max_tokens: int) -> int:
        """The caller's, or the engine's where that is 0."""
        limit = self._manifest.max_tokens
        if max_tokens and not MIN_TOKENS <= max_tokens <= limit:
            raise InvalidTokenLimit(f"{max_tokens} tokens, this engine takes {MIN_TOKENS} to {limit}")
        return max_tokens or limit


def check_text(text: str) -> None:
    if not text.strip():
        raise InvalidInput("text: empty")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidInput(f"text: {len(text)} characters, at most {MAX_TEXT_CHARACTERS}")


def refusal(check: Callable[[_Value], object], value: _Value) -> InvalidInput | None:
    """What `check` raises of the value."""
    try:
        check(value)
    except InvalidInput as error:
        return error
    return None


def _as_text(request: Any) -> bool:
    """Whether special tokens in texts, labels and templates are text."""
    value = tensors.string(request, tensors.SPECIAL_TOKENS, tensors.MODEL)
    if value not in (tensors.MODEL, tensors.AS_TEXT):
        raise InvalidInput(f"special_tokens: expected {tensors.MODEL} or {tensors.AS_TEXT}")
    return value == tensors.AS_TEXT


def _check_index(index: NDArray[Any], sizes: tuple[int, int, int]) -> None:
    """`InvalidInput` unless it names texts, labels and templates that there are, as many as a batch takes."""
    if index.ndim != 2 or index.shape[1] != len(sizes) + 1 or not 1 <= len(index) <= MAX_PAIRS:
        raise InvalidInput(f"pairs: shape {list(index.shape)}, expected [1 to {MAX_PAIRS}, 4]")
    if len(np.unique(index[:, 0])) != sizes[0]:
        raise InvalidInput("pairs: a text belongs to no pair, or an index is outside the texts")
    if max(sizes) > MAX_PAIRS or index.min() < 0 or (index[:, : len(sizes)] >= sizes).any():
        raise InvalidInput(
            "pairs: an index is outside the texts, labels or templates, or these are more than the pairs"
        )
