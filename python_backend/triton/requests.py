"""Turns results and errors into Triton responses: one per request, so that an invalid request fails alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import triton_python_backend_utils as pb_utils

from logs.setup import FIELDS
from python_backend.errors import EngineError, InvalidInput

log = logging.getLogger(__name__)


def respond_to_each(requests: Sequence[Any], answer: Callable[[Any], list[Any]]) -> list[Any]:
    """One response per request; `answer` returns its output tensors or raises."""
    return [attempt(partial(answer, request), request) for request in requests]


def attempt(answer: Callable[[], list[Any]], request: Any) -> Any:
    """A response with the output tensors of `answer`, or with its error; unexpected ones are logged, not sent."""
    try:
        return pb_utils.InferenceResponse(output_tensors=answer())
    except InvalidInput as error:
        return failure(str(error), pb_utils.TritonError.INVALID_ARG)
    except EngineError as error:
        return failure(str(error), pb_utils.TritonError.INTERNAL)
    except Exception:
        log.exception("a request failed unexpectedly", extra=named([request]))
        return failure("the model failed on this request; see the server's log", pb_utils.TritonError.INTERNAL)


def send(request: Any, response: Any) -> None:
    """Answer `request` before `execute` returns, in whose list it has None instead."""
    request.get_response_sender().send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def named(requests: Sequence[Any]) -> dict[str, Any]:
    """Fields of a log record: the ids of the gateway's requests. One request of Triton has pairs of many."""
    ids = ",".join(filter(None, (request.request_id() for request in requests)))
    return {FIELDS: {"request_ids": ids}} if ids else {}


def failure(message: str, code: int) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(message, code))
