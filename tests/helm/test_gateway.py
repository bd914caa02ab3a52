"""The gateway: its Deployment, settings, and the ways in."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.helm.tools import CHART, Object, containers, environment, find, names, pod_of, render, variables

GPUS = CHART / "ci/gpus.yaml"
DATABASE = CHART / "ci/database.yaml"


def settings_of(objects: list[Object]) -> Object:
    return environment(containers(find(objects, "Deployment", "w-gateway"))[0])


def test_every_pool_has_an_address_with_its_name_and_weight() -> None:
    objects = render(None, GPUS)
    assert settings_of(objects)["WANNENG_TRITON_URL"] == (
        "dns+http://w-triton-a10:8000#pool=a10&weight=1,dns+http://w-triton-a100:8000#pool=a100&weight=3"
    )
    services = [find(objects, "Service", f"w-triton-{pool}") for pool in ("a10", "a100")]
    assert all(service["spec"]["clusterIP"] == "None" for service in services)


def test_the_gateway_knows_the_length_buckets_of_the_pools() -> None:
    assert settings_of(render(None, GPUS))["WANNENG_LENGTH_BUCKETS"] == "32,64,128,256,512"
    assert "WANNENG_LENGTH_BUCKETS" not in settings_of(render())


@pytest.mark.parametrize(
    ("cpu", "workers"),
    [("100m", "1"), ("1999m", "1"), ("2000m", "2"), ("2", "2"), (4, "4"), (1.5, "1"), ("0.5", "1")],
)
def test_a_gateway_has_a_worker_for_each_core_that_it_requests(cpu: object, workers: str) -> None:
    objects = render({"gateway": {"resources": {"requests": {"cpu": cpu}}}})
    assert settings_of(objects)["WANNENG_WORKERS"] == workers


def test_the_number_of_workers_can_be_set() -> None:
    gateway = {"resources": {"requests": {"cpu": "4"}}, "settings": {"WANNENG_WORKERS": 3}}
    assert settings_of(render({"gateway": gateway}))["WANNENG_WORKERS"] == "3"
    assert settings_of(render({"gateway": {"resources": {}}}))["WANNENG_WORKERS"] == "1"


def test_lifecycle_of_a_gateway_pod() -> None:
    pod = pod_of(find(render({"gateway": {"drainSeconds": 20}}), "Deployment", "w-gateway"))
    gateway = pod["containers"][0]
    assert gateway["args"] == ["gateway"]
    assert gateway["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/livez", "it stays reachable without any Triton"
    assert environment(gateway)["WANNENG_DRAIN_S"] == "20"
    assert pod["terminationGracePeriodSeconds"] > 20


def test_every_variable_is_a_setting_of_the_gateway() -> None:
    for files in ((), (GPUS,), (DATABASE,)):
        assert set(settings_of(render(None, *files))) <= variables(Settings)


def test_numbers_among_the_settings_keep_their_form() -> None:
    """Helm parses a number in a values file as a float, which it would print as 6.4e+07."""
    given = {"WANNENG_CACHE_BYTES": 64_000_000, "WANNENG_DEADLINE_S": 2.5, "WANNENG_REQUIRE_KEY": True}
    settings = settings_of(render({"gateway": {"settings": given}}))
    assert {name: settings[name] for name in given} == {
        "WANNENG_CACHE_BYTES": "64000000",
        "WANNENG_DEADLINE_S": "2.5",
        "WANNENG_REQUIRE_KEY": "true",
    }


@pytest.mark.parametrize(
    "files", [(), (CHART / "ci/tenants-file.yaml",)], ids=["default values", "tenants of one's own"]
)
def test_without_a_database_there_is_no_control_plane(files: tuple[object, ...]) -> None:
    objects = render(None, *files)  # type: ignore[arg-type]
    components = {o["metadata"]["labels"]["app.kubernetes.io/component"] for o in objects}
    assert components == {"gateway", "triton", "test"}
    settings = settings_of(objects)
    absent = ("CONTROL_PLANE_URL", "INTERNAL_KEY", "DATABASE_URL", "ADMIN_KEY")
    assert not {f"WANNENG_{name}" for name in absent} & settings.keys()
    assert settings["WANNENG_TENANTS_FILE"] == "/etc/wanneng/tenants.yaml"


def test_an_ingress_or_an_httproute_is_created_on_request() -> None:
    assert names(render(), "Ingress") == names(render(), "HTTPRoute") == []
    ingress = find(render(None, DATABASE), "Ingress", "w")["spec"]
    assert ingress["rules"][0]["host"] == "classify.example"
    assert ingress["rules"][0]["http"]["paths"][0]["backend"]["service"] == {"name": "w", "port": {"name": "http"}}
    route = find(render(None, CHART / "ci/tenants-file.yaml"), "HTTPRoute", "w")["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert route["rules"][0]["backendRefs"] == [{"name": "w", "port": 80}]


@pytest.mark.parametrize("files", [(), (DATABASE,)])
def test_metrics_and_the_tenant_api_are_behind_a_service_that_no_ingress_names(files: tuple[Path, ...]) -> None:
    ingress = {"enabled": True, "hosts": ["a.example"]}
    objects = render({"monitoring": {"enabled": True}, "ingress": ingress}, *files)
    (container,) = pod_of(find(objects, "Deployment", "w-gateway"))["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8080, "internal": 8090}
    assert environment(container)["WANNENG_INTERNAL_PORT"] == "8090"
    for name, port in (("w", "http"), ("w-internal", "internal")):
        service = find(objects, "Service", name)["spec"]
        assert [each["targetPort"] for each in service["ports"]] == [port]
    assert "type" not in find(objects, "Service", "w-internal")["spec"]
    (endpoint,) = find(objects, "PodMonitor", "w-gateway")["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("internal", "/metrics")
    assert "w-internal" not in str([o for o in objects if o["kind"] in ("Ingress", "HTTPRoute")])


def test_helms_test_manages_its_tenant_at_the_internal_port() -> None:
    (test,) = [o for o in render(None, DATABASE) if o["kind"] == "Pod"]
    values = environment(containers(test)[0])
    assert (values["URL"], values["INTERNAL_URL"]) == ("http://w:80", "http://w-internal:8090")
