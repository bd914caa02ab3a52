"""One request under way, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from msgspec import Struct, field

from gateway.cache.pair_cache import unpack
from gateway.classification.pairs import PairAt, PairList, keys_of, missing_of
from gateway.classification.request import ClassificationRequest
from gateway.classification.schema import CachedTokens, TextResult, Usage
from gateway.classification.scoring import Logits
from gateway.scheduling.lane import NO_LOAD, Lane, Load
from gateway.tenancy.quotas import Charge
from gateway.triton.backend import Engine
from web.authentication import Caller


class Upstream(Struct):
    """A request's calls to Triton so far, also where it fails."""

    request_id: str = ""
    triton_s: float = 0.0
    """In all, from their turn to their answers."""
    turn_s: float = 0.0
    """What they have waited for their turn, in all."""
    replicas: set[str] = set()
    """Those that have answered."""


class CallOptions(Struct, frozen=True):
    """How the caller wants its answer, from the headers of the request."""

    fresh: bool = False
    """Compute every pair, though it may be cached."""
    timeout_s: float | None = None
    """How long the caller waits, up to the gateway's own deadline."""
    disconnected: Callable[[], Awaitable[None]] | None = None
    """Returns when nobody waits for the answer any more; awaited while something is computed."""
    upstream: Upstream = field(default_factory=Upstream)


class Work(Struct):
    """What one request asks for, until when, and what it has cost so far."""

    pairs: PairList
    max_tokens: int
    """Of a pair."""
    caller: Caller
    options: CallOptions
    charge: Charge
    lane: Lane
    """Of the fair queue."""
    deadline: float
    """On the event loop's clock."""
    call_slots: asyncio.Semaphore
    """For its calls that are under way."""
    label_set: str = ""
    """Name of the one that its labels are from, to count its usage; empty: none."""
    max_call: Load | None = None
    """What its calls to Triton may hold; None until it is planned."""
    engine: Engine | None = None
    """Whose values it wants, if any is certain."""
    keys: list[bytes] = []
    """Of its pairs in the cache; none while no engine is known."""
    values: list[bytes | None] = []
    """What is known of its pairs, packed."""
    computed: Load = NO_LOAD
    """What it pays for; the tokens are an estimate."""
    tokens: int = 0
    """Of the computed pairs, as the engine counted them."""
    engines: dict[str, Engine] = {}
    """Those of its values, by id."""

    def begin_attempt(self, engine: Engine | None) -> None:
        """What an attempt that met another engine has computed is computed again."""
        self.engine, self.computed, self.tokens = engine, NO_LOAD, 0
        self.engines = {} if engine is None else {engine.id: engine}
        self.keys = [] if engine is None else keys_of(self.pairs, self.caller.tenant_id, engine)
        self.values = [None] * len(self.pairs)

    def missing(self) -> Iterator[PairAt]:
        return missing_of(self.pairs, self.keys, self.values)


class PairValues(Struct, frozen=True):
    """Packed values of every pair, row by row, all from one engine; and what they cost."""

    pairs: PairList
    values: list[bytes]
    engine: Engine
    computed: int
    cached: int
    tokens: int
    """Of the computed pairs."""

    def by_row(self) -> Iterator[tuple[list[Logits], list[tuple[int, int, int]], list[tuple[float, float]]]]:
        """Logits, token counts and shares of unknown tokens of each row's pairs."""
        start = 0
        for row in self.pairs.rows:
            yield unpack(self.values[start : start + len(row.labels)])
            start += len(row.labels)

    def pair_results(self) -> dict[tuple[str, str], PairResult]:
        """By text and hypothesis."""
        return {
            (text, label): PairResult(logits, length, text_cut > 0 or label_cut > 0, any(unknown))
            for (text, labels), of_row in zip(self.pairs.rows, self.by_row(), strict=True)
            for label, logits, (length, text_cut, label_cut), unknown in zip(labels, *of_row, strict=True)
        }

    def usage(self, prompt_tokens: int) -> Usage:
        """`prompt_tokens`: of all pairs, whoever computed them."""
        return Usage(prompt_tokens, prompt_tokens, CachedTokens(max(0, prompt_tokens - self.tokens)))


class Outcome(Struct, frozen=True):
    """The results of a request, in the order of its texts."""

    request: ClassificationRequest
    results: list[TextResult]
    values: PairValues
    usage: Usage

    @property
    def model(self) -> str:
        """As APIs name it whose clients ask for a label set by the name of a model."""
        label_set = self.request.label_set
        return label_set.reference if label_set else self.values.engine.name


class PairResult(Struct, frozen=True):
    """What is known of one pair."""

    logits: Logits
    tokens: int
    truncated: bool
    has_unknown: bool
    """Whether the model does not know all tokens of the text and the hypothesis."""


class PairOutcome(Struct, frozen=True):
    """The results of unrelated pairs, in their order."""

    results: list[PairResult]
    values: PairValues
    usage: Usage


class EngineChanged(Exception):
    """Pairs of one request came from two engines; asked again, they come from one."""
