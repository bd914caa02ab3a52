"""Asks one Triton for the logits of a text's pairs. Knows the wire and its failures, nothing about scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.buckets import fitting, most_tokens
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    TritonFailed,
    TritonUnavailable,
)
from gateway.kserve import HEADER_LENGTH, ProtocolError, Values, decode_response, encode_request
from gateway.tracing import Tracing

MODEL = "zero_shot_logits"
EXPAND = "expand"
ENGINE_OUTPUTS = ("engine_id", "engine_name")
COUNTS = ("tokens", "text_tokens", "token_limit")
OUTPUTS = ("logits", "tokens", *ENGINE_OUTPUTS)
CONNECT_TIMEOUT_S = 2.0
TOKEN_LIMIT = "max_tokens: "
"""How `expand` begins its refusal of a token limit: only it knows what the engine was made for."""
UNHEALTHY = "is not healthy"
"""How Triton refuses for a model whose Python process is gone; it does not start another."""
PROBE_TEXT, PROBE_LABEL = "就绪检查", "是"
FIRST = 1
"""The priority before all others."""
TOO_SHORT = "pad_to: a pair has"
"""How `expand` refuses a pair longer than its bucket."""
QUEUE_TIMEOUT = "Request timeout expired"
"""How Triton's scheduler refuses what waited too long; a sign of load, not of an outage."""
MAX_REASON_CHARACTERS = 200


class BucketTooShort(TritonFailed):
    """A pair did not fit the bucket that was asked; never leaves this module."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What computed an answer."""

    id: str
    """Two engines with one id give one answer."""
    name: str
    """What answers call the model."""


@dataclass(frozen=True, slots=True)
class PairLogits:
    """Triton's answer for one text and some labels, in the order of the labels."""

    logits: NDArray[np.float32]
    """`[labels, 3]`: entailment, neutral, contradiction."""
    tokens: NDArray[np.int32]
    """`[labels, 3]`: tokens of the pair, tokens cut from the text, tokens cut from the hypothesis."""
    engine: Engine


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """How long one text is with some labels; nothing was classified."""

    limit: int
    """Tokens of a pair at most."""
    text: int
    """Tokens of the text, before any cut."""
    pairs: NDArray[np.int32]
    """`[labels, 3]`, as in `PairLogits`."""


