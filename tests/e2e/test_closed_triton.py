"""Triton's administrative APIs are closed to everybody on this machine, over HTTP and gRPC."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.e2e.attacked import Attacked
from tests.e2e.server import Server
from tests.e2e.strangers import CLOSED_OVER_GRPC, CLOSED_OVER_HTTP, grpc_call, http_request, http_with_trailer

SPELLINGS = [
    *(
        b"%.0s",
        b" %s ",
        b"\r\n %s",
        b"\r\n\t%s\r\n",
        b"%s%s" % (b"%s", b"\n"),
        b"\r%s",
        b"\x00%s",
        b"%s\x00",
        b'"%s"',
    ),
    *(b"%.0s\\n", b"%.0s%%0A", b"%.0s\x0b", b"%.0s\x85", b"%.0s\xe2\x80\xa8"),
]
"""Of the header's value."""


def closing_header(server: Server) -> tuple[bytes, bytes]:
    """Name and value of the header that opens Triton's closed APIs: `ps` shows them to everybody."""
    arguments = Path(f"/proc/{server.triton_pid()}/cmdline").read_bytes().split(b"\0")
    (option,) = [argument for argument in arguments if argument.startswith(b"--http-restricted-api=")]
    name, _, value = option.partition(b":")[2].partition(b"=")
    return name, value


def models_are_ready(server: Server) -> bool:
    url = f"http://{server.triton_http}/v2/models/zero_shot_logits/ready"
    return httpx.get(url, trust_env=False, verify=False).status_code == 200


@pytest.mark.parametrize(("method", "path"), CLOSED_OVER_HTTP)
def test_tritons_closed_apis_are_closed_over_http(attacked: Attacked, method: str, path: str) -> None:
    name, value = closing_header(attacked.server)
    port = int(attacked.server.triton_http.rpartition(":")[2])
    for header in (b"", name + b": " + value + b"\r\n", name.replace(b" ", b"-") + b": " + value + b"\r\n"):
        answer = http_request(port, method, path, header)
        assert not answer.startswith(b"HTTP/1.1 2"), header
    assert models_are_ready(attacked.server)


def test_no_spelling_of_the_header_opens_them(attacked: Attacked) -> None:
    """Not even for who knows it from `ps`, and writes whatever he likes into a socket."""
    name, value = closing_header(attacked.server)
    port = int(attacked.server.triton_http.rpartition(":")[2])
    headers = [name + b":" + value + b"\r\n"]
    for spelled in (name, name.lower(), name.replace(b" ", b"-"), name.replace(b" ", b"\t")):
        headers += [spelled + b": " + sent + b"\r\n" for sent in (value, *(each % value for each in SPELLINGS))]
    for header in headers:
        answer = http_request(port, "POST", "/v2/repository/index", header)
        assert not answer.startswith(b"HTTP/1.1 2"), header
    trailer = http_with_trailer(port, "POST", "/v2/repository/index", name + b": " + value + b"\r\n")
    assert not trailer.startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize("method", CLOSED_OVER_GRPC)
def test_tritons_closed_apis_are_closed_over_grpc(attacked: Attacked, method: str) -> None:
    """gRPC takes a newline in a value, so it is the name that nobody can send."""
    name, value = closing_header(attacked.server)
    port = int(attacked.server.triton_grpc.rpartition(":")[2])
    assert b"grpc-status\x010" in grpc_call(port, "ServerLive", []), "the frames are right"
    prefix = b"triton-grpc-protocol-"
    names = [name, name.lower(), name.lower().replace(b" ", b"-"), name + b"-bin"]
    for metadata in [
        [],
        *([(prefix + spelled, sent)] for spelled in names for sent in (value, b" " + value, b"", b"Cg==")),
        [(prefix + name, b"x"), (prefix + name, value)],
    ]:
        for indexed in (False, True):
            answer = grpc_call(port, method, metadata, indexed=indexed)
            assert b"grpc-status\x010" not in answer, metadata
    assert models_are_ready(attacked.server)
