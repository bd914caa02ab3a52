import msgspec
import pytest

from gateway.api.compat.kserve_codec import decode_infer
from web.kserve import ProtocolError


@pytest.mark.parametrize(
    "tensor",
    [
        {"shape": [1] * 9, "data": ["a"]},
        {"shape": [10**12], "data": ["a"]},
        {"shape": [9_000, 9_000], "data": ["a"]},
        {"shape": [1], "data": ["a"] * 1_000},
        {"shape": [1], "data": [[[[[[[[[["a"]]]]]]]]]]},
        {"shape": [2], "data": [["a"] * 1_000, "b"]},
    ],
    ids=["dimensions", "dimension", "product", "values", "depth", "nested values"],
)
def test_a_tensor_larger_than_its_bounds_is_refused_before_it_is_read(tensor: dict[str, object]) -> None:
    body = msgspec.json.encode({"inputs": [{"name": "text", "datatype": "BYTES"} | tensor]})
    with pytest.raises(ProtocolError):
        decode_infer(None, body)


def test_a_request_of_very_many_lists_is_refused_before_any_is_built() -> None:
    tensor = b'{"name":"labels","datatype":"BYTES","shape":[1],"data":[%s]}' % b",".join([b"[]"] * 20_001)
    with pytest.raises(ProtocolError, match="more than 20000 lists"):
        decode_infer(None, b'{"inputs":[%s]}' % tensor)


def test_nested_values_are_flat() -> None:
    tensors = [{"name": "labels", "datatype": "BYTES", "shape": [2, 2], "data": [["a", "b"], ["c", "d"]]}]
    assert decode_infer(None, msgspec.json.encode({"inputs": tensors})).inputs == {"labels": ["a", "b", "c", "d"]}


@pytest.mark.parametrize("item", ['"ab"', "{}", "1"])
def test_a_request_with_more_values_than_tensors_can_have_is_not_even_decoded(item: str) -> None:
    """Nor is it JSON: nobody has looked."""
    with pytest.raises(ProtocolError, match="the request has more than"):
        decode_infer(None, b"no JSON " + ",".join([item] * 200_000).encode())
