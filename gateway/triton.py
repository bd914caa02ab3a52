"""Asks one Triton for the logits of a text's pairs. Knows the wire and its failures, nothing about scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    TritonFailed,
    TritonUnavailable,
)
from gateway.kserve import HEADER_LENGTH, ProtocolError, decode_response, encode_request

MODEL = "zero_shot_logits"
OUTPUTS = ("logits", "tokens", "engine_id", "engine_name")
CONNECT_TIMEOUT_S = 2.0
TOKEN_LIMIT = "max_tokens: "
"""How `expand` begins its refusal of a token limit: only it knows what the engine was made for."""
QUEUE_TIMEOUT = "Request timeout expired"
"""How Triton's scheduler refuses what waited too long; a sign of load, not of an outage."""
MAX_REASON_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class PairLogits:
    """Triton's answer for one text and some labels, in the order of the labels."""

    logits: NDArray[np.float32]
    """`[labels, 3]`: entailment, neutral, contradiction."""
    tokens: NDArray[np.int32]
    """`[labels, 3]`: tokens of the pair, tokens cut from the text, tokens cut from the hypothesis."""
    engine_id: str
    engine_name: str


class Classifier(Protocol):
    """What computes logits: Triton, or a fake in tests."""

    async def logits(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> PairLogits: ...


class Triton:
    """A Triton server over HTTP; `client` carries the connections.

    Nobody waits longer than `timeout_s` for an answer, so Triton drops what is still queued by then. (What its
    HTTP front end has begun it cannot cancel.)
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def logits(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> PairLogits:
        """`TritonUnavailable`, `DeadlineExceeded` or `TritonFailed` when there is no good answer."""
        header_length, body = encode_request(
            {
                "text": [text],
                "labels": labels,
                "hypothesis_template": [template],
                "max_tokens": np.array([max_tokens or 0], dtype=np.int32),
            },
            OUTPUTS,
            timeout_s=timeout_s,
        )
        try:
            response = await self._client.post(
                f"/v2/models/{MODEL}/infer", content=body, headers={HEADER_LENGTH: str(header_length)}
            )
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
            raise DeadlineExceeded("Triton did not answer in time") from None
        except httpx.TransportError:
            raise TritonUnavailable("Triton does not answer; it may be starting") from None
        if response.status_code != httpx.codes.OK:
            raise _refusal(response)
        return _parse(response, len(labels))


def _parse(response: httpx.Response, pairs: int) -> PairLogits:
    try:
        outputs = decode_response(int(response.headers.get(HEADER_LENGTH, "0")), response.content)
        logits, tokens = np.asarray(outputs["logits"]), np.asarray(outputs["tokens"])
        answer = PairLogits(logits, tokens, str(outputs["engine_id"][0]), str(outputs["engine_name"][0]))
    except (ProtocolError, KeyError, IndexError, ValueError):
        raise TritonFailed("Triton's answer cannot be read") from None
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
    _, refused, detail = reason.partition(TOKEN_LIMIT)
    if response.status_code == httpx.codes.BAD_REQUEST and refused:
        return InvalidRequest(detail, field="max_tokens")
    return TritonFailed(f"Triton refused with {response.status_code}: {reason[:MAX_REASON_CHARACTERS]}")
