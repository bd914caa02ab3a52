"""How a caller wants its answer, out of its request. Knows no question."""

from __future__ import annotations

import math
from functools import partial

from starlette.requests import Request

from gateway.api.bodies import DISCONNECT
from gateway.classify import Wishes
from gateway.errors import InvalidRequest

TIMEOUT = "X-Request-Timeout"
LEAST_TIMEOUT_S = 0.01
"""Less is a mistake: milliseconds taken for seconds the wrong way round."""


def wishes_of(request: Request, *, fresh: bool = False) -> Wishes:
    """Ends with the client; `InvalidRequest` for a timeout that is none. The body has been read before."""
    return Wishes(fresh, _timeout_s(request), partial(_until_gone, request))


def _timeout_s(request: Request) -> float | None:
    """How long the client will wait, if it says so."""
    given = request.headers.get(TIMEOUT)
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not LEAST_TIMEOUT_S <= seconds < math.inf:
        raise InvalidRequest(f"seconds are needed, at least {LEAST_TIMEOUT_S:g}, as 2.5", field=TIMEOUT)
    return seconds


async def _until_gone(request: Request) -> None:
    """Returns when the client closes the connection."""
    while (await request.receive())["type"] != DISCONNECT:
        pass
