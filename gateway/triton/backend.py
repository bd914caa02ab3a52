"""What computes logits, as a port: its calls and its answers. `client.py` is the real one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY = 0, 1, 3
"""In Triton's queue: 1 before 2 before 3; 0: Triton's default, which is 2."""


class InferenceCall(Struct, frozen=True):
    """The pairs of one text with some labels, which share a template and a token limit, and until when."""

    text: str
    labels: Sequence[str]
    template: str
    max_tokens: int | None
    """None: the engine's own limit."""
    deadline: float
    """On `time.monotonic`, which is the event loop's clock as well."""
    priority: int = DEFAULT_PRIORITY

    def remaining_s(self) -> float:
        """Never 0, which Triton takes for no timeout."""
        return max(0.001, self.deadline - time.monotonic())


class EngineLimits(NamedTuple):
    """What one call may have; `expand` refuses more."""

    pairs: int
    text_characters: int
    label_characters: int
    template_characters: int


@dataclass(frozen=True, slots=True)
class Engine:
    """What computed an answer."""

    id: str
    """Two engines with one id give the same answers."""
    name: str
    """What answers call the model."""
    limits: EngineLimits | None = None
    """Where they were asked for."""
    contract: Mapping[str, object] = field(default_factory=dict)
    """Where they were asked for: what the manifest tells of the model, such as its logits and longest pair."""

    def template_of(self, template: str) -> str:
        """The one that is meant; empty: the engine's default, as long as its contract is known."""
        return template or str(self.contract.get("default_template", ""))


@dataclass(frozen=True, slots=True)
class PairLogits:
    """The answer to a call, in the order of its labels."""

    logits: NDArray[np.float32]
    """`[labels, 3]` float32: entailment, neutral, contradiction."""
    tokens: NDArray[np.int32]
    """`[labels, 3]` int32: tokens of the pair, tokens truncated from the text, and from the hypothesis."""
    unknown: NDArray[np.float32]
    """`[labels, 2]` float32: share of tokens that the model does not know, of the text and of the label."""
    engine: Engine


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """How long one text is with some labels; nothing was classified."""

    limit: int
    """Maximum tokens of a pair."""
    text: int
    """Tokens of the text, before truncation."""
    pairs: NDArray[np.int32]
    """`[labels, 3]` int32, as in `PairLogits`."""
    unknown: NDArray[np.float32]
    """`[labels, 2]` float32, as in `PairLogits`."""


class Backend(Protocol):
    """Each call raises `TritonUnavailable`, `DeadlineExceeded` or `TritonFailed` when there is no good answer."""

    async def logits(self, call: InferenceCall) -> PairLogits: ...

    async def count_tokens(self, call: InferenceCall) -> TokenCounts:
        """Lengths of the call's pairs; no engine runs for it."""
        ...

    async def engine(self, timeout_s: float) -> Engine:
        """The engine that is loaded, with its limits; no engine runs for it."""
        ...

    async def probe(self, timeout_s: float) -> Engine:
        """The engine that has just computed one pair, ahead of everything in Triton's queue."""
        ...
