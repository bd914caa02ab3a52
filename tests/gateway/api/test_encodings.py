"""Bodies as other clients send them: compressed, or with a byte order mark."""

from __future__ import annotations

import gzip
import json
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable

import numpy as np
import pytest
import tritonclient.http as triton_http

from tests.fakes.gateway import COMPLAINT, gateway
from tests.problems import assert_problem

BODY = json.dumps(COMPLAINT, ensure_ascii=False).encode()
INFER = "/v2/models/zero_shot/infer"
DATA = {"text": [COMPLAINT["text"]], "labels": COMPLAINT["labels"]}
INFER_BODY = json.dumps(
    {
        "inputs": [
            {"name": name, "datatype": "BYTES", "shape": [len(values)], "data": values}
            for name, values in DATA.items()
        ]
    }
).encode()
MAX_BODY_BYTES = 100_000


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("GZIP ", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("", bytes),
    ],
)
@pytest.mark.parametrize(("path", "body"), [("/v1/classify", BODY), (INFER, INFER_BODY)])
async def test_a_compressed_body_gets_the_same_answer(
    encoding: str, encode: Callable[[bytes], bytes], path: str, body: bytes
) -> None:
    async with gateway() as client:
        plain = (await client.post(path, content=body)).json()
        answer = await client.post(path, content=encode(body), headers={"Content-Encoding": encoding})
    assert answer.status_code == 200
    for one in ("scores", "outputs"):
        assert answer.json().get(one) == plain.get(one)


@pytest.mark.parametrize(
    ("encoding", "content", "status", "code"),
    [
        ("br", BODY, 415, "unsupported_media_type"),
        ("gzip, gzip", BODY, 415, "unsupported_media_type"),
        ("gzip", BODY, 400, "not_json"),
        ("gzip", b"", 400, "not_json"),
        ("gzip", gzip.compress(BODY)[:-1], 400, "not_json"),
        ("gzip", gzip.compress(BODY) + b"more", 400, "not_json"),
        ("gzip", gzip.compress(BODY) * 2, 400, "not_json"),
        ("deflate", zlib.compress(BODY)[2:-4], 400, "not_json"),
        ("gzip", gzip.compress(b" " * MAX_BODY_BYTES + b" "), 413, "body_too_large"),
        ("gzip", gzip.compress(bytes(1_000 * MAX_BODY_BYTES)), 413, "body_too_large"),
    ],
)
async def test_what_cannot_be_decompressed_within_the_bound_is_refused(
    encoding: str, content: bytes, status: int, code: str
) -> None:
    async with gateway(max_body_bytes=MAX_BODY_BYTES) as client:
        refused = await client.post("/v1/classify", content=content, headers={"Content-Encoding": encoding})
        assert_problem(refused, status, code)
        assert (await client.post("/v1/classify", content=BODY)).status_code == 200


async def test_as_many_bytes_as_are_allowed_may_come_out() -> None:
    content = gzip.compress(BODY.ljust(MAX_BODY_BYTES))
    async with gateway(max_body_bytes=MAX_BODY_BYTES) as client:
        answer = await client.post("/v1/classify", content=content, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200


@pytest.mark.parametrize(("path", "body"), [("/v1/classify", BODY), (INFER, INFER_BODY)])
async def test_a_byte_order_mark_is_no_part_of_json(path: str, body: bytes) -> None:
    async with gateway() as client:
        assert (await client.post(path, content=BOM_UTF8 + body)).status_code == 200
        compressed = await client.post(
            path, content=gzip.compress(BOM_UTF8 + body), headers={"Content-Encoding": "gzip"}
        )
        assert compressed.status_code == 200


@pytest.mark.parametrize(("algorithm", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_what_tritons_own_client_compresses_is_read(
    algorithm: str, encode: Callable[[bytes], bytes]
) -> None:
    inputs = []
    for name, values in DATA.items():
        tensor = triton_http.InferInput(name, [len(values)], "BYTES")
        tensor.set_data_from_numpy(np.array([value.encode() for value in values], dtype=object), binary_data=True)
        inputs.append(tensor)
    content, header_length = triton_http.InferenceServerClient.generate_request_body(inputs)
    headers = {"Content-Encoding": algorithm, "Inference-Header-Content-Length": str(header_length)}
    async with gateway() as client:
        answer = await client.post(INFER, content=encode(content), headers=headers)
        assert answer.status_code == 200
