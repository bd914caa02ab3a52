"""What another user of the machine tries: looking for secrets, and raw requests that no client library sends."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
NOBODY = "nobody"
SYSTEM_PYTHON = "/usr/bin/python3"
"""Of every user; the tests' own environment may be in a folder that is not."""
TIMEOUT_S = 2.0

CLOSED_OVER_HTTP = [
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/evil/load"),
    ("POST", "/v2/repository/models/zero_shot_logits/unload"),
    ("GET", "/v2/models/structbert/config"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),
    ("POST", "/v2/systemsharedmemory/unregister"),
    ("POST", "/v2/cudasharedmemory/region/x/register"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/models/structbert/trace/setting"),
    ("GET", "/v2/logging"),
    ("POST", "/v2/logging"),
]
"""Method and path of what nobody may ask of Triton."""
CLOSED_OVER_GRPC = [
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "ModelConfig",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryRegister",
    "TraceSetting",
    "LogSettings",
]

SCAN = r"""
import json, os, stat, sys
wanted = {name: value.encode() for name, value in json.load(sys.stdin).items()}
roots, pids = sys.argv[1].split(":"), sys.argv[2].split(",")
found = []

def scan(path):
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return
        with open(path, "rb") as file:
            content = file.read(200_000_000)
    except OSError:
        return
    found.append([path, [name for name, value in wanted.items() if value in content]])

for root in roots:
    for folder, _, files in os.walk(root):
        for name in files:
            scan(os.path.join(folder, name))
for pid in pids:
    for name in ("cmdline", "environ"):
        scan(f"/proc/{pid}/{name}")
json.dump(found, sys.stdout)
"""
"""Reads every file below the folders that it may, and what /proc tells of the processes. Secrets come on standard
input: an argument would itself be found."""


def readable(
    secrets: Mapping[str, str], folders: Sequence[Path], pids: Sequence[int], user: str = NOBODY
) -> dict[str, list[str]]:
    """The files that `user` can read, each with the names of the secrets in it."""
    done = subprocess.run(
        [
            *("runuser", "-u", user, "--", SYSTEM_PYTHON, "-c", SCAN),
            ":".join(map(str, folders)),
            ",".join(map(str, pids)),
        ],
        input=json.dumps(secrets),
        capture_output=True,
        check=True,
        text=True,
        cwd="/",
        timeout=120,
    )
    return dict(json.loads(done.stdout))


def http_request(
    port: int, method: str, path: str, header: bytes, body: bytes = b"{}", *, host: str = LOOPBACK
) -> bytes:
    """The answer to a request with a raw header, which may be malformed."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return _exchange(host, port, head.encode() + header + b"\r\n" + body)


def http_with_trailer(port: int, method: str, path: str, trailer: bytes) -> bytes:
    """The answer to a request whose header comes behind its body."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    return _exchange(LOOPBACK, port, head.encode() + b"2\r\n{}\r\n0\r\n" + trailer + b"\r\n")


def grpc_call(
    port: int,
    method: str,
    metadata: Sequence[tuple[bytes, bytes]],
    *,
    indexed: bool = False,
    host: str = LOOPBACK,
) -> bytes:
    """The answer to a call with an empty message and raw metadata (RFC 9113 and 7541).

    `indexed`: the metadata goes through HPACK's dynamic table, a way into a server of its own.
    """
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", f"/inference.GRPCInferenceService/{method}".encode()),
        (b":authority", b"127.0.0.1"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]
    block = b"".join(_literal(name, value) for name, value in fields)
    block += b"".join(_literal(name, value, indexed=indexed) for name, value in metadata)
    call = _frame(4, 0, 0, b"") + _frame(1, 4, 1, block) + _frame(0, 1, 1, b"\0" * 5)
    return _exchange(host, port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + call, b"grpc-status")


def _literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A header field with a literal name (RFC 7541, 6.2), neither of them longer than 126 bytes."""
    return (b"\x40" if indexed else b"\x00") + bytes([len(name)]) + name + bytes([len(value)]) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _exchange(host: str, port: int, request: bytes, end: bytes | None = None) -> bytes:
    """What comes back until `end`, or until the server closes or is silent."""
    answer = b""
    with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
        try:
            connection.sendall(request)
            connection.settimeout(TIMEOUT_S / 4)
            while (end is None or end not in answer) and (chunk := connection.recv(65_536)):
                answer += chunk
        except (TimeoutError, ConnectionError):
            pass
    return answer


SQUAT = r"""
import select, socket, sys, time
port = int(sys.argv[1])
while True:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(100)
        break
    except OSError:
        listener.close()
        time.sleep(0.001)
print("listening", flush=True)
heard = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    if select.select([listener], [], [], 0.05)[0]:
        listener.accept()
        heard += 1
print(heard)
"""


class Squatter:
    """Listens on a port of another user's server as soon as that leaves it for a moment."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            ["runuser", "-u", NOBODY, "--", SYSTEM_PYTHON, "-c", SQUAT, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def wait_until_listening(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"

    def connections(self) -> int:
        """How many came; it leaves the port."""
        return int(self._process.communicate("\n", timeout=10)[0])
