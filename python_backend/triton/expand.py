"""Triton model `expand`: encodes a text and its labels as token rows, one per label."""

from __future__ import annotations

from typing import Any

import numpy as np

from python_backend.errors import InvalidInput, InvalidTokenLimit
from python_backend.hypotheses import (
    MAX_LABEL_CHARACTERS,
    MAX_TEMPLATE_CHARACTERS,
    PLACEHOLDER,
    check_labels,
    hypotheses,
)
from python_backend.manifest import load_manifest
from python_backend.settings import load_settings
from python_backend.tokenization import PairEncoder, load_tokenizer
from python_backend.triton import tensors
from python_backend.triton.requests import respond_to_each

MAX_PAIRS = 64
"""Labels per request: the `max_batch_size` of `structbert`, which a request of an ensemble cannot exceed."""
MAX_TEXT_CHARACTERS = 100_000
MIN_TOKENS = 8
MAX_PAD_TO = 512
"""Tokens of the longest bucket."""
LIMITS = (MAX_PAIRS, MAX_TEXT_CHARACTERS, MAX_LABEL_CHARACTERS, MAX_TEMPLATE_CHARACTERS)
CACHED_HYPOTHESES = 50_000


class ExpandModel:
    """Validates the request, tokenizes its pairs, and returns the identity of the engine they are for."""

    def initialize(self, args: dict[str, str]) -> None:
        settings = load_settings()
        self._manifest = load_manifest(settings.engine_folder)
        self._engine_id = self._manifest.served_id(settings.engine_runtime)
        self._encoder = PairEncoder(
            load_tokenizer(settings.engine_folder),
            truncation=self._manifest.truncation,
            token_types=self._manifest.token_types,
            cached_hypotheses=CACHED_HYPOTHESES,
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        return respond_to_each(requests, self._answer)

    def _answer(self, request: Any) -> list[Any]:
        text = tensors.string(request, tensors.TEXT)
        if not text.strip():
            raise InvalidInput("text: empty")
        if len(text) > MAX_TEXT_CHARACTERS:
            raise InvalidInput(f"text: {len(text)} characters, at most {MAX_TEXT_CHARACTERS}")
        labels = tensors.strings(request, tensors.LABELS) or []
        check_labels(labels, max_labels=MAX_PAIRS)
        limit = self._manifest.max_tokens
        max_tokens = tensors.number(request, tensors.MAX_TOKENS, 0) or limit
        if not MIN_TOKENS <= max_tokens <= limit:
            raise InvalidTokenLimit(f"{max_tokens} tokens, this engine takes {MIN_TOKENS} to {limit}")
        template = tensors.string(request, tensors.TEMPLATE, "") or self._manifest.default_template
        pad_to = tensors.number(request, tensors.PAD_TO, 0)
        if pad_to and not MIN_TOKENS <= pad_to <= MAX_PAD_TO:
            raise InvalidInput(f"pad_to: {pad_to}, it must be {MIN_TOKENS} to {MAX_PAD_TO}")
        rows = self._encoder.encode(
            text,
            hypotheses(labels, template),
            max_tokens,
            labels=None if template == PLACEHOLDER else labels,
            pad_to=pad_to or None,
        )
        return [
            *(tensors.output(name, getattr(rows, name)) for name in tensors.ENGINE_INPUTS),
            tensors.output(tensors.TOKENS, rows.tokens),
            tensors.output(tensors.UNKNOWN, rows.unknown),
            tensors.output(tensors.TEXT_TOKENS, np.array([rows.text_tokens], dtype=np.int32)),
            tensors.output(tensors.TOKEN_LIMIT, np.array([max_tokens], dtype=np.int32)),
            tensors.output(tensors.LIMITS, np.array(LIMITS, dtype=np.int32)),
            tensors.string_output(tensors.ENGINE_ID, [self._engine_id]),
            tensors.string_output(tensors.ENGINE_NAME, [self._manifest.name]),
            tensors.string_output(tensors.CONTRACT, [self._manifest.contract(self._engine_id)]),
        ]
