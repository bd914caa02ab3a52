from __future__ import annotations

from pathlib import Path

import pytest

from tests.wanneng.client.fake_gateway import FakeGateway
from wanneng.errors import StartError
from wanneng.serve import access


async def local_key(gateway: FakeGateway, state_dir: Path) -> str:
    async with gateway.async_client() as client:
        return await access.local_key(client, state_dir)


def with_local_tenant() -> FakeGateway:
    gateway = FakeGateway()
    gateway.client().tenants.create("local")
    return gateway


async def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    gateway = with_local_tenant()
    first = await local_key(gateway, tmp_path)
    assert await local_key(gateway, tmp_path) == first
    assert len(gateway.tenants) == 1
    assert (tmp_path / access.LOCAL_KEY_FILE).stat().st_mode & 0o777 == 0o600


async def test_a_key_that_the_gateway_does_not_know_is_replaced(tmp_path: Path) -> None:
    """The database was deleted, or is another one."""
    first = await local_key(with_local_tenant(), tmp_path)
    other = with_local_tenant()
    other.client().tenants.keys.create("t0")
    other.keys["t0"][0]["id"] = "another"
    second = await local_key(other, tmp_path)
    assert second != first
    assert second.split("_")[1] in {key["id"] for key in other.keys["t0"]}


async def test_the_tenant_is_made_where_there_is_none(tmp_path: Path) -> None:
    """A PostgreSQL that nobody served on loopback before."""
    gateway = FakeGateway()
    await local_key(gateway, tmp_path)
    assert [tenant["name"] for tenant in gateway.tenants.values()] == ["local"]


def test_the_admin_key_is_made_once(tmp_path: Path) -> None:
    first = access.admin_key(tmp_path / "state")
    assert access.admin_key(tmp_path / "state") == first
    assert len(first) == 64
    assert (tmp_path / "state" / access.ADMIN_KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00", b"short", b"two words " * 8, b"a" * 20])
def test_a_damaged_admin_key_is_refused_by_the_name_of_its_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / access.ADMIN_KEY_FILE
    path.write_bytes(content)
    with pytest.raises(StartError, match=r"^/.*admin\.key holds no admin key .*move it away for a new key$"):
        access.admin_key(tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"wn_"])
async def test_a_damaged_key_of_the_local_tenant_is_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / access.LOCAL_KEY_FILE
    path.write_bytes(content)
    key = await local_key(with_local_tenant(), tmp_path)
    assert path.read_text(encoding="utf-8").strip() == key


def test_a_key_that_cannot_be_written_whole_is_not_written(tmp_path: Path) -> None:
    (tmp_path / access.ADMIN_KEY_FILE).mkdir()
    with pytest.raises(IsADirectoryError):
        access.write_secret(tmp_path / access.ADMIN_KEY_FILE, "a" * 64)
    assert [path.name for path in tmp_path.iterdir()] == [access.ADMIN_KEY_FILE]
