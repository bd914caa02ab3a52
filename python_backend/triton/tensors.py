"""Converts Triton tensors to Python values and back, and names every tensor of the Python models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from python_backend.errors import InvalidInput

TEXT = "text"
LABELS = "labels"
TEMPLATE = "hypothesis_template"
MULTI_LABEL = "multi_label"
MAX_TOKENS = "max_tokens"
PAD_TO = "pad_to"
PAIRS = "pairs"
"""`[n, 4]` int32: indices of a pair's text, label and template, and its token limit, 0 for the engine's."""
SPECIAL_TOKENS = "special_tokens"
"""What they are in texts, labels and templates: `model`, the model's own, or `text`; absent: the model's."""
MODEL, AS_TEXT = "model", "text"
ENGINE_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TOKENS = "tokens"
UNKNOWN = "unknown"
REFUSED = "refused"
"""JSON: why a pair is refused, by its index; empty where none is."""
TEXT_TOKENS = "text_tokens"
TOKEN_LIMIT = "token_limit"
LIMITS = "limits"
"""`[4]` int32: pairs of a request, characters of a text, of a label, of a template."""
ENGINE_ID = "engine_id"
ENGINE_NAME = "engine_name"
CONTRACT = "contract"
"""What the engine's manifest tells callers of the model, as JSON."""
LOGITS = "logits"
RANKED_LABELS = "ranked_labels"
SCORES = "scores"


def strings(request: Any, name: str) -> list[str] | None:
    """The strings of an input, flattened; None if the request does not have it. `InvalidInput` unless UTF-8."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    try:
        return [value.decode("utf-8") for value in tensor.as_numpy().ravel()]
    except UnicodeDecodeError:
        raise InvalidInput(f"{name}: not valid UTF-8") from None


def string(request: Any, name: str, default: str | None = None) -> str:
    """The only string of an input, or `default` if the request does not have it."""
    values = strings(request, name)
    if values is None and default is not None:
        return default
    if values is None or len(values) != 1:
        raise InvalidInput(f"{name}: exactly one string is needed")
    return values[0]


def number(request: Any, name: str, default: int) -> int:
    """The only number of an input, or `default` if the request does not have it; a BOOL is 0 or 1."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return default
    values = tensor.as_numpy().ravel()
    if len(values) != 1:
        raise InvalidInput(f"{name}: exactly one value is needed")
    return int(values[0])


def array(request: Any, name: str) -> NDArray[Any]:
    """The values of an input that every request has."""
    return np.asarray(pb_utils.get_input_tensor_by_name(request, name).as_numpy())


def optional_array(request: Any, name: str) -> NDArray[Any] | None:
    """The values of an input, if the request has it."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else np.asarray(tensor.as_numpy())


def output(name: str, values: NDArray[Any]) -> Any:
    return pb_utils.Tensor(name, np.ascontiguousarray(values))


def string_output(name: str, values: Sequence[str]) -> Any:
    return pb_utils.Tensor(name, np.array([value.encode("utf-8") for value in values], dtype=np.object_))
