"""What the chart makes of values, by rendering it. Whether Kubernetes does as told is in tests/cluster."""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.keys import FORM
from gateway.settings import Settings
from gateway.stores.declaration import Declaration
from tests.helm.tools import (
    CHART,
    EXAMPLES,
    Object,
    containers,
    environment,
    helm,
    named,
    one,
    pod_of,
    refusal,
    rendered,
)

GPUS = CHART / "ci/gpus.yaml"
TENANTS = CHART / "ci/tenants.yaml"
SCALED = CHART / "ci/autoscaling.yaml"
INT8: dict[str, Any] = {
    "model": {"source": "sources/a", "precision": "int8"},
    "engines": {"volume": {"persistentVolumeClaim": {"claimName": "engines"}}},
}
MAKERS = ("Deployment", "Job", "Pod")


def makers(objects: list[Object]) -> list[Object]:
    return [o for o in objects if o["kind"] in MAKERS]


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_every_example_passes_lint(example: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(example))
    assert done.returncode == 0, done.stdout


def test_every_pod_is_as_restricted_as_it_can_be(example: Path) -> None:
    """Pod security `restricted`, and beyond it a read-only root, no token, and bounds on memory."""
    objects = rendered(None, example)
    for maker in makers(objects):
        pod = pod_of(maker)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(maker):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]
    accounts = [o for o in objects if o["kind"] == "ServiceAccount"]
    assert accounts
    assert all(account["automountServiceAccountToken"] is False for account in accounts)


def test_every_pod_has_a_network_policy_but_the_test(example: Path) -> None:
    objects = rendered(None, example)
    selected = [o["spec"]["podSelector"]["matchLabels"] for o in objects if o["kind"] == "NetworkPolicy"]
    for maker in makers(objects):
        metadata = maker["metadata"] if maker["kind"] == "Pod" else maker["spec"]["template"]["metadata"]
        fitting = [labels for labels in selected if labels.items() <= metadata["labels"].items()]
        assert len(fitting) == (0 if metadata["labels"]["app.kubernetes.io/component"] == "test" else 1)


def test_only_gateways_workers_and_prometheus_reach_triton_and_it_reaches_nobody() -> None:
    objects = rendered(None, TENANTS)
    policy = one(objects, "NetworkPolicy", "w-triton")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    asking, scraping = policy["ingress"]
    assert asking["ports"] == [{"port": 8000}]
    components = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in asking["from"]]
    assert components == ["gateway", "worker"]
    assert all(peer.keys() == {"podSelector"} for peer in asking["from"]), "of this namespace alone"
    assert scraping == {"from": [{"namespaceSelector": {}}], "ports": [{"port": 8002}]}


