"""What an engine's manifest says of its model: how pairs are made of requests, and what the logits mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.errors import SnapshotError
from engine.network import max_tokens_of, token_types_of
from engine.recipe import LABEL_ORDER, MAX_TOKENS
from engine.snapshot import Snapshot
from engine.tokenizer import uses_fast
from python_backend.manifest import MAX_DEFAULT_TEMPLATE_BYTES

PLACEHOLDER = "{}"
MODELSCOPE_TEMPLATE = PLACEHOLDER
"""ModelScope's default: the label itself is the hypothesis."""
TRANSFORMERS_TEMPLATE = "This example is {}."
"""The default of transformers' pipeline for zero-shot classification."""
MIN_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Told:
    """What the user tells of a model that its snapshot may not."""

    logits: Sequence[str] | None = None
    """What each row of the classifier stands for."""
    default_template: str | None = None
    max_tokens: int | None = None
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything of a model that is neither in its graph nor in its tokenizer."""

    architecture: str
    logits: tuple[str, ...]
    """Which of `LABEL_ORDER` the model computes; the graph adds constants for the others."""
    max_tokens: int
    vocabulary: int
    token_types: int
    """2, or 1 where the model takes none."""
    truncation: str
    """One of `python_backend.truncation.TRUNCATIONS`."""
    default_template: str
    languages: tuple[str, ...]


def contract_of(
    folder: Path,
    snapshot: Snapshot,
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    told: Told,
) -> Contract:
    """Of a staged snapshot; `SnapshotError` for what was told and cannot be."""
    longest = min(max_tokens_of(snapshot, network), _tokenizer_max_tokens(tokenizer))
    if told.max_tokens is not None and not MIN_TOKENS <= told.max_tokens <= longest:
        raise SnapshotError(
            f"--max-tokens {told.max_tokens} is outside what the model takes, {MIN_TOKENS} to {longest}"
        )
    template = told.default_template
    if template is None:
        is_nli = not snapshot.is_structbert and len(snapshot.logits) > 1
        template = TRANSFORMERS_TEMPLATE if is_nli else MODELSCOPE_TEMPLATE
    if template.count(PLACEHOLDER) != 1 or len(template.encode()) > MAX_DEFAULT_TEMPLATE_BYTES:
        raise SnapshotError(
            f"--template {template!r} needs exactly one {PLACEHOLDER}, where the label goes, "
            f"in at most {MAX_DEFAULT_TEMPLATE_BYTES} bytes"
        )
    return Contract(
        architecture=snapshot.architecture,
        logits=tuple(name for name in LABEL_ORDER if name in snapshot.logits),
        max_tokens=told.max_tokens or longest,
        vocabulary=snapshot.config["vocab_size"],
        token_types=token_types_of(snapshot),
        truncation=_truncation(folder, snapshot),
        default_template=template,
        languages=told.languages or (("zh",) if snapshot.is_structbert else ()),
    )


def _tokenizer_max_tokens(tokenizer: PreTrainedTokenizerBase) -> int:
    length: float = tokenizer.model_max_length
    if not length >= MIN_TOKENS:
        raise SnapshotError(
            f"tokenizer_config.json: model_max_length is {length!r}, it must be at least {MIN_TOKENS}"
        )
    return int(min(length, MAX_TOKENS))


def _truncation(folder: Path, snapshot: Snapshot) -> str:
    """ModelScope's slow tokenizer, its fast one, and the two pipelines of transformers."""
    if snapshot.is_structbert:
        return "longest_first_fast" if uses_fast(folder) else "longest_first"
    return "only_first" if len(snapshot.logits) > 1 else "longest_first_fast"
