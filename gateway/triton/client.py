"""A client of one Triton server: calls over KServe v2, and errors by status and code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from gateway.errors import (
    DeadlineExceeded,
    ModelNotLoaded,
    NothingToRead,
    TritonFailed,
    TritonRejected,
    TritonUnavailable,
)
from gateway.triton.backend import Engine, EngineLimits, InferenceCall, Pair, PairLogits, TokenCounts
from gateway.triton.length_buckets import buckets_for
from stores.errors import InvalidRequest, ServiceError
from stores.special_tokens import TEXT
from web.connection_causes import connection_cause
from web.kserve import HEADER_LENGTH, ProtocolError, Values, decode_response, encode_request

MODEL = "zero_shot_logits"
EXPAND = "expand"
LIMITS_OUTPUT = "limits"
CONTRACT_OUTPUT = "contract"
COUNT_OUTPUTS = ("tokens", "unknown", "refused", "text_tokens", "token_limit")
ALL_OUTPUTS = ()
"""Of an ensemble: in a roll-out, a replica of another version may lack one that is named here."""
CONNECT_TIMEOUT_S = 2.0
PROBE_TEXT, PROBE_LABEL = "就绪检查", "是"
MAX_REASON_CHARACTERS = 200


class PairTooLong(TritonRejected):
    """A pair does not fit the length bucket; never leaves this module."""


class TritonClient:
    """The Triton server at `url`; `transport` has the connections to all, `probe_transport` those of probes."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        url: str,
        length_buckets: Sequence[int] = (),
        probe_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = transport
        self._prober = TritonClient(probe_transport, url, length_buckets) if probe_transport else self
        self._url = url
        self._url_of = lru_cache(maxsize=None)(lambda model: httpx.URL(f"{url}/v2/models/{model}/infer"))
        self._buckets = length_buckets

    async def logits(self, call: InferenceCall) -> PairLogits:
        if not self._buckets:
            return await self._logits(MODEL, _inputs(call), call)
        return await self._logits_of_buckets(call, buckets_for(self._buckets, call.bucket))

    async def count_tokens(self, call: InferenceCall) -> TokenCounts:
        outputs = await self.infer(EXPAND, _inputs(call), COUNT_OUTPUTS, call)
        try:
            tokens, unknown = _arrays(outputs, len(call.pairs), tokens=3, unknown=2)
            limit, text = int(outputs["token_limit"][0]), int(outputs["text_tokens"][0])
            return TokenCounts(limit, text, tokens, unknown, _refused(outputs))
        except (LookupError, ValueError):
            raise TritonFailed("Triton's answer cannot be read") from None

    async def engine(self, timeout_s: float) -> Engine:
        call = _probe_call(timeout_s)
        outputs = await self._prober.infer(EXPAND, _inputs(call), ALL_OUTPUTS, call)
        try:
            limits = EngineLimits(*np.asarray(outputs[LIMITS_OUTPUT]).tolist())
            told = outputs.get(CONTRACT_OUTPUT)
            contract = {} if told is None else msgspec.json.decode(str(told[0]), type=dict[str, object])
        except (LookupError, TypeError, msgspec.MsgspecError):
            raise TritonFailed("Triton's answer names no limits") from None
        return replace(_engine(outputs), limits=limits, contract=contract)

    async def probe(self, timeout_s: float) -> Engine:
        return (await self._prober.logits(_probe_call(timeout_s))).engine

    async def _logits_of_buckets(self, call: InferenceCall, buckets: Sequence[int]) -> PairLogits:
        """From the first of the buckets; pairs that are longer than it, from the next."""
        bucket, *longer_buckets = buckets
        inputs = _inputs(call) | {"pad_to": np.array([bucket], dtype=np.int32)}
        answer = await self._logits(f"{MODEL}_s{bucket}", inputs, call)
        too_long = [index for index, error in answer.refused.items() if isinstance(error, PairTooLong)]
        if not too_long:
            return answer
        if not longer_buckets:
            raise TritonFailed(f"a pair is longer than the longest length bucket, {bucket} tokens")
        rest = structs.replace(call, pairs=[call.pairs[index] for index in too_long])
        return answer.completed(too_long, await self._logits_of_buckets(rest, longer_buckets))

    async def _logits(self, model: str, inputs: Mapping[str, Values], call: InferenceCall) -> PairLogits:
        answer = _pair_logits(await self.infer(model, inputs, ALL_OUTPUTS, call), len(call.pairs))
        return replace(answer, replica=self._url)

    async def infer(
        self, model: str, inputs: Mapping[str, Values], outputs: Sequence[str], call: InferenceCall
    ) -> Mapping[str, Values]:
        """The model's outputs by name; the errors are those of a `Backend`."""
        header_length, body = encode_request(inputs, outputs, ",".join(call.request_ids))
        request = httpx.Request(
            "POST",
            self._url_of(model),
            headers={**call.trace, HEADER_LENGTH: str(header_length)},
            content=body,
            extensions={"timeout": httpx.Timeout(call.timeout_s, connect=CONNECT_TIMEOUT_S).as_dict()},
        )
        try:
            # The transport itself: cookies, redirects and credentials of a client have no place here.
            response = await self._transport.handle_async_request(request)
            content = await response.aread()
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
            raise DeadlineExceeded("Triton did not answer in time") from None
        except (httpx.TransportError, aiohttp.ClientError) as error:
            # The transport does not translate every error of aiohttp, such as that for an unreadable answer.
            cause = connection_cause(error)
            raise TritonUnavailable(f"Triton does not answer, {cause}; it may be starting") from None
        if response.status_code != httpx.codes.OK:
            raise _error_of(response.status_code, content)
        try:
            return decode_response(int(response.headers.get(HEADER_LENGTH, "0")), content)
        except (ProtocolError, ValueError):
            raise TritonFailed("Triton's answer cannot be read") from None


