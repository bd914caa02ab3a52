"""Asks the gateway to classify one line for its tenant, and tells what its answer means for the line.

GatewayError
├── TryLater               408, 429 or 503: the same line again after `retry_after_s`
│   ├── DeadlineExceeded   504: as often as a line may end so, then it is the line's error
│   └── NoAnswer           the connection could not be made
│       └── ConnectionBroke    it broke or timed out: again as often as a line may end so
├── GatewayFailed          any other 5xx: some attempts more, then it is the line's error
├── AnswerTooLarge         the line's error
└── NotServed              401, 403, or an answer that is not a gateway's: nothing is wrong with the line
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import httpx
import msgspec

from control_plane.batches import ENDPOINT
from stores.errors import BudgetExceeded
from web.authentication import KEY_HEADER, TENANT_HEADER
from web.connection_causes import connection_cause

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 90.0
"""Longer than the gateway takes for a request of low priority."""
MAX_ANSWER_BYTES = 4_000_000
TRY_LATER, DEADLINE_EXCEEDED = frozenset({408, 429, 503}), 504
NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Behind an error of httpx, whose own kinds do not tell a connection that was never made from one that broke."""
NOT_SERVED = frozenset({401, 403})
NO_SUCH_PATH = "http_error"
"""The code of a server that does not know the path."""


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """What stands in the batch's files: a result, or an error that another attempt would not mend."""

    status: int
    body: Any
    """Decoded JSON."""


class GatewayError(Exception):
    pass


class TryLater(GatewayError):
    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        """What the gateway asks for; None: it does not say."""


class DeadlineExceeded(TryLater):
    def __init__(self, answer: GatewayAnswer, retry_after_s: float | None) -> None:
        super().__init__(f"the gateway answers {answer.status}", retry_after_s)
        self.answer = answer


class NoAnswer(TryLater):
    pass


class ConnectionBroke(NoAnswer):
    pass


class GatewayFailed(GatewayError):
    def __init__(self, answer: GatewayAnswer) -> None:
        super().__init__(f"the gateway answers {answer.status}")
        self.answer = answer


class AnswerTooLarge(GatewayError):
    pass


class NotServed(GatewayError):
    pass


class Gateway(Protocol):
    async def classify(self, tenant_id: str, key_id: str, request_id: str, body: bytes) -> GatewayAnswer:
        """The gateway's answer to `body`, JSON, or a `GatewayError`; `key_id`: the key that made the batch."""
        ...


class HttpGateway:
    """A `Gateway` over HTTP, as which the worker authenticates with the key that it shares with the gateway."""

    def __init__(self, http: httpx.AsyncClient, url: str, internal_key: str) -> None:
        self._http = http
        self._url = url.rstrip("/") + ENDPOINT
        self._authorization = f"Bearer {internal_key}"
        self._timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)

    async def classify(self, tenant_id: str, key_id: str, request_id: str, body: bytes) -> GatewayAnswer:
        headers = {
            "Authorization": self._authorization,
            "Content-Type": "application/json",
            TENANT_HEADER: tenant_id,
            "X-Request-Id": request_id,
        } | ({KEY_HEADER: key_id} if key_id else {})
        request = self._http.stream("POST", self._url, content=body, headers=headers, timeout=self._timeout)
        try:
            async with request as response:
                return _answer(response, await _read(response))
        except (httpx.RequestError, aiohttp.ClientError) as error:
            # aiohttp's own are what its transport for httpx does not translate, such as a malformed response.
            kind = NoAnswer if isinstance(error.__cause__, NEVER_SENT) else ConnectionBroke
            raise kind(f"{self._url} does not answer: {connection_cause(error)}") from None


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


def _answer(response: httpx.Response, content: bytes) -> GatewayAnswer:
    status, retry_after_s = response.status_code, _retry_after_s(response)
    if status == 429 and (retry_after_s is None or _is_beyond_budget(response, content)):
        # More than the whole quota is never allowed, and a budget is not renewed in the time of a batch.
        return GatewayAnswer(status, _problem(response, content))
    if status == DEADLINE_EXCEEDED:
        with suppress(NotServed):  # A proxy's 504 says nothing of the line.
            raise DeadlineExceeded(GatewayAnswer(status, _problem(response, content)), retry_after_s)
        raise TryLater(f"{status} from a server that is not a gateway", retry_after_s)
    if status in TRY_LATER:
        raise TryLater(f"the gateway answers {status}", retry_after_s)
    if status in NOT_SERVED:
        raise NotServed(
            f"the gateway answers {status}: WANNENG_INTERNAL_KEY differs from the gateway's, or the tenant was "
            "suspended or deleted just now"
        )
    if response.is_success:
        return GatewayAnswer(status, _json(response, content))
    answer = GatewayAnswer(status, _problem(response, content))
    if response.is_server_error:
        raise GatewayFailed(answer)
    return answer


def _is_beyond_budget(response: httpx.Response, content: bytes) -> bool:
    with suppress(NotServed):  # A proxy's 429 says nothing of budgets.
        return bool(_problem(response, content)["code"] == BudgetExceeded.code)
    return False


def _problem(response: httpx.Response, content: bytes) -> dict[str, Any]:
    """The gateway's problem document; `NotServed` when it is none, for then no gateway has answered."""
    problem = _json(response, content)
    if problem.get("code", NO_SUCH_PATH) == NO_SUCH_PATH:
        raise _not_a_gateway(response)
    return problem


def _json(response: httpx.Response, content: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _not_a_gateway(response) from None


def _not_a_gateway(response: httpx.Response) -> NotServed:
    return NotServed(f"{response.url} is not a gateway: it answered {response.status_code}")


def _retry_after_s(response: httpx.Response) -> float | None:
    """The gateway gives whole seconds; a date, which others may give, counts as nothing."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None
