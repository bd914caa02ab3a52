from __future__ import annotations

import pytest

from tests.wanneng.client.fake_gateway import FakeGateway
from wanneng import AsyncClient, Client


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture(params=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest, gateway: FakeGateway) -> Client | AsyncClient:
    """Either client of the fake gateway, with the admin key."""
    return gateway.client() if request.param == "blocking" else gateway.async_client()
