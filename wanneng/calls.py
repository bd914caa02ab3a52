"""One call to the gateway: JSON in, JSON out, or the gateway's own words as an error. Knows no path."""

from __future__ import annotations

from typing import Any

import httpx

from wanneng.errors import RequestError

TIMEOUT_S = 60.0


class Calls:
    """Calls to the gateway at `url` with a key, if there is one."""

    def __init__(self, url: str, key: str | None = None, *, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # No proxy of the environment: a key must not pass through one that nobody named here.
        self._client = httpx.Client(
            base_url=url, timeout=TIMEOUT_S, transport=transport, headers=headers, trust_env=False
        )

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer (`{}` where there is none); `RequestError` with the reason otherwise."""
        try:
            response = self._client.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise RequestError(
                f"nobody answers at {self._url} ({type(error).__name__}); start it with `wanneng serve`"
            ) from None
        if response.status_code == httpx.codes.NO_CONTENT:
            return {}
        try:
            answer: dict[str, Any] = response.json()
        except ValueError:
            raise RequestError(f"{self._url} answered {response.status_code} without JSON") from None
        if not response.is_success:
            raise RequestError(str(answer.get("detail", answer)))
        return answer

    def close(self) -> None:
        self._client.close()
