"""A client of one Triton server: calls over KServe v2, and errors by status and code."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import aiohttp
import httpx
import msgspec
import numpy as np

from gateway.errors import (
    DeadlineExceeded,
    ModelNotLoaded,
    NothingToRead,
    TritonFailed,
    TritonRejected,
    TritonUnavailable,
)
from gateway.triton.backend import HIGHEST_PRIORITY, Engine, EngineLimits, InferenceCall, PairLogits, TokenCounts
from gateway.triton.kserve import HEADER_LENGTH, ProtocolError, Values, decode_response, encode_request
from gateway.triton.length_buckets import buckets_for, token_upper_bound
from stores.errors import InvalidRequest, ServiceError
from web.connection_causes import connection_cause
from web.tracing import Tracing

MODEL = "zero_shot_logits"
EXPAND = "expand"
LIMITS_OUTPUT = "limits"
CONTRACT_OUTPUT = "contract"
COUNT_OUTPUTS = ("tokens", "unknown", "text_tokens", "token_limit")
ALL_OUTPUTS = ()
"""Of an ensemble: in a roll-out, a replica of another version may lack one that is named here."""
CONNECT_TIMEOUT_S = 2.0
PROBE_TEXT, PROBE_LABEL = "就绪检查", "是"
CODE = re.compile(r"\b(token_limit|pair_too_long|nothing_to_read): (.*)")
"""Codes of `python_backend/errors.py`, before the words of a refusal; an ensemble puts its own before both."""
EXPIRED_S = 0.05
"""A 503 this close to a call's deadline is Triton's queue timeout, which has no status of its own."""
MAX_REASON_CHARACTERS = 200


class PairTooLong(TritonRejected):
    """A pair does not fit the length bucket; never leaves this module."""


class TritonClient:
    """The Triton server at `url`; `http` carries the connections to all of them, `probe_http` those of probes.

    Triton is told how long a call may wait in its queue, and drops it then; what it has begun it cannot cancel.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        length_buckets: Sequence[int] = (),
        tracing: Tracing | None = None,
        probe_http: httpx.AsyncClient | None = None,
    ) -> None:
        self._http = http
        self._probe_http = probe_http or http
        self._url = url
        self._buckets = length_buckets
        self._tracing = tracing or Tracing()

    async def logits(self, call: InferenceCall) -> PairLogits:
        inputs = _inputs(call)
        if not self._buckets:
            return _pair_logits(await self._infer(MODEL, inputs, ALL_OUTPUTS, call), len(call.labels))
        limit = call.max_tokens or self._buckets[-1]
        upper_bound = token_upper_bound(call.text, call.labels, call.template, limit)
        candidates = buckets_for(self._buckets, upper_bound)
        for bucket in candidates:
            padded = inputs | {"pad_to": np.array([bucket], dtype=np.int32)}
            try:
                outputs = await self._infer(f"{MODEL}_s{bucket}", padded, ALL_OUTPUTS, call)
            except PairTooLong:
                continue
            return _pair_logits(outputs, len(call.labels))
        raise TritonFailed(f"a pair is longer than the longest length bucket, {candidates[-1]} tokens")

    async def count_tokens(self, call: InferenceCall) -> TokenCounts:
        outputs = await self._infer(EXPAND, _inputs(call), COUNT_OUTPUTS, call)
        try:
            counts = TokenCounts(
                int(outputs["token_limit"][0]),
                int(outputs["text_tokens"][0]),
                np.asarray(outputs["tokens"]),
                np.asarray(outputs["unknown"]),
            )
        except (KeyError, IndexError, ValueError):
            raise TritonFailed("Triton's answer cannot be read") from None
        if counts.pairs.shape != (len(call.labels), 3) or counts.unknown.shape != (len(call.labels), 2):
            raise TritonFailed("Triton's answer has the wrong shape")
        return counts

    async def engine(self, timeout_s: float) -> Engine:
        call = _probe_call(timeout_s)
        prober = TritonClient(self._probe_http, self._url)
        outputs = await prober._infer(EXPAND, _inputs(call), ALL_OUTPUTS, call)
        try:
            limits = EngineLimits(*np.asarray(outputs[LIMITS_OUTPUT]).tolist())
            told = outputs.get(CONTRACT_OUTPUT)
            contract = {} if told is None else msgspec.json.decode(str(told[0]), type=dict[str, object])
        except (KeyError, TypeError, msgspec.MsgspecError):
            raise TritonFailed("Triton's answer names no limits") from None
        return replace(_engine(outputs), limits=limits, contract=contract)

    async def probe(self, timeout_s: float) -> Engine:
        prober = TritonClient(self._probe_http, self._url, self._buckets, self._tracing)
        return (await prober.logits(_probe_call(timeout_s))).engine

    async def _infer(
        self, model: str, inputs: Mapping[str, Values], outputs: Sequence[str], call: InferenceCall
    ) -> Mapping[str, Values]:
        header_length, body = encode_request(inputs, outputs, timeout_s=call.remaining_s(), priority=call.priority)
        try:
            with self._tracing.upstream_call(model) as headers:
                headers[HEADER_LENGTH] = str(header_length)
                response = await self._http.post(
                    f"{self._url}/v2/models/{model}/infer",
                    content=body,
                    headers=headers,
                    timeout=httpx.Timeout(call.remaining_s(), connect=CONNECT_TIMEOUT_S),
                )
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
            raise DeadlineExceeded("Triton did not answer in time") from None
        except (httpx.TransportError, aiohttp.ClientError) as error:
            # The transport does not translate every error of aiohttp, such as that for an unreadable answer.
            cause = connection_cause(error)
            raise TritonUnavailable(f"Triton does not answer, {cause}; it may be starting") from None
        if response.status_code != httpx.codes.OK:
            raise _error_of(response, call)
        try:
            return decode_response(int(response.headers.get(HEADER_LENGTH, "0")), response.content)
        except (ProtocolError, ValueError):
            raise TritonFailed("Triton's answer cannot be read") from None