class Classifier(Protocol):
    """What computes logits: Triton, or a fake in tests."""

    async def logits(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> PairLogits: ...

    async def tokens(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> TokenCounts: ...

    async def engine(self, timeout_s: float) -> Engine: ...

    async def probe(self, timeout_s: float) -> Engine: ...


class Triton:
    """The Triton server at `url`; `client` carries the connections to all of them.

    `priority`: 1 before 2 before 3 in Triton's queue; 0: its default, 2.
    Nobody waits longer than `timeout_s` for an answer, so Triton drops what is still queued by then. (What its
    HTTP front end has begun it cannot cancel.)
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        buckets: Sequence[int] = (),
        priority: int = 0,
        tracing: Tracing | None = None,
    ) -> None:
        self._client = client
        self._url = url
        self._buckets = buckets
        self._priority = priority
        self._tracing = tracing or Tracing()

    async def logits(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> PairLogits:
        """`TritonUnavailable`, `DeadlineExceeded` or `TritonFailed` when there is no good answer."""
        inputs = _inputs(text, labels, template, max_tokens)
        if not self._buckets:
            return await self._ask(MODEL, inputs, timeout_s)
        candidates = fitting(self._buckets, most_tokens(text, labels, template, max_tokens))
        for bucket in candidates:
            padded = inputs | {"pad_to": np.array([bucket], dtype=np.int32)}
            try:
                return await self._ask(f"{MODEL}_s{bucket}", padded, timeout_s)
            except BucketTooShort:
                continue
        raise TritonFailed(f"a pair is longer than Triton's longest bucket, {candidates[-1]} tokens")

    async def tokens(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> TokenCounts:
        """Lengths of the pairs; no engine runs for it."""
        inputs = _inputs(text, labels, template, max_tokens)
        outputs = await self._outputs(EXPAND, inputs, COUNTS, timeout_s)
        try:
            counts = TokenCounts(
                int(outputs["token_limit"][0]), int(outputs["text_tokens"][0]), np.asarray(outputs["tokens"])
            )
        except (KeyError, IndexError, ValueError):
            raise TritonFailed("Triton's answer cannot be read") from None
        if counts.pairs.shape != (len(labels), 3):
            raise TritonFailed("Triton's answer has the wrong shape")
        return counts

    async def engine(self, timeout_s: float) -> Engine:
        """The engine whose tokens `expand` makes at present; no engine runs for it."""
        inputs: dict[str, Values] = {"text": [PROBE_TEXT], "labels": [PROBE_LABEL]}
        return _engine(await self._outputs(EXPAND, inputs, ENGINE_OUTPUTS, timeout_s))

    async def probe(self, timeout_s: float) -> Engine:
        """The engine that has just computed one pair, ahead of all that wait in Triton's queue."""
        first = Triton(self._client, self._url, self._buckets, FIRST, self._tracing)
        return (await first.logits(PROBE_TEXT, [PROBE_LABEL], "{}", None, timeout_s)).engine

    async def _ask(self, model: str, inputs: dict[str, Values], timeout_s: float) -> PairLogits:
        outputs = await self._outputs(model, inputs, OUTPUTS, timeout_s)
        return _pair_logits(outputs, len(inputs["labels"]))

    async def _outputs(
        self, model: str, inputs: dict[str, Values], wanted: Sequence[str], timeout_s: float
    ) -> Mapping[str, Values]:
        header_length, body = encode_request(inputs, wanted, timeout_s=timeout_s, priority=self._priority)
        url = f"{self._url}/v2/models/{model}/infer"
        try:
            with self._tracing.call(model) as headers:
                headers[HEADER_LENGTH] = str(header_length)
                response = await self._client.post(url, content=body, headers=headers)
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
            raise DeadlineExceeded("Triton did not answer in time") from None
        except httpx.TransportError:
            raise TritonUnavailable("Triton does not answer; it may be starting") from None
        if response.status_code != httpx.codes.OK:
            raise _refusal(response)
        try:
            return decode_response(int(response.headers.get(HEADER_LENGTH, "0")), response.content)
        except (ProtocolError, ValueError):
            raise TritonFailed("Triton's answer cannot be read") from None


def _inputs(text: str, labels: Sequence[str], template: str, max_tokens: int | None) -> dict[str, Values]:
    return {
        "text": [text],
        "labels": labels,
        "hypothesis_template": [template],
        "max_tokens": np.array([max_tokens or 0], dtype=np.int32),
    }


def _engine(outputs: Mapping[str, Values]) -> Engine:
    try:
        return Engine(str(outputs["engine_id"][0]), str(outputs["engine_name"][0]))
    except (KeyError, IndexError):
        raise TritonFailed("Triton's answer names no engine") from None


def _pair_logits(outputs: Mapping[str, Values], pairs: int) -> PairLogits:
    try:
        logits, tokens = np.asarray(outputs["logits"]), np.asarray(outputs["tokens"])
    except (KeyError, ValueError):
        raise TritonFailed("Triton's answer cannot be read") from None
    answer = PairLogits(logits, tokens, _engine(outputs))
    if logits.shape != (pairs, 3) or tokens.shape != (pairs, 3) or not np.isfinite(logits).all():
        raise TritonFailed("Triton's answer has the wrong shape or is not finite")
    return answer


def _refusal(response: httpx.Response) -> GatewayError:
    """The error behind a status; of Triton's words only the first line, which carries no text or label."""
    try:
        reason = msgspec.json.decode(response.content, type=dict[str, str])["error"].partition("\n")[0]
    except (msgspec.MsgspecError, KeyError):
        reason = "no reason"
    if response.status_code in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.NOT_FOUND):
        if QUEUE_TIMEOUT in reason:
            return DeadlineExceeded("the request waited too long in Triton's queue")
        return TritonUnavailable("Triton does not serve the model at present")
    if UNHEALTHY in reason:
        return TritonUnavailable("a process of Triton's is gone")
    if TOO_SHORT in reason:
        return BucketTooShort(reason[:MAX_REASON_CHARACTERS])
    _, refused, detail = reason.partition(TOKEN_LIMIT)
    if response.status_code == httpx.codes.BAD_REQUEST and refused:
        return InvalidRequest(detail, field="max_tokens")
    return TritonFailed(f"Triton refused with {response.status_code}: {reason[:MAX_REASON_CHARACTERS]}")
