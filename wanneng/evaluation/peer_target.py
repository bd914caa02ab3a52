"""Another server that speaks a known API, asked about one text a call, with a few calls at a time."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx

from wanneng.client.clients import MAX_CONCURRENT_CALLS
from wanneng.client.connection import connection_options
from wanneng.client.failures import no_answer
from wanneng.client.transport import ATTEMPTS, TIMEOUT_S, Retries
from wanneng.errors import CommandError, RequestError
from wanneng.evaluation.gateway_target import WAIT_S
from wanneng.evaluation.metrics import Prediction
from wanneng.evaluation.peer_apis import APIS
from wanneng.evaluation.targets import Answers, Progress, Question

MAX_FIRST_REFUSALS = 10
"""If the first texts are all refused, it is not because of the texts."""
OF_A_TEXT = frozenset({400, 413, 422})
"""Statuses that may concern one text alone."""
SHOWN_CHARACTERS = 200


class PeerTarget:
    """`api`: a name of `APIS`. `CommandError` for another name."""

    def __init__(
        self,
        api: str,
        url: str,
        key: str | None = None,
        *,
        wait_s: float = WAIT_S,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if api not in APIS:
            raise CommandError(f"--peer {api}={url}: {api!r} is no known API; use {', '.join(APIS)}")
        self.name = f"{api} {url}"
        self._api, self._kind, self._url = APIS[api], api, url
        self._connection = connection_options(url, key, None, transport)
        self._wait_s, self._sleep = wait_s, sleep

    def describe(self) -> Mapping[str, Any]:
        return {"kind": self._kind, "name": self._url}

    def ask(self, question: Question, texts: Sequence[str], progress: Progress) -> Answers:
        if question.label_set is not None:
            raise CommandError(f"{self.name} is not a gateway and has no label sets; use --url with --label-set")
        return Answers(asyncio.run(self._ask(question, texts, progress)), "")

    async def _ask(self, question: Question, texts: Sequence[str], progress: Progress) -> list[Prediction]:
        predictions: dict[int, Prediction] = {}
        waiting = iter(enumerate(texts))
        options = self._connection | {"base_url": ""}
        async with httpx.AsyncClient(timeout=TIMEOUT_S, **options) as http:

            async def work(pending: Iterator[tuple[int, str]]) -> None:
                for position, text in pending:
                    predictions[position] = await self._predict(http, question, text)
                    progress()
                    _check_some_answer(list(itertools.islice(predictions.values(), MAX_FIRST_REFUSALS)))

            workers = [asyncio.create_task(work(waiting)) for _ in range(MAX_CONCURRENT_CALLS)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return [predictions[position] for position in range(len(texts))]

    async def _predict(self, http: httpx.AsyncClient, question: Question, text: str) -> Prediction:
        response = await self._send(http, self._api.request(text, question))
        if not response.is_success:
            told = response.text[:SHOWN_CHARACTERS].strip()
            refusal = f"{response.url} refused with status {response.status_code}: {told}"
            if response.status_code in OF_A_TEXT:
                return Prediction(None, error=refusal)
            raise RequestError(f"{refusal}; is the address right, and is a key needed?")
        try:
            scores = self._api.parse(response.json(), question)
            numbers = [float(scores[wording]) for wording in question.wordings.values()]
            if not all(map(math.isfinite, numbers)):
                raise ValueError("a score is not a number")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            told = response.text[:SHOWN_CHARACTERS]
            raise RequestError(
                f"{response.url} does not answer as the API {self._kind} does ({error!r}): {told}"
            ) from None
        return question.prediction(list(question.wordings.values()), numbers)

    async def _send(self, http: httpx.AsyncClient, body: Any) -> httpx.Response:
        retries = Retries(ATTEMPTS, self._wait_s, changes=False)
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await http.post(self._url.rstrip("/") + self._api.path, json=body)
            except httpx.TransportError as error:
                outcome = error
            pause_s = retries.pause_s(outcome)
            if pause_s is not None:
                await self._sleep(pause_s)
            elif isinstance(outcome, httpx.TransportError):
                raise no_answer(outcome, self._url, None) from outcome
            else:
                return outcome


def _check_some_answer(first: Sequence[Prediction]) -> None:
    if len(first) == MAX_FIRST_REFUSALS and all(prediction.label is None for prediction in first):
        raise RequestError(f"{first[0].error}; so were all of the first {len(first)} texts")
