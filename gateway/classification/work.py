"""One request under way, and what comes of it."""

from __future__ import annotations

from msgspec import Struct

from gateway.cache.pair_cache import unpack
from gateway.classification.options import CallOptions
from gateway.classification.pairs import PairList, RowValues
from gateway.classification.request import ClassificationRequest
from gateway.classification.schema import CachedTokens, TextResult, Usage
from gateway.classification.scoring import Logits
from gateway.scheduling.lane import Load
from gateway.tenancy.quotas import Charge
from gateway.triton.backend import Engine
from web.authentication import Caller


class Work(Struct):
    """What one request asks for, until when, and what it has cost so far."""

    pairs: PairList
    max_tokens: int
    """Of a pair."""
    max_call: Load
    """What its calls to Triton may hold."""
    caller: Caller
    options: CallOptions
    charge: Charge
    max_in_flight: int | None
    deadline: float
    """On the event loop's clock."""
    triton_s: float = 0.0
    computed: int = 0
    estimated_tokens: int = 0
    tokens: int = 0
    """Of the computed pairs, as the engine counted them."""
    engines: dict[str, Engine] = {}
    """Those that computed for it."""

    def begin_attempt(self) -> None:
        """What an attempt that met another engine has computed is computed again."""
        self.computed = self.estimated_tokens = self.tokens = 0
        self.engines = {}


class PairValues(Struct, frozen=True):
    """Packed values of every pair, row by row, all from one engine; and what they cost."""

    rows: list[RowValues]
    engine: Engine
    computed: int
    cached: int
    tokens: int
    """Of the computed pairs."""
    triton_s: float

    def unpack(self, row: RowValues) -> tuple[list[Logits], list[tuple[int, int, int]], list[tuple[float, float]]]:
        return unpack([value for value in row.values if value is not None])

    def pair_results(self) -> dict[tuple[str, str], PairResult]:
        """By text and hypothesis."""
        return {
            (row.row.text, label): PairResult(logits, length, text_cut > 0 or label_cut > 0, any(unknown))
            for row in self.rows
            for label, logits, (length, text_cut, label_cut), unknown in zip(
                row.row.labels, *self.unpack(row), strict=True
            )
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