def test_a_gateway_may_ask_dns_and_triton_and_what_is_named() -> None:
    for name in ("w-gateway", "w-worker", "w-migration"):
        policy = one(rendered(None, TENANTS), "NetworkPolicy", name)["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        dns, triton, named_one = policy["egress"]
        assert {port["port"] for port in dns["ports"]} == {53}
        assert triton["ports"] == [{"port": 8000}]
        assert triton["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "triton"
        assert named_one["ports"] == [{"port": 5432}, {"port": 6379}]
    assert len(one(rendered(), "NetworkPolicy", "w-gateway")["spec"]["egress"]) == 2
    assert "ingress" not in one(rendered(None, TENANTS), "NetworkPolicy", "w-worker")["spec"]


def test_who_may_ask_the_gateway_can_be_named_and_prometheus_still_may() -> None:
    only = {"networkPolicies": {"gatewayFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}}
    (rule,) = one(rendered(only), "NetworkPolicy", "w-gateway")["spec"]["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"namespaceSelector": {}}]
    assert rule["ports"] == [{"port": 8080}]
    (everybody,) = one(rendered(), "NetworkPolicy", "w-gateway")["spec"]["ingress"]
    assert "from" not in everybody


def test_policies_and_budgets_can_be_left_out() -> None:
    objects = rendered({"networkPolicies": {"enabled": False}, "podDisruptionBudgets": {"enabled": False}})
    assert named(objects, "NetworkPolicy") == named(objects, "PodDisruptionBudget") == []


def test_one_object_a_file() -> None:
    """A file makes one kind, which is in its name, and every object's name says whose it is."""
    for path in (CHART / "templates").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        kinds = {line.removeprefix("kind: ") for line in text.splitlines() if line.startswith("kind: ")}
        if path.name != "checks.yaml":
            assert {kind.lower() for kind in kinds} == {path.stem.rpartition("-")[2]}, path.name


def test_the_gateway_asks_every_pool_by_its_own_name_and_weight() -> None:
    gateway = one(rendered(None, GPUS), "Deployment", "w-gateway")
    settings = environment(containers(gateway)[0])
    assert settings["WANNENG_TRITON_URL"] == (
        "dns+http://w-triton-a10:8000#pool=a10&weight=1,dns+http://w-triton-a100:8000#pool=a100&weight=3"
    )
    assert settings["WANNENG_BUCKETS"] == "32,64,128,256,512"
    assert "WANNENG_BUCKETS" not in environment(containers(one(rendered(), "Deployment", "w-gateway"))[0])
    services = [one(rendered(None, GPUS), "Service", f"w-triton-{pool}") for pool in ("a10", "a100")]
    assert all(service["spec"]["clusterIP"] == "None" for service in services)


def test_each_pool_has_its_own_nodes_gpus_and_way_of_rolling_out() -> None:
    objects = rendered(None, GPUS)
    assert named(objects, "Deployment") == ["w-gateway", "w-triton-a10", "w-triton-a100"]
    small, large = (one(objects, "Deployment", f"w-triton-{pool}") for pool in ("a10", "a100"))
    assert (small["spec"]["replicas"], large["spec"]["replicas"]) == (4, 6)
    assert pod_of(small)["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A10"}
    for deployment in (small, large):
        triton = pod_of(deployment)["containers"][0]
        assert triton["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert triton["resources"]["requests"]["nvidia.com/gpu"] == 1
        assert triton["image"] == "localhost/wanneng-triton-gpu:0.1.0"
        assert pod_of(deployment)["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert small["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert large["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_slices_and_whole_nodes_are_resources_like_any_other() -> None:
    objects = rendered(None, CHART / "ci/mig.yaml")
    slices, whole = (one(objects, "Deployment", f"w-triton-{pool}") for pool in ("slices", "whole"))
    assert pod_of(slices)["containers"][0]["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    assert pod_of(whole)["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert pod_of(whole)["priorityClassName"] == "system-cluster-critical"
    shm = [volume for volume in pod_of(whole)["volumes"] if volume["name"] == "shm"]
    assert shm == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]


def test_a_pod_on_cpus_asks_for_no_gpu() -> None:
    triton = pod_of(one(rendered(), "Deployment", "w-triton-cpu"))["containers"][0]
    assert not [name for name in triton["resources"]["limits"] if "gpu" in name]
    assert environment(triton)["WANNENG_ENGINE"] == "/opt/wanneng/embedded"


def test_pods_are_spread_over_nodes_and_zones() -> None:
    for name in ("w-gateway", "w-triton-cpu"):
        deployment = one(rendered(), "Deployment", name)
        spread = pod_of(deployment)["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        for each in spread:
            assert each["labelSelector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]


def test_the_life_of_a_triton_pod() -> None:
    """It counts after a real inference, is never asked for one again, and outlives its own drain."""
    pool = {"drainSeconds": 20, "exitSeconds": 40, "startSeconds": 600}
    pod = pod_of(one(rendered({"pools": {"cpu": pool}}), "Deployment", "w-triton-cpu"))
    triton = pod["containers"][0]
    assert triton["startupProbe"]["exec"]["command"] == ["python3", "-m", "wanneng.serve.probe"]
    assert triton["startupProbe"]["failureThreshold"] * triton["startupProbe"]["periodSeconds"] == 600
    assert triton["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert triton["livenessProbe"]["exec"]["command"] == ["python3", "-m", "wanneng.serve.alive"]
    assert triton["lifecycle"]["preStop"] == {"sleep": {"seconds": 20}}
    assert triton["args"] == ["triton", "--exit-timeout-s=40"]
    assert pod["terminationGracePeriodSeconds"] > 60


def test_the_life_of_a_gateway_pod() -> None:
    pod = pod_of(one(rendered({"gateway": {"drainSeconds": 20}}), "Deployment", "w-gateway"))
    gateway = pod["containers"][0]
    assert gateway["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/livez", (
        "all Tritons gone is no reason to close the door"
    )
    assert environment(gateway)["WANNENG_DRAIN_S"] == "20"
    assert pod["terminationGracePeriodSeconds"] > 20


def test_every_setting_of_the_gateway_is_one_that_it_knows() -> None:
    known = {f"WANNENG_{name.upper()}" for name in Settings.__slots__}
    for values in (None, GPUS, TENANTS):
        files = [values] if values else []
        deployments = [o for o in rendered(None, *files) if o["kind"] == "Deployment"]
        for deployment in [o for o in deployments if "-triton-" not in o["metadata"]["name"]]:
            assert set(environment(containers(deployment)[0])) <= known


def test_numbers_among_the_settings_stay_numbers() -> None:
    """A number in a file of values is a float to helm, which would write 6.4e+07."""
    given = {"WANNENG_MAX_FILE_BYTES": 64_000_000, "WANNENG_DEADLINE_S": 2.5, "WANNENG_REQUIRE_KEY": True}
    objects = rendered({"gateway": {"settings": given}})
    found = environment(containers(one(objects, "Deployment", "w-gateway"))[0])
    assert {name: found[name] for name in given} == {
        "WANNENG_MAX_FILE_BYTES": "64000000",
        "WANNENG_DEADLINE_S": "2.5",
        "WANNENG_REQUIRE_KEY": "true",
    }


def test_another_database_replaces_the_pods_and_another_chart_does_not(tmp_path: Path) -> None:
    def templates(objects: list[Object]) -> list[Object]:
        return [o["spec"]["template"] for o in objects if o["kind"] == "Deployment"]

    shutil.copytree(CHART, tmp_path / "wanneng")
    about = tmp_path / "wanneng/Chart.yaml"
    about.write_text(about.read_text(encoding="utf-8").replace("\nversion: 0.1.0", "\nversion: 0.1.1"))
    before = templates(rendered(None, TENANTS))
    assert templates(rendered(None, TENANTS, chart=tmp_path / "wanneng")) == before
    after = templates(rendered({"database": {"url": "postgresql://elsewhere/d"}}, TENANTS))
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True, False]


def decoded(secret: Object) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def test_without_a_database_tenants_are_declared_and_the_keys_that_are_missing_are_made() -> None:
    objects = rendered(None, CHART / "ci/declared.yaml")
    secret = decoded(one(objects, "Secret", "w-tenants"))
    assert secret.keys() == {"tenants.yaml", "globex"}, "acme's key is its owner's"
    assert FORM.fullmatch(secret["globex"])
    declared = Declaration(secret["tenants.yaml"].encode(), Settings())
    assert declared.tenants.keys() == {"acme", "globex"}
    (made,) = [key for key in declared.keys.values() if key.tenant_id == "globex"]
    assert made.digest == hashlib.sha256(secret["globex"].encode()).hexdigest()
    assert made.id == secret["globex"].split("_")[1]
    assert ("acme", "tickets", 1) in declared.label_sets
    assert secret["globex"] not in secret["tenants.yaml"]


def test_the_gateway_sees_the_sums_of_keys_and_no_key() -> None:
    gateway = one(rendered(), "Deployment", "w-gateway")
    (volume,) = [each for each in pod_of(gateway)["volumes"] if each["name"] == "tenants"]
    assert volume["secret"] == {
        "secretName": "w-tenants",
        "items": [{"key": "tenants.yaml", "path": "tenants.yaml"}],
    }
    assert environment(containers(gateway)[0])["WANNENG_DECLARED"] == "/etc/wanneng/tenants.yaml"


def test_a_secret_of_ones_own_takes_the_place_of_the_tenants() -> None:
    objects = rendered({"existingTenantsSecret": "mine"})
    assert "w-tenants" not in named(objects, "Secret")
    (volume,) = [v for v in pod_of(one(objects, "Deployment", "w-gateway"))["volumes"] if v["name"] == "tenants"]
    assert volume["secret"]["secretName"] == "mine"


def test_a_database_brings_the_whole_tenant_api() -> None:
    objects = rendered(None, TENANTS)
    gateway, worker = (one(objects, "Deployment", f"w-{name}") for name in ("gateway", "worker"))
    for deployment in (gateway, worker):
        settings = environment(containers(deployment)[0])
        assert settings["WANNENG_DATABASE_URL"] == {"secretKeyRef": {"name": "w-database", "key": "url"}}
        assert settings["WANNENG_REDIS_URL"] == {"secretKeyRef": {"name": "w-redis", "key": "url"}}
        assert "WANNENG_DECLARED" not in settings
    assert "WANNENG_ADMIN_KEY" in environment(containers(gateway)[0])
    assert "WANNENG_ADMIN_KEY" not in environment(containers(worker)[0])
    job = one(objects, "Job", "w-migration")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert containers(job)[0]["args"] == ["gateway.stores"]
    assert len(decoded(one(objects, "Secret", "w-admin"))["admin-key"]) == 64
    secret = one(objects, "Secret", "w-migration")
    assert secret["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    assert "secret@postgresql" not in str([o for o in objects if o["kind"] != "Secret"])


def test_secrets_of_ones_own_are_referred_to_and_not_made() -> None:
    own = {
        "database": {
            "existingSecret": {"name": "pg", "key": "dsn"},
            "adminKeySecret": {"name": "boss", "key": "token"},
        },
        "redis": {"existingSecret": {"name": "cache", "key": "address"}},
        "networkPolicies": {"egress": [{"ports": [{"port": 5432}]}]},
    }
    objects = rendered(own)
    assert named(objects, "Secret") == []
    settings = environment(containers(one(objects, "Deployment", "w-gateway"))[0])
    assert settings["WANNENG_DATABASE_URL"] == {"secretKeyRef": {"name": "pg", "key": "dsn"}}
    assert settings["WANNENG_REDIS_URL"] == {"secretKeyRef": {"name": "cache", "key": "address"}}
    assert settings["WANNENG_ADMIN_KEY"] == {"secretKeyRef": {"name": "boss", "key": "token"}}
    migration = environment(containers(one(objects, "Job", "w-migration"))[0])
    assert migration["WANNENG_DATABASE_URL"] == {"secretKeyRef": {"name": "pg", "key": "dsn"}}


def test_an_engine_is_built_for_each_kind_before_any_pod_changes() -> None:
    objects = rendered(None, GPUS)
    jobs = [o for o in objects if o["kind"] == "Job"]
    assert len(jobs) == 2, "an A10's plans are not an A100's"
    for job in jobs:
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        arguments = containers(job)[0]["args"]
        pool = job["metadata"]["annotations"]["wanneng.io/pool"]
        deployment = one(objects, "Deployment", f"w-triton-{pool}")
        folder = environment(pod_of(deployment)["containers"][0])["WANNENG_ENGINE"]
        assert arguments[:3] == ["engine", "build", "/engines/sources/structbert"]
        assert {f"--output={folder}", "--target=tensorrt", "--precision=fp16", "--if-missing"} <= set(arguments)
        assert pod_of(job)["nodeSelector"] == pod_of(deployment)["nodeSelector"]
        assert containers(job)[0]["resources"]["limits"]["nvidia.com/gpu"] == 1
        (waiting,) = pod_of(deployment)["initContainers"]
        assert waiting["args"][:3] == ["engine", "wait", folder]
        assert waiting["volumeMounts"] == [{"name": "engines", "mountPath": "/engines", "readOnly": True}]


def engine_of(values: dict[str, Any], pool: str = "cpu") -> str:
    triton = pod_of(one(rendered(values), "Deployment", f"w-triton-{pool}"))["containers"][0]
    return str(environment(triton)["WANNENG_ENGINE"])


def test_what_decides_an_engine_decides_its_folder_and_nothing_else_does() -> None:
    first = engine_of(INT8)
    assert engine_of(INT8 | {"pools": {"cpu": {"replicas": 7, "weight": 2}}}) == first
    others = [
        INT8 | {"model": {"source": "sources/b", "precision": "int8"}},
        INT8 | {"model": {"source": "sources/a", "precision": "fp32"}},
        INT8 | {"images": {"tritonCpu": {"tag": "0.2.0"}}},
        INT8 | {"pools": {"cpu": {"config": "onnx-cpu"}}},
    ]
    assert len({first, *(engine_of(values) for values in others)}) == 5
    plan = {"model": {"source": "a", "precision": "fp16"}, "engines": INT8["engines"]}
    plans = {
        engine_of(plan | {"pools": {"cpu": {"config": "tensorrt-a10", "computeCapability": capability}}})
        for capability in ("8.0", "8.6")
    }
    assert len(plans) == 2


def test_pools_of_one_kind_share_an_engine_and_its_job() -> None:
    objects = rendered(INT8 | {"pools": {"second": {"weight": 2}}})
    assert named(objects, "Deployment") == ["w-gateway", "w-triton-cpu", "w-triton-second"]
    assert len(named(objects, "Job")) == 1


def test_engines_may_be_built_elsewhere() -> None:
    objects = rendered(INT8 | {"engines": {**INT8["engines"], "build": {"enabled": False}}})
    assert named(objects, "Job") == []
    assert pod_of(one(objects, "Deployment", "w-triton-cpu"))["initContainers"]


def test_the_embedded_model_needs_no_volume_and_no_job() -> None:
    objects = rendered()
    assert named(objects, "Job") == []
    assert "initContainers" not in pod_of(one(objects, "Deployment", "w-triton-cpu"))


def test_pools_scale_on_demand_and_on_queueing_and_slowly_down() -> None:
    objects = rendered({"pools": {"cpu": {"weight": 2.5}}}, SCALED)
    deployment = one(objects, "Deployment", "w-triton-cpu")
    assert "replicas" not in deployment["spec"], "the autoscaler's number must outlive an upgrade"
    scaler = one(objects, "HorizontalPodAutoscaler", "w-triton-cpu")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 3)
    demand, queue = (metric["external"] for metric in scaler["metrics"])
    labels = {"matchLabels": {"namespace": "n", "release": "w", "pool": "cpu"}}
    assert demand == {
        "metric": {"name": "wanneng:pool_pairs_demanded", "selector": labels},
        "target": {"type": "AverageValue", "averageValue": "160"},
    }
    assert queue["metric"] == {"name": "wanneng:pool_queue_ratio", "selector": labels}
    assert queue["target"] == {"type": "Value", "value": "2"}
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_keda_asks_the_same_series() -> None:
    objects = rendered(None, CHART / "ci/keda.yaml")
    assert named(objects, "HorizontalPodAutoscaler") == []
    scaled = one(objects, "ScaledObject", "w-triton-cpu")["spec"]
    series = '{namespace="n",release="w",pool="cpu"}'
    assert [trigger["metadata"]["query"] for trigger in scaled["triggers"]] == [
        f"wanneng:pool_pairs_demanded{series}",
        f"wanneng:pool_queue_ratio{series}",
    ]


def test_nothing_scales_on_the_gpus_utilisation() -> None:
    """A gateway's CPU is the one utilisation that anything scales on."""
    for path in (CHART / "templates").glob("triton-*.yaml"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert "utili" not in "".join(lines).lower(), path.name


def test_gateways_scale_on_their_cpu() -> None:
    objects = rendered({"gateway": {"autoscaling": {"enabled": True}}})
    scaler = one(objects, "HorizontalPodAutoscaler", "w-gateway")["spec"]
    assert scaler["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 70},
    }
    assert "replicas" not in one(objects, "Deployment", "w-gateway")["spec"]


def test_doors_from_outside_are_there_when_asked_for() -> None:
    assert named(rendered(), "Ingress") == named(rendered(), "HTTPRoute") == []
    ingress = one(rendered(None, TENANTS), "Ingress", "w")["spec"]
    assert ingress["rules"][0]["host"] == "classify.example"
    assert ingress["rules"][0]["http"]["paths"][0]["backend"]["service"] == {"name": "w", "port": {"name": "http"}}
    route = one(rendered(None, CHART / "ci/declared.yaml"), "HTTPRoute", "w")["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert route["rules"][0]["backendRefs"] == [{"name": "w", "port": 80}]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"pools": {"cpu": None}}, "pools: there is none"),
    ({"pools": {"cpu": {"config": "h100"}}}, "pools.cpu.config: h100 is no config; there are local"),
    ({"pools": {"a10": {"config": "onnx-cuda"}}}, "needs a model of yours"),
    (
        {**INT8, "pools": {"a10": {"config": "onnx-cuda"}}},
        "pools.a10.config: onnx-cuda runs fp16, fp32, and model.precision is int8",
    ),
    ({**INT8, "model": {"source": "a", "precision": "fp16"}}, "pools.cpu.config: local runs fp32, int8"),
    ({**INT8, "pools": {"z": {"config": "local-padded"}}}, "serves lengths in buckets and pool cpu does not"),
    (
        {**INT8, "model": {"source": "a", "precision": "fp16"}, "pools": {"cpu": {"config": "tensorrt-a10"}}},
        "pools.cpu.computeCapability",
    ),
    ({"model": {"source": "sources/a"}}, "engines.volume: model.source is a folder on it"),
    ({"pools": {"cpu": {"autoscaling": {"enabled": True}}}}, "monitoring.enabled is false"),
    (
        {"monitoring": {"enabled": True}, "pools": {"cpu": {"autoscaling": {"enabled": True, "minReplicas": 9}}}},
        "minReplicas is above maxReplicas",
    ),
    (
        {
            "monitoring": {"enabled": True},
            "autoscaling": {"provider": "keda"},
            "pools": {"cpu": {"autoscaling": {"enabled": True}}},
        },
        "autoscaling.prometheusUrl",
    ),
    (
        {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 99}}},
        "gateway.autoscaling: minReplicas is above",
    ),
    ({"database": {"url": "sqlite:////data/wanneng.db"}}, "SQLite is a file of one process"),
    ({"database": {"url": "mysql://host/db"}}, "it must begin with postgresql://"),
    (
        {"database": {"url": "postgresql://h/d", "existingSecret": {"name": "pg"}}},
        "database: give url or existingSecret, not both",
    ),
    (
        {"redis": {"url": "redis://h", "existingSecret": {"name": "r"}}},
        "redis: give url or existingSecret, not both",
    ),
    ({"database": {"url": "postgresql://h/d"}}, "nothing may leave a gateway, and database is elsewhere"),
    ({"redis": {"url": "redis://h"}}, "nothing may leave a gateway, and redis is elsewhere"),
    ({"gateway": {"settings": {"WANNENG_OTLP_ENDPOINT": "http://c:4318"}}}, "WANNENG_OTLP_ENDPOINT is elsewhere"),
    ({"gateway": {"settings": {"WANNENG_PORT": 1}}}, "gateway.settings.WANNENG_PORT: the chart sets it itself"),
    ({"ingress": {"enabled": True}}, "ingress.hosts: name at least one host"),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the Gateway"),
    ({"tenants": []}, "tenants: there is none, so nobody could ask"),
]


@pytest.mark.parametrize(("values", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_values_that_contradict_each_other_are_refused_in_a_sentence(values: dict[str, Any], words: str) -> None:
    assert words in refusal(values)


def test_every_refusal_is_tested() -> None:
    text = (CHART / "templates/checks.yaml").read_text(encoding="utf-8")
    assert text.count("{{- fail ") <= len(REFUSED)


def test_every_entry_of_the_examples_changes_something(example: Path) -> None:
    """An example whose values do nothing would show nothing."""
    given = yaml.safe_load(example.read_text(encoding="utf-8"))
    if given:
        secrets = ("w-tenants", "w-admin")
        with_it, without = (
            [o for o in objects if o["metadata"]["name"] not in secrets]
            for objects in (rendered(None, example), rendered())
        )
        assert with_it != without
