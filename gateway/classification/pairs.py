"""The unit of work, a list of pairs of a text and a hypothesis; and the plan of where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Struct

from gateway.cache.pair_cache import pair_keys
from gateway.cache.single_flight import Flight, SingleFlight
from gateway.classification.tokens import MIN_PAIR_TOKENS, encoding_cost, estimate_tokens, pair_tokens
from gateway.errors import NothingToRead
from gateway.scheduling.fair_queue import Load
from gateway.triton.backend import Engine


class Row(NamedTuple):
    """One text with the labels that it is paired with."""

    text: str
    labels: tuple[str, ...]


class Source(Struct, frozen=True):
    """Where the caller wrote the texts and labels, for refusals that only the tokenizer can give."""

    texts: str = "texts"
    labels: str = ""
    """Empty: a label stands beside its text."""
    positions: tuple[int, ...] | None = None
    """Of each row's first text in that list; None: their order is the rows'."""
    hypothesis: str = ""
    """Of the one hypothesis that all texts share; empty: there are several."""

    def of_text(self, row: int) -> str:
        return (
            self.texts
            if self.texts == "text"
            else f"{self.texts}[{self.positions[row] if self.positions else row}]"
        )

    def named(self, error: NothingToRead, row: int, labels: Sequence[int]) -> NothingToRead:
        """With the caller's own name of what a call to Triton with these of the row's labels calls otherwise."""
        indices = [labels[index] for index in error.labels if index < len(labels)]
        if indices and self.hypothesis:
            return NothingToRead(field=self.hypothesis)
        if not indices or not self.labels:
            return NothingToRead(field=self.of_text(row))
        return NothingToRead(field=f"{self.labels}[{indices[0]}]")


class PairList(Struct, frozen=True):
    """Pairs, row by row; the hypothesis of a label is the template with `{}` replaced by it."""

    rows: tuple[Row, ...]
    template: str
    max_tokens: int | None
    """The caller's token limit; None: the engine's."""
    source: Source = Source()
    truncate: bool = True
    """Whether pairs beyond the limit are truncated; False: the request is refused."""

    def __len__(self) -> int:
        return sum(len(row.labels) for row in self.rows)


class RowValues(Struct):
    """What is known of one row's pairs, in the order of its labels."""

    row: Row
    keys: list[bytes]
    """Of the cache; empty while no engine is known."""
    values: list[bytes | None]
    index: int = 0
    """Of the row in its list."""

    def missing(self) -> Iterator[int]:
        return (index for index, value in enumerate(self.values) if value is None)


@dataclass(frozen=True, slots=True)
class Computed:
    """The result of a flight: packed values of its pairs, and the engine that computed them."""

    values: list[bytes]
    engine: Engine


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """Pairs of one row that one call to Triton computes."""

    row: RowValues
    indices: list[int]
    load: Load
    """Estimated."""

    @property
    def labels(self) -> list[str]:
        return [self.row.row.labels[index] for index in self.indices]

    @property
    def keys(self) -> list[bytes]:
        """Empty while no engine is known."""
        return [self.row.keys[index] for index in self.indices] if self.row.keys else []


@dataclass(frozen=True, slots=True)
class Part:
    """Pairs of one row that a flight computes: their indices in the row, and in the flight's result."""

    row: RowValues
    flight: Flight[Computed]
    indices: list[int]
    result_indices: list[int]

    async def fill(self) -> Engine:
        """Wait for the flight, and put its values where they belong; the engine that they are from."""
        computed = await self.flight.result()
        for index, result_index in zip(self.indices, self.result_indices, strict=True):
            self.row.values[index] = computed.values[result_index]
        return computed.engine


def rows_of(pairs: PairList, tenant_id: str, engine: Engine | None) -> list[RowValues]:
    """Rows of which nothing is known yet, with their keys under `engine`."""
    rows = []
    for index, row in enumerate(pairs.rows):
        keys = []
        if engine is not None:
            template = engine.template_of(pairs.template)
            keys = pair_keys(tenant_id, engine.id, template, pairs.max_tokens, row.text, row.labels)
        rows.append(RowValues(row, keys, [None] * len(row.labels), index))
    return rows


def plan_calls(
    rows: Sequence[RowValues],
    flights: SingleFlight[Computed],
    max_call: Load,
    max_tokens: int,
    *,
    fresh: bool,
) -> list[PlannedCall]:
    """Calls of at most `max_call` for the pairs that are not known and that nobody computes; each pair once.

    `max_tokens`: of a pair. A pair that is larger than `max_call` by itself is a call of its own.

    `fresh`: nothing is joined, for the caller wants its pairs computed anew.
    """
    planned: set[bytes] = set()
    calls = []
    for row in rows:
        indices = []
        for index in row.missing():
            if row.keys and not fresh:
                key = row.keys[index]
                if key in planned or flights.find(key) is not None:
                    continue
                planned.add(key)
            indices.append(index)
        calls += split_call(row, indices, max_call, max_tokens)
    return calls


def split_call(row: RowValues, indices: Sequence[int], max_call: Load, max_tokens: int) -> list[PlannedCall]:
    """The pairs at `indices` of one row, in calls of at most `max_call`."""
    text_tokens = estimate_tokens(row.row.text)
    encoding = encoding_cost(text_tokens)
    # A text that is long to encode is encoded for few calls.
    max_call_tokens = encoding + max(max_call.tokens, 2 * encoding)
    calls: list[PlannedCall] = []
    part: list[int] = []
    tokens = encoding
    for index in indices:
        cost = max(MIN_PAIR_TOKENS, pair_tokens(text_tokens, estimate_tokens(row.row.labels[index]), max_tokens))
        if part and (len(part) == max_call.pairs or tokens + cost > max_call_tokens):
            calls.append(PlannedCall(row, part, Load(len(part), tokens)))
            part, tokens = [], encoding
        part.append(index)
        tokens += cost
    if part:
        calls.append(PlannedCall(row, part, Load(len(part), tokens)))
    return calls


def plan_joins(
    rows: Sequence[RowValues], calls: Sequence[PlannedCall], flights: SingleFlight[Computed]
) -> list[Part]:
    """Missing pairs beside those of `calls`: flights compute them, another request's or ours for an equal text."""
    own = {(id(call.row), index) for call in calls for index in call.indices}
    parts: list[Part] = []
    for row in rows:
        indices = [index for index in row.missing() if (id(row), index) not in own]
        joined = join_flights(row, indices, flights)
        assert sum(len(part.indices) for part in joined) == len(indices), "nothing was awaited since the plan"
        parts += joined
    return parts


def join_flights(row: RowValues, indices: Sequence[int], flights: SingleFlight[Computed]) -> list[Part]:
    """Those of the row's pairs at `indices` that flights compute, by flight."""
    parts: dict[int, Part] = {}
    for index in indices:
        under_way = flights.find(row.keys[index])
        if under_way is None:
            continue
        flight, result_index = under_way
        part = parts.setdefault(id(flight), Part(row, flight, [], []))
        part.indices.append(index)
        part.result_indices.append(result_index)
    return list(parts.values())
