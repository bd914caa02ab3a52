"""Sends the client's requests, and retries them as `Retry-After` says."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from wanneng.client.connection import connection_options
from wanneng.client.failures import no_answer, no_such_path, not_a_gateway
from wanneng.errors import GatewayRefused, NotAGateway, RequestError

TIMEOUT_S = 60.0
ATTEMPTS = 5
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
"""A later attempt may succeed."""
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
NEVER_CARRIED_OUT = frozenset({"budget_exceeded", "overloaded", "quota_exceeded"})
"""Codes of refusals that are sent before any work is done."""
UNTIL_SOMEBODY_ACTS = frozenset({"store_unusable"})
"""Codes of refusals that a retry cannot resolve."""
NO_SUCH_PATH = "http_error"
"""Code of a 404 that is about the path, not about what it names."""
WAIT_S = 600.0
"""Total time that one call waits because of `Retry-After`."""
FIRST_PAUSE_S = 0.25
PAGE_ITEMS = 100
"""The largest page of a list."""

T = TypeVar("T")
Outcome = httpx.Response | httpx.TransportError


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One call of the API, and how its answer is read."""

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    content: Mapping[str, Any] = field(default_factory=dict)
    """As `httpx.Client.request` takes it: `json`, `params`, `headers`, `files`."""
    changes: bool = True
    """False: safe to repeat if the outcome of the first attempt is unknown (idempotent, RFC 9110, 9.2.2)."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list."""

    items: Sequence[T]
    after: str | None
    """The cursor of the next page; None on the last one."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A paginated list."""

    path: str
    items: str
    """The field of the answer that holds the items."""
    parse: Callable[[dict[str, Any]], T]
    params: Mapping[str, str] = field(default_factory=dict)
    """Of every page."""

    def page(self, after: str | None) -> Request[Page[T]]:
        params: dict[str, Any] = {"limit": PAGE_ITEMS, **self.params} | ({} if after is None else {"after": after})

        def parse(response: httpx.Response) -> Page[T]:
            answer = json_object(response)
            items = [self.parse(item) for item in answer[self.items]]
            following = answer["last_id"] if answer["has_more"] else None
            if following is not None and following == after:
                raise ValueError("the list does not go on")
            return Page(items, following)

        return Request("GET", self.path, parse, {"params": params}, changes=False)


def quoted(name: str, safe: str = "") -> str:
    """One part of a path; `RequestError` where the name is not valid Unicode."""
    try:
        return quote(name, safe=safe)
    except UnicodeEncodeError:
        raise RequestError(f"{name!r} cannot be written as UTF-8, and so nothing has that name") from None


class Transport:
    """Blocking; one connection pool for any number of threads."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        wait_s: float = WAIT_S,
        proxy: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url
        self._attempts = attempts
        self._wait_s = wait_s
        self.sleep = sleep
        options = connection_options(url, key, proxy, transport)
        self._proxy: str | None = options["proxy"]
        self._http = httpx.Client(timeout=timeout_s, **options)

    def send(self, request: Request[T]) -> T:
        """The parsed answer; `GatewayRefused` or `RequestError` once the attempts are used up."""
        retries = Retries(self._attempts, self._wait_s, changes=request.changes)
        while True:
            try:
                outcome: Outcome = self._http.request(request.method, request.path, **request.content)
            except httpx.TransportError as error:
                outcome = error
            except UnicodeEncodeError as error:
                raise RequestError(f"the request cannot be written as UTF-8: {error.reason}") from None
            pause_s = retries.pause_s(outcome)
            if pause_s is None:
                return _parsed(outcome, request, self._url, self._proxy)
            self.sleep(pause_s)

    def each(self, listing: Listing[T]) -> Iterator[T]:
        """Every item of a list; pages are requested as they are needed."""
        after, more = None, True
        while more:
            page = self.send(listing.page(after))
            yield from page.items
            after, more = page.after, page.after is not None

    def close(self) -> None:
        self._http.close()


class AsyncTransport:
    """The same for asyncio."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        wait_s: float = WAIT_S,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = url
        self._attempts = attempts
        self._wait_s = wait_s
        self.sleep = sleep
        options = connection_options(url, key, proxy, transport)
        self._proxy: str | None = options["proxy"]
        self._http = httpx.AsyncClient(timeout=timeout_s, **options)

    async def send(self, request: Request[T]) -> T:
        """As `Transport.send`."""
        retries = Retries(self._attempts, self._wait_s, changes=request.changes)
        while True:
            try:
                outcome: Outcome = await self._http.request(request.method, request.path, **request.content)
            except httpx.TransportError as error:
                outcome = error
            except UnicodeEncodeError as error:
                raise RequestError(f"the request cannot be written as UTF-8: {error.reason}") from None
            pause_s = retries.pause_s(outcome)
            if pause_s is None:
                return _parsed(outcome, request, self._url, self._proxy)
            await self.sleep(pause_s)

    async def each(self, listing: Listing[T]) -> AsyncIterator[T]:
        """As `Transport.each`."""
        after, more = None, True
        while more:
            page = await self.send(listing.page(after))
            for item in page.items:
                yield item
            after, more = page.after, page.after is not None

    async def close(self) -> None:
        await self._http.aclose()


