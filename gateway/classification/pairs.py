"""The unit of work, a list of pairs of a text and a hypothesis; and the plan of where each value comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.cache.pair_cache import pair_keys
from gateway.cache.single_flight import Flight, SingleFlight
from gateway.classification.tokens import MIN_PAIR_TOKENS, encoding_cost, estimate_tokens, pair_tokens
from gateway.errors import NothingToRead
from gateway.scheduling.lane import Load
from gateway.triton.backend import Engine, InferenceCall, Pair
from gateway.triton.length_buckets import bucket_of
from stores.errors import ServiceError
from stores.special_tokens import MODEL, SpecialTokens


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
        if self.texts == "text":
            return self.texts
        return f"{self.texts}[{self.positions[row] if self.positions else row}]"

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
    special_tokens: SpecialTokens = MODEL
    """What they are in texts, labels and the template."""

    def __len__(self) -> int:
        return sum([len(row.labels) for row in self.rows])


@dataclass(frozen=True, slots=True)
class Computed:
    """The result of a flight: packed values of its pairs, and the engine that computed them."""

    values: list[bytes]
    engine: Engine


class PairAt(Struct, frozen=True):
    """One pair of a request, and where it stands."""

    asked: Pair
    """As Triton is asked."""
    key: bytes | None
    """Of the cache; None while no engine is known."""
    index: int
    """Among all pairs."""
    row: int
    label: int
    """Among those of the row."""


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """Pairs of one request that one call to Triton computes."""

    pairs: list[PairAt]
    load: Load
    """Estimated."""
    encoding: int
    """Tokens of the load that are for encoding the texts."""

    def tokens_more(self, counted: NDArray[np.int32]) -> int:
        """By how many tokens the pairs, of which the engine counted so many, exceed the estimate."""
        return int(np.maximum(counted, MIN_PAIR_TOKENS).sum()) + self.encoding - self.load.tokens

    def inference_call(self, request: PairList, length_buckets: Sequence[int], request_id: str) -> InferenceCall:
        """`request`: of which these pairs are."""
        pairs = [pair.asked for pair in self.pairs]
        return InferenceCall(
            pairs,
            bucket=bucket_of(length_buckets, pairs),
            special_tokens=request.special_tokens,
            request_ids=(request_id,),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Pairs of a request that a flight computes, and their indices in the flight's result."""

    flight: Flight[Computed]
    pairs: list[PairAt]
    result_indices: list[int]

    async def fill(self, values: list[bytes | None]) -> Engine:
        """Wait for the flight, and put its values where they belong; the engine that they are from."""
        computed = await self.flight.result()
        for pair, result_index in zip(self.pairs, self.result_indices, strict=True):
            values[pair.index] = computed.values[result_index]
        return computed.engine


def keys_of(pairs: PairList, tenant_id: str, engine: Engine) -> list[bytes]:
    """The keys of all pairs, under `engine`."""
    template = engine.template_of(pairs.template)
    return [
        key
        for text, labels in pairs.rows
        for key in pair_keys(
            tenant_id, engine.id, template, pairs.max_tokens, text, labels, special_tokens=pairs.special_tokens
        )
    ]


def missing_of(pairs: PairList, keys: Sequence[bytes], values: Sequence[bytes | None]) -> Iterator[PairAt]:
    """The pairs whose values are not known; without `keys` while no engine is known."""
    index = 0
    for row, (text, labels) in enumerate(pairs.rows):
        for position, label in enumerate(labels):
            if values[index] is None:
                asked = Pair(text, label, pairs.template, pairs.max_tokens)
                yield PairAt(asked, keys[index] if keys else None, index, row, position)
            index += 1


def plan(
    missing: Iterable[PairAt], flights: SingleFlight[Computed], *, fresh: bool
) -> tuple[list[PairAt], list[PairAt]]:
    """Pairs to compute, each once; and those that a flight computes, another request's or ours for an equal text.

    `fresh`: nothing is joined, for the caller wants its pairs computed anew.
    """
    planned: set[bytes] = set()
    to_compute, to_join = [], []
    for pair in missing:
        if pair.key is not None and not fresh:
            if pair.key in planned or flights.find(pair.key) is not None:
                to_join.append(pair)
                continue
            planned.add(pair.key)
        to_compute.append(pair)
    return to_compute, to_join


def split_calls(pairs: Iterable[PairAt], max_call: Load, max_tokens: int) -> list[PlannedCall]:
    """The pairs, row by row, in calls of at most `max_call`.

    `max_tokens`: of a pair. A pair that is larger than `max_call` by itself is a call of its own.
    """
    calls: list[PlannedCall] = []
    part: list[PairAt] = []
    row = -1
    tokens = of_pairs = text_tokens = encoding = 0
    for pair in pairs:
        max_call_tokens = max_call.tokens
        added = 0
        if pair.row != row:
            row = pair.row
            text_tokens = estimate_tokens(pair.asked.text)
            encoding = added = encoding_cost(text_tokens)
        else:
            # A text that is long to encode is encoded for few calls.
            max_call_tokens = encoding + max(max_call_tokens, 2 * encoding)
        label_tokens = estimate_tokens(pair.asked.label)
        cost = max(MIN_PAIR_TOKENS, pair_tokens(text_tokens, label_tokens, max_tokens))
        if part and (len(part) == max_call.pairs or tokens + added + cost > max_call_tokens):
            calls.append(PlannedCall(part, Load(len(part), tokens), tokens - of_pairs))
            part, tokens, of_pairs, added = [], 0, 0, encoding
        part.append(pair)
        tokens += added + cost
        of_pairs += cost
    if part:
        calls.append(PlannedCall(part, Load(len(part), tokens), tokens - of_pairs))
    return calls


def join(pairs: Iterable[PairAt], flights: SingleFlight[Computed]) -> list[Part]:
    """The flights that compute the pairs; since the plan, nothing may have been awaited."""
    parts: dict[int, Part] = {}
    for pair in pairs:
        under_way = flights.find(pair.key) if pair.key is not None else None
        assert under_way is not None, "nothing was awaited since the plan"
        flight, result_index = under_way
        part = parts.setdefault(id(flight), Part(flight, [], []))
        part.pairs.append(pair)
        part.result_indices.append(result_index)
    return list(parts.values())