def _probe_call(timeout_s: float) -> InferenceCall:
    deadline = time.monotonic() + timeout_s
    return InferenceCall(PROBE_TEXT, [PROBE_LABEL], "{}", None, deadline, HIGHEST_PRIORITY)


def _inputs(call: InferenceCall) -> dict[str, Values]:
    return {
        "text": [call.text],
        "labels": call.labels,
        "hypothesis_template": [call.template],
        "max_tokens": np.array([call.max_tokens or 0], dtype=np.int32),
    }


def _engine(outputs: Mapping[str, Values]) -> Engine:
    try:
        return Engine(str(outputs["engine_id"][0]), str(outputs["engine_name"][0]))
    except (KeyError, IndexError):
        raise TritonFailed("Triton's answer names no engine") from None


def _pair_logits(outputs: Mapping[str, Values], pairs: int) -> PairLogits:
    try:
        logits, tokens = np.asarray(outputs["logits"]), np.asarray(outputs["tokens"])
        unknown = np.asarray(outputs.get("unknown", np.zeros((pairs, 2), dtype=np.float32)))
    except (KeyError, ValueError):
        raise TritonFailed("Triton's answer cannot be read") from None
    answer = PairLogits(logits, tokens, unknown, _engine(outputs))
    shapes = (logits.shape, tokens.shape, unknown.shape)
    if shapes != ((pairs, 3), (pairs, 3), (pairs, 2)) or not np.isfinite(logits).all():
        raise TritonFailed("Triton's answer has the wrong shape or is not finite")
    return answer


def _error_of(response: httpx.Response, call: InferenceCall) -> ServiceError:
    """By the status, and by a code of ours where `expand` gave one; the words are for people.

    Of Triton's words only the first line is told, which carries no text or label.
    """
    status = response.status_code
    try:
        reason = msgspec.json.decode(response.content, type=dict[str, str])["error"].partition("\n")[0]
    except (msgspec.MsgspecError, KeyError):
        reason = "no reason"
    match = CODE.search(reason)
    if match is not None and match[1] == "pair_too_long":
        return PairTooLong(match[2][:MAX_REASON_CHARACTERS])
    if match is not None and match[1] == "nothing_to_read":
        labels = [int(index) for index in re.findall(r"\d+", match[2][:MAX_REASON_CHARACTERS])]
        return NothingToRead(labels=labels)
    if match is not None:
        return InvalidRequest(match[2][:MAX_REASON_CHARACTERS], field="max_tokens")
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        if call.remaining_s() <= EXPIRED_S:
            return DeadlineExceeded("the request waited too long in Triton's queue")
        return TritonUnavailable("Triton does not serve the model at present")
    if status == httpx.codes.NOT_FOUND:
        return ModelNotLoaded("Triton has not loaded the model")
    detail = f"Triton answered {status}: {reason[:MAX_REASON_CHARACTERS]}"
    return TritonRejected(detail) if httpx.codes.is_client_error(status) else TritonFailed(detail)
