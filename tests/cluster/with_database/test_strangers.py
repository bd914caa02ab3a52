"""Strangers inside the cluster: a Pod of another namespace without a key, and a tenant's Pod beside the release.

tests/e2e attacks the same processes on one machine. Here is what only Pods have: a limit of memory, no bounds per
address, volumes, Services and network policies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.attack_job import Job
from tests.cluster import inspection
from tests.cluster.admission import admitted
from tests.cluster.attacker import Attacker
from tests.cluster.kubernetes import Release, eventually
from tests.cluster.load import Load, lossless
from tests.e2e.strangers import CLOSED_OVER_GRPC, CLOSED_OVER_HTTP
from tests.helm.tools import Object

COMPONENTS = ("gateway", "triton", "control-plane", "worker")
TEXT = "只有我知道的秘密文本 7f3a"
SECONDS = 4.0
"""Of each attack."""
BY_STRANGERS = (
    *("a URL without end", "headers without end", "a header value without end"),
    *("2,000 silent connections", "64 slow readers", "unknown keys", "2,000 unfinished heads of 60 KB"),
)
BY_TENANTS = (
    *("256 unfinished bodies of 3.9 MB", "256 bodies of 4 KB that decompress to 3.9 MB"),
    "64 texts of 60,000 characters",
    *("KServe: a million empty strings", "deep JSON"),
)
CLIENT = {"role": "client"}
OPERATORS_PATHS = ("/metrics", "/v1/tenants", "/v1/admin/audit")
SPELLINGS = (
    "%s",
    "%s/",
    "%s?a=b",
    "%s/.",
    "/%s",
    "/.%s",
    "/v1/..%s",
    "/livez%s",
    "http://wanneng-internal:8090%s",
)


@pytest.fixture(scope="module")
def key(release: Release) -> str:
    """Of the tenant that is attacked."""
    return release.operators_api.create_tenant(release.admin_key, "attacked")[1]


@pytest.fixture(scope="module")
def attackers_key(release: Release) -> str:
    return release.operators_api.create_tenant(release.admin_key, "attacker")[1]


def image_of(release: Release) -> str:
    return str(release.pods("gateway")[0]["spec"]["containers"][0]["image"])


@pytest.fixture(scope="module")
def stranger(release: Release, namespaced: Callable[[dict[str, Any]], Release]) -> Attacker:
    """In another namespace, disguised as a gateway of the release."""
    labels = release.pods("gateway")[0]["metadata"]["labels"]
    attacker = Attacker(release.kubernetes, namespaced({}).namespace, "stranger")
    attacker.start(image_of(release), {name: value for name, value in labels.items() if "hash" not in name})
    return attacker


@pytest.fixture(scope="module")
def tenant(release: Release) -> Iterator[Attacker]:
    """In the namespace of the release."""
    attacker = Attacker(release.kubernetes, release.namespace, "tenant")
    attacker.start(image_of(release), CLIENT)
    yield attacker
    attacker.delete()


@pytest.fixture(params=["stranger", "tenant"])
def attacker(request: pytest.FixtureRequest) -> Attacker:
    found: Attacker = request.getfixturevalue(request.param)
    return found


def address_of(pod: Object) -> str:
    return str(pod["status"]["podIP"])


def test_nobody_controls_triton(release: Release, attacker: Attacker) -> None:
    """Whether the network keeps everybody away, or Triton closes its APIs."""
    host = address_of(release.pods("triton")[0])
    (alive,) = attacker.ask(host, 8000, [("GET", "/v2/health/ready", "")])
    answers = attacker.ask(host, 8000, [(method, path, "") for method, path in CLOSED_OVER_HTTP])
    (live, *calls) = attacker.ask(host, 8001, ["ServerLive", *CLOSED_OVER_GRPC])
    if not alive:
        assert {live, *answers, *calls, *attacker.ask(host, 8002, [("GET", "/metrics", "")])} == {""}
        return
    assert alive.startswith("HTTP/1.1 200")
    assert [answer[:12] for answer in answers if not answer.startswith("HTTP/1.1 4")] == []
    assert "grpc-status\x010" in live
    assert not [call for call, answer in zip(CLOSED_OVER_GRPC, calls, strict=True) if "grpc-status\x010" in answer]


def test_the_policies_admit_gateways_to_triton_and_nobody_who_looks_like_one(
    release: Release, stranger: Attacker, tenant: Attacker
) -> None:
    """On a network that enforces them."""
    gateways = {(release.namespace, pod["metadata"]["name"]) for pod in release.pods("gateway")}
    assert admitted(release, "triton", 8000) == gateways
    assert admitted(release, "control-plane", 8081) == gateways
    assert admitted(release, "triton", 8001) == set()
    for component, port in (("triton", 8002), ("gateway", 8090), ("control-plane", 8082), ("worker", 8091)):
        pods = admitted(release, component, port)
        assert pods is not None
        assert not pods & {(each.namespace, each.name) for each in (stranger, tenant)}


def test_the_gateway_can_be_restricted_to_some_clients(
    release: Release, stranger: Attacker, tenant: Attacker
) -> None:
    assert admitted(release, "gateway", 8080) is None
    values = release.values
    policies = values["networkPolicies"] | {"gatewayFrom": [{"podSelector": {"matchLabels": CLIENT}}]}
    release.values = values | {"networkPolicies": policies}
    try:
        release.upgrade("--no-hooks")
        workers = {(release.namespace, pod["metadata"]["name"]) for pod in release.pods("worker")}
        # The Pod of an earlier `helm test` may still be there.
        pods = admitted(release, "gateway", 8080)
        assert pods is not None
        assert pods - {(release.namespace, f"{release.name}-test")} == workers | {(tenant.namespace, tenant.name)}
    finally:
        release.values = values
        release.upgrade("--no-hooks")


@pytest.mark.parametrize("path", OPERATORS_PATHS)
def test_no_spelling_of_an_operators_path_leads_there_from_the_public_service(
    path: str, release: Release, stranger: Attacker
) -> None:
    """Not even with the admin key."""
    service = f"{release.name}.{release.namespace}"
    headers = f"Authorization: Bearer {release.admin_key}\r\n"
    forwarded = f"{headers}X-Forwarded-Port: 8090\r\nX-Forwarded-Host: {release.name}-internal:8090\r\n"
    encoded = f"/%{ord(path[1]):x}{path[2:]}"
    targets = [*(spelling % path for spelling in SPELLINGS), encoded, path.upper()]
    calls = [*(("GET", target, headers) for target in targets), ("GET", path, forwarded)]
    right, *answers = stranger.ask(service, 80, [("GET", "/livez", ""), *calls])
    assert right.startswith("HTTP/1.1 200")
    assert [answer[:200] for answer in answers if not answer.startswith("HTTP/1.1 4")] == []
    (internal,) = stranger.ask(f"{release.name}-internal.{release.namespace}", 8090, [("GET", path, headers)])
    # A network that enforces the policies lets no stranger go there.
    assert internal == "" or internal.startswith("HTTP/1.1 200")


def containers(release: Release) -> dict[str, list[tuple[str, int, Any]]]:
    """By Pod: each container, how often it was restarted, and how it ended before."""
    return {
        pod["metadata"]["name"]: [
            (status["name"], status["restartCount"], status["lastState"])
            for status in pod["status"]["containerStatuses"]
        ]
        for component in COMPONENTS
        for pod in release.pods(component)
    }


def memory(release: Release, pod: Object) -> tuple[int, int]:
    """The most that the main container has used, and its limit, in bytes."""
    files = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")
    command = " || ".join(f"cat {file} 2>/dev/null" for file in files)
    used = release.kubectl("exec", pod["metadata"]["name"], "--", "sh", "-c", command)
    limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
    return int(used), int(limit.removesuffix("Mi")) << 20


def has_more(load: Load, answered: int) -> bool:
    return load.successes > answered


@pytest.mark.parametrize(
    ("who", "attacks"), [("stranger", BY_STRANGERS), ("tenant", BY_TENANTS)], ids=["stranger", "tenant"]
)
def test_no_attack_fails_a_neighbours_request_or_takes_a_pods_memory(
    who: str,
    attacks: tuple[str, ...],
    release: Release,
    key: str,
    attackers_key: str,
    request: pytest.FixtureRequest,
) -> None:
    """One gateway is attacked; the neighbour asks through the Service, and so that one too."""
    attacker: Attacker = request.getfixturevalue(who)
    before, victim = containers(release), release.pods("gateway")[0]
    with lossless(release.address, key) as load:
        for attack in attacks:
            job = Job(attack, address_of(victim), 8080, attackers_key if who == "tenant" else "", SECONDS)
            outcomes, answered = attacker.attack(job), load.successes
            assert outcomes, f"{attack}: nothing was answered or closed"
            faults = {status for status in outcomes if status.startswith("5") and status != "503"}
            assert not faults, (attack, outcomes)
            assert containers(release) == before, (attack, outcomes)
            used, limit = memory(release, victim)
            assert used < limit, (attack, outcomes, used)
            eventually("the neighbour is answered", partial(has_more, load, answered), 30)


@pytest.fixture(scope="module")
def secrets(release: Release, key: str) -> dict[str, str]:
    """By name."""
    return {
        "admin key": release.admin_key,
        "internal key": release.secret(f"{release.name}-internal")["internal-key"],
        "database": release.values["database"]["url"],
        "tenant's key": key,
        "text": TEXT,
    }


def inspect(release: Release, pod: Object, secrets: dict[str, str]) -> dict[str, Any]:
    """What `inspection.py` finds in a Pod."""
    program = Path(inspection.__file__).read_text(encoding="utf-8")
    command = ("exec", "-i", pod["metadata"]["name"], "-c", pod["spec"]["containers"][0]["name"])
    output = release.kubernetes.kubectl(
        *("--namespace", release.namespace, *command, "--", "python3", "-c", program), input_=json.dumps(secrets)
    )
    found: dict[str, Any] = json.loads(output)
    return found


@pytest.mark.parametrize(
    ("component", "readable"),
    [
        ("gateway", {"internal key", "database"}),
        ("control-plane", {"admin key", "internal key", "database"}),
        ("worker", {"internal key", "database"}),
        ("triton", {"text"}),
    ],
)
def test_a_pod_has_few_rights_and_shows_its_secrets_to_its_own_user_alone(
    component: str, readable: set[str], release: Release, key: str, secrets: dict[str, str]
) -> None:
    """Arguments, which everybody reads, have none; Triton's shared memory has the texts that it was asked."""
    texts = [f"{TEXT} {number} " * 10 for number in range(16)]
    uncached = {"Cache-Control": "no-cache"}

    def inspected() -> list[dict[str, Any]] | None:
        # Triton's shared memory keeps a text until something else is written there.
        release.api.call(
            "POST", "/v1/classify", key, {"texts": texts, "labels": ["投诉", "咨询"]}, headers=uncached
        )
        each = [inspect(release, pod, secrets) for pod in release.pods(component)]
        names = {name for pod in each for found in pod["found"].values() for name in found}
        return each if names == readable else None

    for each in eventually(f"{readable} are found, and no other secret", inspected, 30):
        assert each["others"] == []
        assert ("ro" in each["root"], each["written"], each["token"]) == (True, [], False)
        status = each["status"]
        assert {int(value, 16) for name, value in status.items() if name.startswith("Cap")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert set(status["Uid"].split()) == {"65532"}


def test_the_logs_have_no_secret_wherever_it_was_sent(
    release: Release, tenant: Attacker, key: str, secrets: dict[str, str]
) -> None:
    places = [
        ("GET", f"/v1/models?key={key}", ""),
        ("GET", f"/v1/label-sets/{key}", f"Authorization: Bearer {key}\r\n"),
        ("GET", f"/{key}", f"Authorization: Basic {key}\r\n"),
        ("POST", "/v1/classify", f"Authorization: {key}\r\nCookie: {key}\r\nReferer: {key}\r\nHost: {key}\r\n"),
        ("GET", "/v1/usage", "Authorization: Bearer x\r\nX-Request-Id: sent-by-a-stranger\r\n"),
    ]
    answers = tenant.ask(release.name, 80, places)
    assert [answer[:200] for answer in answers if not answer.startswith("HTTP/1.1 4")] == []
    logs = {
        pod["metadata"]["name"]: release.kubectl("logs", pod["metadata"]["name"], "--all-containers")
        for component in COMPONENTS
        for pod in release.pods(component)
    }
    assert any("sent-by-a-stranger" in log for log in logs.values())
    assert [(pod, name) for pod, log in logs.items() for name, secret in secrets.items() if secret in log] == []