class Retries:
    """The pauses between the attempts of one call.

    Pauses set by `Retry-After` may take `wait_s` in total, in any number of attempts. After other failures there
    are up to `attempts` attempts, each pause twice as long as the last, with jitter over half of it.
    """

    def __init__(self, attempts: int, wait_s: float, *, changes: bool) -> None:
        self._attempts_left = attempts
        self._wait_left_s = wait_s
        self._changes = changes
        self._pause_s = FIRST_PAUSE_S

    def pause_s(self, outcome: Outcome) -> float | None:
        """How long to wait before the next attempt; None if this outcome is final."""
        if not self._may_be_repeated(outcome):
            return None
        told_s = retry_after_s(outcome) if isinstance(outcome, httpx.Response) else None
        if told_s is not None:
            pause_s = max(told_s, FIRST_PAUSE_S)
            self._wait_left_s -= pause_s
            return pause_s if self._wait_left_s >= 0 else None
        self._attempts_left -= 1
        if self._attempts_left <= 0:
            return None
        pause_s, self._pause_s = self._pause_s, 2 * self._pause_s
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

    def _may_be_repeated(self, outcome: Outcome) -> bool:
        if not isinstance(outcome, httpx.Response):
            if isinstance(outcome, httpx.UnsupportedProtocol):
                return False
            return not self._changes or isinstance(outcome, NEVER_SENT)
        if outcome.status_code not in RETRIED_STATUSES:
            return False
        if outcome.status_code == httpx.codes.TOO_MANY_REQUESTS and retry_after_s(outcome) is None:
            # The request needs more than the whole quota: waiting does not help.
            return False
        if _code(outcome) in UNTIL_SOMEBODY_ACTS:
            return False
        return not self._changes or _code(outcome) in NEVER_CARRIED_OUT


def retry_after_s(response: httpx.Response) -> float | None:
    """None if the header is absent or a date, which the gateway never sends."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object; `NotAGateway` for anything else."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        kind = response.headers.get("Content-Type", "no type").partition(";")[0]
        raise not_a_gateway(response, f"its body is {kind}, not a JSON object")
    return answer


def nothing(response: httpx.Response) -> None:
    """Parses an answer without a body."""


def _parsed(outcome: Outcome, request: Request[T], url: str, proxy: str | None) -> T:
    if isinstance(outcome, httpx.TransportError):
        raise no_answer(outcome, url, proxy) from outcome
    if not outcome.is_success:
        problem = _problem(outcome)
        if outcome.status_code == httpx.codes.NOT_FOUND and problem["code"] == NO_SUCH_PATH:
            problem["detail"] = no_such_path(outcome, url)
        raise GatewayRefused(outcome.status_code, problem, retry_after_s(outcome))
    try:
        return request.parse(outcome)
    except (KeyError, TypeError, ValueError) as error:
        raise not_a_gateway(outcome, f"its JSON is not the expected one ({error!r})") from error


def _problem(response: httpx.Response) -> dict[str, Any]:
    """`NotAGateway` if the refusal has no code, which every refusal of a gateway has."""
    problem = json_object(response)
    if "code" not in problem:
        raise not_a_gateway(response, "its JSON has no `code`")
    return problem


def _code(response: httpx.Response) -> object:
    """The code of a refusal; None if it is not a gateway's."""
    try:
        return _problem(response)["code"]
    except NotAGateway:
        return None
