"""The unit of work, a list of pairs of a text and a hypothesis; and the plan of where each value comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Struct

from gateway.cache.pair_cache import pair_keys
from gateway.cache.single_flight import Flight, SingleFlight
from gateway.classification.tokens import MIN_PAIR_TOKENS, encoding_cost, estimate_tokens, pair_tokens
from gateway.errors import NothingToRead
from gateway.scheduling.lane import Load
from gateway.triton.backend import Engine, InferenceCall, Pair
from gateway.triton.length_buckets import bucket_of
from stores.errors import ServiceError


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

    def named(self, error: ServiceError, row: int, label: int) -> ServiceError:
        """With the caller's own name of the text or label that has nothing to read."""
        if not isinstance(error, NothingToRead):
            return error
        if error.of_label and self.hypothesis:
            return NothingToRead(field=self.hypothesis)
        if error.of_label and self.labels:
            return NothingToRead(field=f"{self.labels}[{label}]")
        return NothingToRead(field=self.of_text(row))


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


class PairAt(NamedTuple):
    """One pair of a request: its row, and the index of its label there."""

    row: RowValues
    label: int

    @property
    def key(self) -> bytes | None:
        return self.row.keys[self.label] if self.row.keys else None


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """Pairs of one request that one call to Triton computes."""

    pairs: list[PairAt]
    load: Load
    """Estimated."""

    @property
    def keys(self) -> list[bytes]:
        """Empty while no engine is known."""
        return [pair.key for pair in self.pairs if pair.key is not None]

    def inference_call(self, pairs: PairList, deadline: float, length_buckets: Sequence[int]) -> InferenceCall:
        """As Triton is asked; `pairs` are those of the request."""
        asked = [
            Pair(row.row.text, row.row.labels[label], pairs.template, pairs.max_tokens)
            for row, label in self.pairs
        ]
        return InferenceCall(asked, deadline, bucket_of(length_buckets, asked))


@dataclass(frozen=True, slots=True)
class Part:
    """Pairs of a request that a flight computes, and their indices in the flight's result."""

    flight: Flight[Computed]
    pairs: list[PairAt]
    result_indices: list[int]

    async def fill(self) -> Engine:
        """Wait for the flight, and put its values where they belong; the engine that they are from."""
        computed = await self.flight.result()
        for (row, index), result_index in zip(self.pairs, self.result_indices, strict=True):
            row.values[index] = computed.values[result_index]
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
    missing: Iterable[PairAt],
    flights: SingleFlight[Computed],
    max_call: Load,
    max_tokens: int,
    *,
    fresh: bool,
) -> list[PlannedCall]:
    """Calls of at most `max_call` for the missing pairs that nobody computes; each pair once.

    `max_tokens`: of a pair. A pair that is larger than `max_call` by itself is a call of its own.

    `fresh`: nothing is joined, for the caller wants its pairs computed anew.
    """
    planned: set[bytes] = set()
    pairs = []
    for pair in missing:
        key = pair.key
        if key is not None and not fresh:
            if key in planned or flights.find(key) is not None:
                continue
            planned.add(key)
        pairs.append(pair)
    return split_calls(pairs, max_call, max_tokens)


def split_calls(pairs: Iterable[PairAt], max_call: Load, max_tokens: int) -> list[PlannedCall]:
    """The pairs, row by row, in calls of at most `max_call`."""
    calls: list[PlannedCall] = []
    part: list[PairAt] = []
    row: RowValues | None = None
    tokens = text_tokens = encoding = 0
    for pair in pairs:
        max_call_tokens = max_call.tokens
        added = 0
        if pair.row is not row:
            row = pair.row
            text_tokens = estimate_tokens(row.row.text)
            encoding = added = encoding_cost(text_tokens)
        else:
            # A text that is long to encode is encoded for few calls.
            max_call_tokens = encoding + max(max_call_tokens, 2 * encoding)
        label_tokens = estimate_tokens(row.row.labels[pair.label])
        cost = max(MIN_PAIR_TOKENS, pair_tokens(text_tokens, label_tokens, max_tokens))
        if part and (len(part) == max_call.pairs or tokens + added + cost > max_call_tokens):
            calls.append(PlannedCall(part, Load(len(part), tokens)))
            part, tokens, added = [], 0, encoding
        part.append(pair)
        tokens += added + cost
    if part:
        calls.append(PlannedCall(part, Load(len(part), tokens)))
    return calls


def missing_of(rows: Iterable[RowValues]) -> Iterator[PairAt]:
    """The pairs whose values are not known."""
    return (PairAt(row, index) for row in rows for index in row.missing())


def plan_joins(
    missing: Sequence[PairAt], calls: Sequence[PlannedCall], flights: SingleFlight[Computed]
) -> list[Part]:
    """Missing pairs beside those of `calls`: flights compute them, another request's or ours for an equal text."""
    if len(missing) == sum(len(call.pairs) for call in calls):
        return []
    own = {(id(row), index) for call in calls for row, index in call.pairs}
    parts: dict[int, Part] = {}
    for pair in missing:
        if (id(pair.row), pair.label) in own:
            continue
        under_way = flights.find(pair.row.keys[pair.label])
        assert under_way is not None, "nothing was awaited since the plan"
        flight, result_index = under_way
        part = parts.setdefault(id(flight), Part(flight, [], []))
        part.pairs.append(pair)
        part.result_indices.append(result_index)
    return list(parts.values())
