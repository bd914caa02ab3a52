import json
import struct

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from tests.fakes.triton import response
from web.kserve import ProtocolError, decode_response, encode_request, unpack_strings


def test_a_request_says_what_tritonclient_says() -> None:
    text, limit = np.array(["手机".encode()], dtype=object), np.array([64], dtype=np.int32)
    inputs = [InferInput("text", [1], "BYTES"), InferInput("max_tokens", [1], "INT32")]
    inputs[0].set_data_from_numpy(text)
    inputs[1].set_data_from_numpy(limit)
    theirs, their_length = InferenceServerClient.generate_request_body(
        inputs, outputs=[InferRequestedOutput("logits", binary_data=True)]
    )
    length, ours = encode_request({"text": ["手机"], "max_tokens": limit}, ["logits"])
    assert ours[length:] == theirs[their_length:]
    assert json.loads(ours[:length]) == json.loads(theirs[:their_length])


def test_a_response_is_read_as_tritonclient_reads_it() -> None:
    logits = np.arange(6, dtype=np.float32).reshape(2, 3)
    name = "万能".encode()
    length, body = response(
        [
            ("logits", "FP32", [2, 3], logits.tobytes()),
            ("engine_name", "BYTES", [1], struct.pack("<I", len(name)) + name),
            ("tokens", "INT32", [1], np.array([7], dtype=np.int32).tobytes()),
            ("input_ids", "INT64", [1, 2], np.array([[7, 2**40]], dtype=np.int64).tobytes()),
        ]
    )
    outputs = decode_response(length, body)
    theirs = InferenceServerClient.parse_response_body(body, header_length=length)
    np.testing.assert_array_equal(outputs["logits"], theirs.as_numpy("logits"))
    assert outputs["engine_name"] == ["万能"] == [theirs.as_numpy("engine_name")[0].decode()]
    assert list(outputs["tokens"]) == [7]
    np.testing.assert_array_equal(outputs["input_ids"], theirs.as_numpy("input_ids"))


@pytest.mark.parametrize("cut", [0, 5, 60])
def test_a_shortened_response_is_refused(cut: int) -> None:
    length, body = response([("logits", "FP32", [2, 3], bytes(24))])
    with pytest.raises(ProtocolError):
        decode_response(
            min(length, cut) if cut < 60 else length, body[: len(body) - 4] if cut == 60 else body[:cut]
        )


@pytest.mark.parametrize(
    "output", [("x", "FP64", [1], bytes(8)), ("x", "FP32", [5], bytes(8)), ("x", "BYTES", [1], b"\x09")]
)
def test_tensors_that_contradict_themselves_are_refused(output: tuple[str, str, list[int], bytes]) -> None:
    with pytest.raises(ProtocolError):
        decode_response(*response([output]))


@pytest.mark.parametrize(
    ("blob", "reason"), [(b"\0\0\0\0" * 3, "more values"), (b"\x01\0\0\0a\x09\0\0\0b", "shorter than")]
)
def test_binary_strings_that_contradict_their_lengths_are_not_unpacked(blob: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        unpack_strings(blob, 2)
