"""Under the sub-path of a proxy, which removes it from the path of a request or does not."""

from __future__ import annotations

import pytest

from gateway.settings import Settings
from tests.fakes.control_plane import FakeControlPlane
from tests.fakes.gateway import gateway, gateway_app
from tests.fakes.server import serving
from tests.problems import assert_problem
from web.settings import SettingsError, load_settings

BODY = {"text": "要求退款", "labels": "投诉,咨询"}


@pytest.mark.parametrize("prefix", ["", "/nlp/zero-shot"])
async def test_a_proxy_may_remove_the_path_or_not(prefix: str) -> None:
    async with gateway(root_path="/nlp/zero-shot") as client:
        assert (await client.post(f"{prefix}/v1/classify", json=BODY)).status_code == 200
        assert (await client.get(f"{prefix}/livez")).status_code == 200
        document = (await client.get(f"{prefix}/openapi.json")).json()
        assert document["servers"] == [{"url": "/nlp/zero-shot"}]
        missing = await client.get(f"{prefix}/v1/nothing")
        assert_problem(missing, 404, "http_error")
        assert missing.json()["instance"] == "/nlp/zero-shot/v1/nothing"
        assert_problem(await client.get(f"{prefix}/nlp/zero-shot-2/livez"), 404, "http_error")


async def test_what_is_forwarded_has_the_control_planes_own_path() -> None:
    upstream = FakeControlPlane()
    async with (
        serving(upstream) as url,
        gateway(root_path="/nlp", control_plane_url=url, internal_key="i" * 32) as client,
    ):
        await client.get("/nlp/v1/label-sets/a%20b?limit=1")
        await client.get("/%6Elp/v1/label-sets/c")
        # Else example.com would be the host that is asked, and would get the internal key.
        await client.get("/nlp%2Fv1%2Flabel-sets%2F@example.com/d")
    assert [request.target for request in upstream.requests] == [
        "/v1/label-sets/a%20b?limit=1",
        "/v1/label-sets/c",
        "/v1/label-sets/%40example.com/d",
    ]


@pytest.mark.parametrize("path", ["/nlp/metrics", "/nlp/nlp/metrics", "/nlp/nlp/nlp/metrics"])
async def test_no_prefix_leads_to_what_the_internal_port_alone_serves(path: str) -> None:
    async with gateway(root_path="/nlp", internal_port=9_000) as client:
        assert_problem(await client.get(path), 404, "http_error")


async def test_the_prefix_is_removed_once() -> None:
    async with gateway(root_path="/nlp") as client:
        assert_problem(await client.get("/nlp/nlp/v2/models/zero_shot"), 404, "http_error")


async def test_the_path_without_its_last_slash_leads_to_the_page() -> None:
    async with gateway(root_path="/nlp") as client:
        answer = await client.get("/nlp")
    assert (answer.status_code, answer.headers["location"]) == (308, "/nlp/")


async def test_without_the_setting_the_gateway_has_no_other_path() -> None:
    async with gateway() as client:
        assert (await client.get("/openapi.json")).json()["servers"] == [{"url": "/"}]
        assert_problem(await client.get("/nlp/livez"), 404, "http_error")


@pytest.mark.parametrize("value", ["nlp", "/", "/nlp/", "/a b", "https://x/nlp", "/nlp?x"])
def test_a_path_that_cannot_be_used_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="WANNENG_ROOT_PATH is "):
        load_settings(Settings, {"WANNENG_ROOT_PATH": value})


def test_a_path_of_the_gateways_own_is_refused() -> None:
    with pytest.raises(SettingsError, match="WANNENG_ROOT_PATH is /v1, where the gateway has paths of its own"):
        gateway_app(root_path="/v1")
