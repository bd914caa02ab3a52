"""What computes logits, as a port: its calls and its answers. `client.py` is the real one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.errors import TritonUnavailable
from stores.errors import ServiceError
from stores.special_tokens import MODEL, SpecialTokens

CALL_TIMEOUT_S = 60.0
"""Requests end sooner, at their own deadlines; a call that did would make room while Triton still computes it."""


class Pair(NamedTuple):
    """A text and a label in a template; `max_tokens` None: the engine's own limit."""

    text: str
    label: str
    template: str
    max_tokens: int | None


class InferenceCall(Struct, frozen=True):
    """Pairs, which may be of many requests."""

    pairs: Sequence[Pair]
    timeout_s: float = CALL_TIMEOUT_S
    """From when it is sent."""
    bucket: int = 0
    """Where lengths are served in buckets: the shortest that may hold all pairs."""
    special_tokens: SpecialTokens = MODEL
    """What they are in all pairs."""
    trace: Mapping[str, str] = {}
    """Headers of the trace that it belongs to."""
    request_ids: tuple[str, ...] = ()
    """Of the requests that its pairs are of; Triton's log names them."""

    def group(self, engine_id: str | None) -> Hashable:
        """Calls of one group can be merged."""
        return engine_id, self.bucket, self.special_tokens


class EngineLimits(NamedTuple):
    """What one call may have, by the names of the settings; `expand` refuses more."""

    max_pairs_per_call: int
    max_text_characters: int
    max_label_characters: int
    max_template_characters: int


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
    """The answer to a call, in the order of its pairs."""

    logits: NDArray[np.float32]
    """`[pairs, 3]` float32: entailment, neutral, contradiction."""
    tokens: NDArray[np.int32]
    """`[pairs, 3]` int32: tokens of the pair, tokens truncated from the text, and from the hypothesis."""
    unknown: NDArray[np.float32]
    """`[pairs, 2]` float32: share of tokens that the model does not know, of the text and of the label."""
    engine: Engine
    refused: Mapping[int, ServiceError] = field(default_factory=dict)
    """Why a pair has no answer, by its index; its other values mean nothing."""
    replica: str = ""
    """Address of the Triton that answered."""

    def completed(self, indices: Sequence[int], rest: PairLogits) -> PairLogits:
        """With the answer to the pairs at `indices` from `rest`; `TritonUnavailable` if another engine gave it."""
        if rest.engine.id != self.engine.id:
            raise TritonUnavailable("the engine changed while this call ran; try again")
        logits, tokens, unknown = np.array(self.logits), np.array(self.tokens), np.array(self.unknown)
        logits[indices], tokens[indices], unknown[indices] = rest.logits, rest.tokens, rest.unknown
        refused = {index: error for index, error in self.refused.items() if index not in indices}
        refused |= {indices[index]: error for index, error in rest.refused.items()}
        return PairLogits(logits, tokens, unknown, self.engine, refused, self.replica)

    def part(self, start: int, pairs: int) -> PairLogits:
        """That of some of the pairs, which follow each other."""
        end = start + pairs
        return PairLogits(
            self.logits[start:end],
            self.tokens[start:end],
            self.unknown[start:end],
            self.engine,
            {index - start: error for index, error in self.refused.items() if start <= index < end},
            self.replica,
        )


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
    refused: Mapping[int, ServiceError] = field(default_factory=dict)
    """As in `PairLogits`."""


class Backend(Protocol):
    """Each call raises `TritonUnavailable`, `DeadlineExceeded` or `TritonFailed` when there is no good answer."""

    async def logits(self, call: InferenceCall) -> PairLogits: ...

    async def count_tokens(self, call: InferenceCall) -> TokenCounts:
        """Lengths of the call's pairs, which are of one text; no engine runs for it."""
        ...

    async def engine(self, timeout_s: float) -> Engine:
        """The engine that is loaded, with its limits; no engine runs for it."""
        ...

    async def probe(self, timeout_s: float) -> Engine:
        """The engine that has just computed one pair."""
        ...