def _probe_call(timeout_s: float) -> InferenceCall:
    return InferenceCall([Pair(PROBE_TEXT, PROBE_LABEL, "{}", None)], timeout_s)


def _inputs(call: InferenceCall) -> dict[str, Values]:
    """Each text, label and template once, and the pairs by their indices.

    `special_tokens` only where they are not the model's: in a roll-out, an older Triton lacks this input.
    """
    texts: dict[str, int] = {}
    labels: dict[str, int] = {}
    templates: dict[str, int] = {}
    pairs = [
        (
            texts.setdefault(text, len(texts)),
            labels.setdefault(label, len(labels)),
            templates.setdefault(template, len(templates)),
            max_tokens or 0,
        )
        for text, label, template, max_tokens in call.pairs
    ]
    special_tokens = {"special_tokens": [TEXT]} if call.special_tokens == TEXT else {}
    return {
        "text": list(texts),
        "labels": list(labels),
        "hypothesis_template": list(templates),
        "pairs": np.array(pairs, dtype=np.int32),
        **special_tokens,
    }


def _engine(outputs: Mapping[str, Values]) -> Engine:
    try:
        return Engine(str(outputs["engine_id"][0]), str(outputs["engine_name"][0]))
    except (KeyError, IndexError):
        raise TritonFailed("Triton's answer names no engine") from None


def _pair_logits(outputs: Mapping[str, Values], pairs: int) -> PairLogits:
    try:
        logits, tokens, unknown = _arrays(outputs, pairs, logits=3, tokens=3, unknown=2)
        answer = PairLogits(logits, tokens, unknown, _engine(outputs), _refused(outputs))
    except (LookupError, ValueError):
        raise TritonFailed("Triton's answer cannot be read") from None
    finite = np.isfinite(logits).all(axis=1)
    not_finite = [index for index in np.flatnonzero(~finite).tolist() if index not in answer.refused]
    if len(not_finite) == pairs:
        raise TritonFailed("Triton's answer is not finite")
    # A pair that overflows in the engine's precision concerns no other.
    overflowed = {index: TritonFailed("the engine's answer to a pair is not finite") for index in not_finite}
    return replace(answer, refused={**answer.refused, **overflowed})


def _arrays(outputs: Mapping[str, Values], pairs: int, **columns: int) -> list[NDArray[Any]]:
    """Outputs of so many columns for each pair; `LookupError` or `ValueError` where one cannot be read."""
    arrays = [np.asarray(outputs[name]) for name in columns]
    if [array.shape for array in arrays] != [(pairs, number) for number in columns.values()]:
        raise TritonFailed("Triton's answer has the wrong shape")
    return arrays


def _refused(outputs: Mapping[str, Values]) -> dict[int, ServiceError]:
    """The errors of pairs by index; `LookupError` or `ValueError` where they cannot be read."""
    document = str(outputs["refused"][0])
    if not document:
        return {}
    reasons = msgspec.json.decode(document, type=dict[str, str])
    return {int(index): _refusal(reason) for index, reason in reasons.items()}


def _refusal(reason: str) -> ServiceError:
    """By its code of `python_backend/errors.py`, which stands before the words."""
    code, _, words = reason.partition(": ")
    match code:
        case "pair_too_long":
            return PairTooLong(_cut(words))
        case "nothing_to_read":
            return NothingToRead(of_label=words.startswith("label"))
        case "token_limit":
            return InvalidRequest(_cut(words), field="max_tokens")
    return TritonRejected(_cut(reason))


def _cut(reason: str) -> str:
    return reason.partition("\n")[0][:MAX_REASON_CHARACTERS]


def _error_of(status: int, content: bytes) -> ServiceError:
    """By the status alone; of Triton's words only the first line is told, which carries no text or label."""
    try:
        reason = msgspec.json.decode(content, type=dict[str, str])["error"]
    except (msgspec.MsgspecError, KeyError):
        reason = "no reason"
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        return TritonUnavailable("Triton does not serve the model at present")
    if status == httpx.codes.NOT_FOUND:
        return ModelNotLoaded("Triton has not loaded the model")
    detail = f"Triton answered {status}: {_cut(reason)}"
    return TritonRejected(detail) if httpx.codes.is_client_error(status) else TritonFailed(detail)
