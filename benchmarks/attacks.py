"""Attacks of a stranger or of another tenant on a server's address. Run by `attack.py` as a process.

It reads its job as JSON from standard input and prints the number of responses by status as JSON. It needs the
standard library alone, and bodies are made once, so that little is taken from the server on the same machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from itertools import count, cycle
from typing import Any

from benchmarks.attack_connections import CONNECTIONS, MEMORY
from benchmarks.attack_job import BODY_BYTES, PAUSE_S, Attack, Job, connect

NICENESS = 10
"""A remote attacker would take no CPU time from the server."""
CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
LONG_TEXT, SHORT_TEXT = "手机屏幕碎了要求退款" * 30, "手机屏幕碎了要求退款"
LABELS = ("投诉", "咨询", "建议")


def main() -> None:
    """Run one job."""
    os.nice(NICENESS)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    job = Job(**json.load(sys.stdin))
    print(json.dumps(asyncio.run((ATTACKS | MEMORY | TENANTS)[job.attack](job))))


async def _read_status(reader: asyncio.StreamReader) -> str:
    """The status of one answer, which is read whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    if length := CONTENT_LENGTH.search(head):
        await reader.readexactly(int(length[1]))
    elif b"chunked" in head:
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    return head.split(maxsplit=2)[1].decode()


async def _repeat(job: Job, connections: int, requests: Iterator[bytes]) -> Counter[str]:
    """Send requests on each of the connections, one after the other is answered, until the time is up."""
    statuses: Counter[str] = Counter()

    async def connect_and_send() -> None:
        reader, writer = await connect(job)
        try:
            while True:
                with suppress(ConnectionError):
                    writer.write(next(requests))
                    await writer.drain()
                statuses[await _read_status(reader)] += 1
        finally:
            writer.close()

    async def send_until_the_end() -> None:
        try:
            async with asyncio.timeout(job.seconds):
                while True:
                    try:
                        await connect_and_send()
                    except (ConnectionError, EOFError):
                        statuses["closed"] += 1
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            statuses["unanswered at the end"] += 1

    await asyncio.gather(*(send_until_the_end() for _ in range(connections)))
    return statuses


def _request_in_a_loop(connections: int, make: Callable[[Job], list[bytes]]) -> Attack:
    """The same few requests in turn, made before the first is sent."""
    return lambda job: _repeat(job, connections, cycle(make(job)))


def _post(path: str, *bodies: bytes, connections: int = 4) -> Attack:
    return _request_in_a_loop(connections, lambda job: [job.request("POST", path, body) for body in bodies])


def _infer(shape: str, data: str) -> bytes:
    """A KServe request whose input `labels` has this shape and data, as JSON."""
    text = '{"name":"text","datatype":"BYTES","shape":[1],"data":["a"]}'
    labels = f'{{"name":"labels","datatype":"BYTES","shape":{shape},"data":{data}}}'
    return f'{{"inputs":[{text},{labels}]}}'.encode()


def _binary_infer(job: Job) -> list[bytes]:
    """A million empty strings as a binary tensor."""
    strings = 975_000
    size = f'{{"binary_data_size":{4 * strings}}}'
    text = '{"name":"text","datatype":"BYTES","shape":[1],"data":["a"]}'
    labels = f'{{"name":"labels","datatype":"BYTES","shape":[{strings}],"parameters":{size}}}'
    head = f'{{"inputs":[{text},{labels}]}}'.encode()
    headers = {"Inference_Header_Content_Length": str(len(head))}
    return [job.request("POST", INFER, head + bytes(4 * strings), **headers)]


def _tokenize(job: Job) -> Coroutine[Any, Any, Counter[str]]:
    body = json.dumps({"text": LONG_TEXT * 333, "labels": LABELS}).encode()
    return _repeat(job, 16, cycle([job.request("POST", "/v1/tokenize", body)]))


def _classify(connections: int, text: str, texts: int = 1, labels: Sequence[str] = LABELS) -> Attack:
    """Ask without pause, with texts that were never sent before and past the cache."""

    def requests(job: Job) -> Iterator[bytes]:
        for number in count():
            fresh = [f"{number * texts + n:09d}{text}" for n in range(texts)]
            body = json.dumps({"texts": fresh, "labels": labels}, ensure_ascii=False).encode()
            yield job.request("POST", "/v1/classify", body, Cache_Control="no-cache")

    return lambda job: _repeat(job, connections, requests(job))


def _unknown_keys(job: Job) -> Coroutine[Any, Any, Counter[str]]:
    def requests() -> Iterator[bytes]:
        for number in count():
            key = f"Bearer wn_{number:012x}_{number:048x}"
            yield job.request("POST", "/v1/classify", b'{"text":"a","labels":"b,c"}', Authorization=key)

    return _repeat(job, 16, requests())


def _label_sets(job: Job) -> list[bytes]:
    """The string of a label, and a list of labels."""
    bodies = [f'{{"labels":["{"a" * BODY_BYTES}"]}}'.encode(), _json_list('{"labels":', '"a"', "}")]
    return [job.request("PUT", "/v1/label-sets/attack", body) for body in bodies]


def _json_list(before: str, item: str, after: str, size: int = BODY_BYTES) -> bytes:
    """A body of about `size` bytes with a list of nothing but `item`."""
    return f"{before}[{','.join([item] * (size // (len(item) + 1)))}]{after}".encode()


INFER = "/v2/models/zero_shot/infer"
DEEP = b"[" * (BODY_BYTES // 2) + b"]" * (BODY_BYTES // 2)
TEXTS = json.dumps({"texts": [f"{n:05d}" + "abcde fghij " * 4_999 for n in range(64)], "labels": "a,b"}).encode()

ATTACKS: dict[str, Attack] = {
    **CONNECTIONS,
    "KServe: a shape of 140,000 integers": _post(INFER, _infer("[" + "1," * 139_999 + "1]", '["a"]')),
    "KServe: nested data": _post(
        INFER, _infer("[1]", "[" * 900 + "]" * 900), _infer("[1,1]", "[" + "[[]]," * 700_000 + "[]]")
    ),
    "KServe: 780,000 strings": _post(INFER, _infer("[780000]", "[" + '"ab",' * 779_999 + '"ab"]')),
    "KServe: a million empty strings": _request_in_a_loop(4, _binary_infer),
    "a label string of 3.9 MB": _post(
        "/v1/classify", b'{"text":"a","labels":"' + b"a," * (BODY_BYTES // 2) + b'"}'
    ),
    "a label list of 3.9 MB": _post("/v1/classify", _json_list('{"text":"a","labels":', '"a"', "}")),
    "a label set of 3.9 MB": _request_in_a_loop(4, _label_sets),
    "64 texts of 60,000 characters": _post("/v1/classify", TEXTS),
    "deep JSON": _request_in_a_loop(
        4,
        lambda job: [job.request("POST", p, DEEP) for p in ("/v1/classify", "/hf/inference", "/predict", INFER)],
    ),
    "a megabyte of empty lists": _post("/predict", _json_list('{"inputs":', "[]", "}", 1_000_000)),
    "16 counts of 100,000 characters": _tokenize,
    "8 × 64 pairs of 300 characters": _classify(8, LONG_TEXT, texts=64, labels=["投诉"]),
    "unknown keys": _unknown_keys,
}
"""By name; each sends until the time is up."""

TENANTS: dict[str, Attack] = {
    "300 characters": _classify(48, LONG_TEXT),
    "10 characters": _classify(48, SHORT_TEXT),
}
"""Two tenants that ask without pause, on so many connections that requests of both always wait."""


if __name__ == "__main__":
    main()
