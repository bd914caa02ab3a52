"""Bodies are bounded by what decoding them costs, before that, and by the memory of all that arrive."""

from __future__ import annotations

import asyncio
import gzip
import threading
from functools import partial

import pytest
from msgspec import Struct
from starlette.requests import Request
from starlette.types import Message

from stores.errors import BodyTooLarge, BodyTooSlow, InvalidRequest, NotJson
from web.bodies import MANY_BYTES, MAX_CONTAINERS, MAX_STRINGS, Bodies, decode, in_thread
from web.pacing import BODY_BYTE_S, BURST_S, MAX_WAITING_OF_CALLER, MIN_BODY_BYTES, SHARE, Pacing
from web.request_context import RequestContext
from web.settings import ServerSettings

SETTINGS = ServerSettings(max_body_bytes=40_000, max_unfinished_bytes=100_000)
CHUNK = b"x" * 20_000


class Body(Struct):
    values: list[str]


def body(item: bytes, count: int, end: bytes = b"]}") -> bytes:
    return b'{"values": [' + b", ".join([item] * count) + end


class Item(Struct, forbid_unknown_fields=True):
    count: int
    by_name: dict[str, int] = {}


class Strict(Struct, forbid_unknown_fields=True):
    items: list[Item]
    text: str | list[str] = ""


@pytest.mark.parametrize(
    ("sent", "field", "reason"),
    [
        (b'{"items": [], "text": 1}', "text", "Expected `str | array`, got `int`"),
        (b'{"items": [], "text": ["a", 1]}', "text[1]", "Expected `str`, got `int`"),
        (b'{"items": [{"count": 1e400}]}', "items[0].count", "Number out of range"),
        (b'{"items": [{"count": 1, "by_name": {"a": ""}}]}', "items[0].by_name[...]", "Expected `int`, got `str`"),
        (b'{"items": [{"count": 1}, {}]}', "items[1].count", "is required"),
        (b"{}", "items", "is required"),
        (b'{"items": [], "a`b - at `$.c`": 1}', "a`b - at `$.c`", "is not known; leave it out"),
        (b'{"items": [{"cuont": 1}]}', "items[0].cuont", "is not known; leave it out"),
        (b'{"' + b"x" * 70_000 + b'": 1}', "x" * 100, "is not known; leave it out"),
        (b"[]", None, "Expected `object`, got `array`"),
    ],
)
def test_what_does_not_fit_is_named_as_a_field(sent: bytes, field: str | None, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(Strict, sent)
    assert (refused.value.field, str(refused.value)) == (field, f"{field}: {reason}" if field else reason)


def test_a_body_that_is_not_utf_8_is_told_so() -> None:
    with pytest.raises(NotJson, match="the body is not JSON: it is not UTF-8"):
        decode(Strict, '{"text": "退货"}'.encode("gbk"))


@pytest.mark.parametrize("item", [b'""', b'"a"', rb'"\\"', rb'"\""'])
def test_more_strings_than_any_request_needs_are_refused_before_they_are_decoded(item: bytes) -> None:
    """Even where the body is no JSON in the end: nobody has looked."""
    with pytest.raises(InvalidRequest, match=f"more than {MAX_STRINGS} strings"):
        decode(Body, body(item, 2 * MAX_STRINGS + 1, end=b"no JSON"))


@pytest.mark.parametrize("item", [b"[]", b"{}"])
def test_more_lists_and_objects_than_any_request_needs_are_refused_before_they_are_decoded(item: bytes) -> None:
    with pytest.raises(InvalidRequest, match=f"more than {MAX_CONTAINERS} lists and objects"):
        decode(Body, body(item, MAX_CONTAINERS + 1, end=b"no JSON"))


@pytest.mark.parametrize("text", ['"' * 2 * MAX_STRINGS, "\\" * 2 * MAX_STRINGS, '\\"' * MAX_STRINGS])
def test_a_text_may_have_any_number_of_quotation_marks(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').encode()
    assert decode(Body, body(b'"' + quoted + b'"', 1)).values == [text]


def test_as_many_strings_as_are_allowed_are_decoded() -> None:
    assert len(decode(Body, body(b'"a"', MAX_STRINGS - 1)).values) == MAX_STRINGS - 1


def test_what_is_no_json_is_said_to_be_none() -> None:
    with pytest.raises(NotJson):
        decode(Body, b"x" * (MANY_BYTES + 1))


@pytest.mark.parametrize(("size", "beside"), [(MANY_BYTES - 100, False), (MANY_BYTES, True)])
async def test_a_large_body_is_decoded_beside_the_event_loop(size: int, beside: bool) -> None:
    threads: list[int] = []

    class Noted(Body):
        def __post_init__(self) -> None:
            threads.append(threading.get_ident())

    assert (await in_thread(partial(decode, Noted), body(b'"' + b"a" * size + b'"', 1))).values == ["a" * size]
    assert (threads != [threading.get_ident()]) is beside
    with pytest.raises(NotJson):
        await in_thread(partial(decode, Noted), b"{" + b"a" * size)


class Sender:
    """A request of a tenant whose body arrives in chunks, when the test sends them."""

    def __init__(self, bodies: Bodies, tenant_id: str, encoding: str = "", declared: int | None = None) -> None:
        self._chunks: asyncio.Queue[Message] = asyncio.Queue()
        context = RequestContext("id", "POST", "/v1/classify")
        context.tenant_id = tenant_id
        headers = [(b"content-encoding", encoding.encode())] if encoding else []
        headers += [] if declared is None else [(b"content-length", b"%d" % declared)]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "context": context}
        self.request = Request(scope, self._chunks.get)
        self.reading = asyncio.ensure_future(bodies.read(self.request))

    async def send(self, chunk: bytes = CHUNK, *, more: bool = True) -> None:
        self._chunks.put_nowait({"type": "http.request", "body": chunk, "more_body": more})
        for _ in range(10):
            await asyncio.sleep(0)


async def end(*senders: Sender) -> None:
    for sender in senders:
        sender.reading.cancel()
    await asyncio.gather(*(sender.reading for sender in senders), return_exceptions=True)


async def test_a_tenant_that_has_more_than_is_left_free_loses_its_oldest_body() -> None:
    bodies = Bodies(SETTINGS, Pacing())
    neighbour = Sender(bodies, "neighbour")
    await neighbour.send()
    attackers = [Sender(bodies, "attacker") for _ in range(8)]
    for attacker in attackers:
        await attacker.send()
    # 100,000 bytes: one chunk of the neighbour, two of the attacker, and as many free.
    assert [attacker.reading.done() for attacker in attackers] == [True] * 6 + [False] * 2
    for attacker in attackers[:6]:
        with pytest.raises(BodyTooSlow, match="others needed its memory"):
            await attacker.reading
        bodies.release(attacker.request)
    await neighbour.send(more=False)
    assert await neighbour.reading == CHUNK * 2
    await end(*attackers)


async def test_where_nothing_is_left_the_tenant_with_most_loses_its_oldest_body() -> None:
    bodies = Bodies(SETTINGS, Pacing())
    tenants = [Sender(bodies, f"tenant {number}") for number in range(4)]
    for tenant in tenants:
        await tenant.send()
    await tenants[2].send()
    assert not any(tenant.reading.done() for tenant in tenants), "each has one body, together 100,000 bytes"
    newcomer = Sender(bodies, "newcomer")
    await newcomer.send()
    assert [tenant.reading.done() for tenant in (*tenants, newcomer)] == [False, False, True, False, False]
    await end(*tenants, newcomer)


async def test_a_large_body_costs_a_tenant_as_many_of_its_own_as_it_needs() -> None:
    """However little these have sent: they hold no room open for it."""
    bodies = Bodies(SETTINGS, Pacing())
    whole = Sender(bodies, "attacker")
    await whole.send(more=False)
    slow = [Sender(bodies, "attacker") for _ in range(5)]
    for sender in slow:
        await sender.send(b"x")
    compressed = Sender(bodies, "attacker", "gzip")
    await compressed.send(gzip.compress(CHUNK + CHUNK), more=False)
    await asyncio.gather(compressed.reading, return_exceptions=True)
    assert all(isinstance(sender.reading.exception(), BodyTooSlow) for sender in (*slow, compressed))


async def test_bodies_count_until_they_are_released() -> None:
    """Where all of a tenant's are whole and wait to be decoded, its newest is refused, and no other tenant's."""
    bodies = Bodies(SETTINGS, Pacing())
    whole = [Sender(bodies, "attacker") for _ in range(2)]
    for sender in whole:
        await sender.send(more=False)
        assert await sender.reading == CHUNK
    refused = Sender(bodies, "attacker")
    await refused.send(more=False)
    with pytest.raises(BodyTooSlow):
        await refused.reading
    neighbour = Sender(bodies, "neighbour")
    await neighbour.send(more=False)
    assert await neighbour.reading == CHUNK
    for sender in (refused, neighbour, whole[0]):
        bodies.release(sender.request)
    again = Sender(bodies, "attacker")
    await again.send(more=False)
    assert await again.reading == CHUNK


async def test_a_tenant_whose_bodies_all_wait_shuts_nobody_out() -> None:
    """Twenty small bodies that decompress to as many bytes as there is memory."""
    bodies = Bodies(SETTINGS, Pacing())
    content = b"x" * 5_000
    attackers = [Sender(bodies, "attacker", "gzip") for _ in range(20)]
    for attacker in attackers:
        await attacker.send(gzip.compress(content), more=False)
        await asyncio.gather(attacker.reading, return_exceptions=True)
    neighbours = [Sender(bodies, name) for name in ("neighbour", "another")]
    for neighbour in neighbours:
        await neighbour.send(more=False)
    assert [await neighbour.reading for neighbour in neighbours] == [CHUNK] * 2


async def test_a_body_that_fails_leaves_nothing_behind() -> None:
    bodies = Bodies(SETTINGS, Pacing())
    for _ in range(10):
        large = Sender(bodies, "attacker")
        for _ in range(3):
            await large.send()
        with pytest.raises(InvalidRequest, match="more than 40000 bytes"):
            await large.reading
        bodies.release(large.request)
    after = Sender(bodies, "attacker")
    await after.send()
    await after.send(more=False)
    assert await after.reading == CHUNK * 2


async def test_compressed_bodies_count_as_what_they_become() -> None:
    """However few bytes were sent."""
    bodies = Bodies(SETTINGS, Pacing())
    compressed = gzip.compress(CHUNK)
    senders = [Sender(bodies, "attacker", "gzip") for _ in range(5)]
    outcomes: list[bytes | BaseException] = []
    for sender in senders:
        await sender.send(compressed, more=False)
        outcomes += await asyncio.gather(sender.reading, return_exceptions=True)
    assert outcomes[:2] == [CHUNK] * 2
    assert isinstance(outcomes[2], BodyTooSlow), "of 100,000 bytes, three times 20,000 are more than is left"
    for sender in senders:
        bodies.release(sender.request)
    again = Sender(bodies, "attacker", "gzip")
    await again.send(compressed, more=False)
    assert await again.reading == CHUNK


def spend(bodies: Bodies, tenant_id: str) -> None:
    """What the tenant has cost is far beyond its share."""
    bodies._pacing.delay_s(tenant_id, 1.0, asyncio.get_running_loop().time())


async def test_the_large_bodies_of_one_tenant_wait_before_they_take_memory() -> None:
    bodies = Bodies(SETTINGS, Pacing())
    spend(bodies, "attacker")
    sizes = [("attacker", MIN_BODY_BYTES + 1), ("attacker", MIN_BODY_BYTES), ("neighbour", len(CHUNK))]
    senders = [Sender(bodies, tenant, declared=size) for tenant, size in sizes]
    for sender, (_, size) in zip(senders, sizes, strict=True):
        await sender.send(b"x" * size, more=False)
    assert [sender.reading.done() for sender in senders] == [False, True, True]
    assert bodies._counted_bytes["attacker"] == MIN_BODY_BYTES
    await end(*senders)


async def test_too_many_large_bodies_of_one_tenant_are_not_received() -> None:
    bodies = Bodies(SETTINGS, Pacing())
    spend(bodies, "attacker")
    senders = [Sender(bodies, "attacker", declared=20_000) for _ in range(MAX_WAITING_OF_CALLER + 1)]
    await asyncio.sleep(0)
    with pytest.raises(BodyTooSlow, match="too many large bodies"):
        await senders[-1].reading
    assert not any(sender.reading.done() for sender in senders[:-1])
    await end(*senders)


@pytest.mark.parametrize(("size", "cost_bytes"), [(30_000, 30_000), (40_001, 40_000)])
@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_a_body_whose_size_is_known_late_is_paid_by_the_next_of_its_tenant(
    size: int, cost_bytes: int, encoding: str
) -> None:
    """In chunks, or compressed; what is too large has been received and decompressed too."""
    bodies = Bodies(SETTINGS, Pacing())
    bodies._pacing.delay_s("attacker", SHARE * BURST_S, asyncio.get_running_loop().time())
    before = bodies._pacing._free_at["attacker"]
    content = b"x" * size
    sender = Sender(bodies, "attacker", encoding)
    await sender.send(gzip.compress(content) if encoding else content, more=False)
    await asyncio.wait([sender.reading])
    assert isinstance(sender.reading.exception(), BodyTooLarge) is (size > SETTINGS.max_body_bytes)
    paid_s = bodies._pacing._free_at["attacker"] - before
    assert paid_s == pytest.approx(cost_bytes * BODY_BYTE_S / SHARE)
