"""With a database: the control plane, the worker, the migration Job, and which secret each process gets."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from control_plane.settings import Settings, WorkerSettings, check_oidc, load_settings
from tests.helm.test_triton import INT8
from tests.helm.tools import CHART, Object, containers, environment, find, helm, names, pod_of, render, variables

DATABASE = CHART / "ci/database.yaml"
SEED = "0123456789abcdef" * 4
COMPONENTS = ("gateway", "control-plane", "worker")


def deployment(objects: list[Object], component: str) -> Object:
    return find(objects, "Deployment", f"w-{component}")


def settings_of(objects: list[Object], component: str) -> Object:
    return environment(containers(deployment(objects, component))[0])


def decoded(secret: Object) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def test_each_component_runs_its_command_from_one_image() -> None:
    """The table in the chart's README has the same commands."""
    objects = render(None, DATABASE)
    commands = {
        component: containers(find(objects, kind, f"w-{component}"))[0]["args"]
        for kind, component in (*(("Deployment", component) for component in COMPONENTS), ("Job", "migration"))
    }
    assert commands == {
        "gateway": ["gateway"],
        "control-plane": ["control_plane", "serve"],
        "worker": ["control_plane", "worker"],
        "migration": ["control_plane", "migrate"],
    }
    images = {containers(deployment(objects, component))[0]["image"] for component in COMPONENTS}
    assert images == {"localhost/wanneng-gateway:0.1.0"}
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    for component, command in commands.items():
        assert f"| `{component}` | `python -m {' '.join(command)}`" in readme


def test_the_control_plane_reads_the_metrics_of_every_gateway() -> None:
    """Of those that are not ready too."""
    objects = render(None, DATABASE)
    service = find(objects, "Service", "w-gateways")["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert service["selector"] == find(objects, "Service", "w-internal")["spec"]["selector"]
    (port,) = service["ports"]
    url = f"dns+http://w-gateways:{port['port']}"
    assert settings_of(objects, "control-plane")["WANNENG_GATEWAY_METRICS_URL"] == url
    assert "w-gateways" not in {o["metadata"]["name"] for o in render()}, "nobody would ask it"


def test_the_gateway_reaches_the_control_plane_through_its_service() -> None:
    objects = render(None, DATABASE)
    service = find(objects, "Service", "w-control-plane")["spec"]
    url = f"http://w-control-plane:{service['ports'][0]['port']}"
    assert settings_of(objects, "gateway")["WANNENG_CONTROL_PLANE_URL"] == url
    assert "type" not in service, "it is reachable within the cluster only"
    template = deployment(objects, "control-plane")["spec"]["template"]
    assert service["selector"].items() <= template["metadata"]["labels"].items()
    port, metrics = pod_of(deployment(objects, "control-plane"))["containers"][0]["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    settings = settings_of(objects, "control-plane")
    assert settings["WANNENG_CONTROL_PLANE_PORT"] == str(port["containerPort"])
    assert settings["WANNENG_CONTROL_PLANE_INTERNAL_PORT"] == str(metrics["containerPort"])
    assert settings["WANNENG_CONTROL_PLANE_HOST"] == "0.0.0.0"


def test_the_worker_reaches_the_gateway_through_its_service() -> None:
    assert settings_of(render(None, DATABASE), "worker")["WANNENG_GATEWAY_URL"] == "http://w:80"
    other_port = render({"service": {"port": 8000}}, DATABASE)
    assert settings_of(other_port, "worker")["WANNENG_GATEWAY_URL"] == "http://w:8000"


def test_lifecycle_of_a_control_plane_pod() -> None:
    pod = pod_of(deployment(render({"controlPlane": {"drainSeconds": 20}}, DATABASE), "control-plane"))
    (container,) = pod["containers"]
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert probes == [{"path": "/livez", "port": "http"}] * 3, "it stays reachable without the database"
    assert environment(container)["WANNENG_DRAIN_S"] == "20"
    assert pod["terminationGracePeriodSeconds"] > 20


SECRETS = {
    "WANNENG_DATABASE_URL": ({"name": "w-database", "key": "url"}, {"gateway", "control-plane", "worker"}),
    "WANNENG_REDIS_URL": ({"name": "w-redis", "key": "url"}, {"gateway"}),
    "WANNENG_ADMIN_KEY": ({"name": "w-admin", "key": "admin-key"}, {"control-plane"}),
    "WANNENG_INTERNAL_KEY": (
        {"name": "w-internal", "key": "internal-key"},
        {"gateway", "control-plane", "worker"},
    ),
}


@pytest.mark.parametrize("variable", SECRETS)
def test_each_secret_is_given_to_the_processes_that_need_it(variable: str) -> None:
    reference, holders = SECRETS[variable]
    objects = render(None, DATABASE)
    sources = {component: settings_of(objects, component).get(variable) for component in COMPONENTS}
    assert sources == {
        component: {"secretKeyRef": reference} if component in holders else None for component in COMPONENTS
    }
    assert reference["key"] in find(objects, "Secret", reference["name"])["data"]


def test_the_worker_knows_neither_triton_nor_redis() -> None:
    worker = settings_of(render(None, DATABASE), "worker")
    assert not [name for name in worker if "TRITON" in name or "REDIS" in name]


def test_keys_are_generated_at_random() -> None:
    """Both have 256 bits, and every render makes new ones."""
    keys = []
    for objects in (render(None, DATABASE), render(None, DATABASE)):
        keys.append(decoded(find(objects, "Secret", "w-admin"))["admin-key"])
        keys.append(decoded(find(objects, "Secret", "w-internal"))["internal-key"])
    assert [len(key) for key in keys] == [64] * 4
    assert len(set(keys)) == 4


def test_the_migration_runs_before_an_install_or_upgrade() -> None:
    objects = render(None, DATABASE)
    job = find(objects, "Job", "w-migration")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert environment(containers(job)[0]).keys() == {"WANNENG_DATABASE_URL"}
    secret = find(objects, "Secret", "w-migration")
    assert secret["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


def test_the_connection_url_appears_in_secrets_only() -> None:
    assert "secret@postgresql" not in str([o for o in render(None, DATABASE) if o["kind"] != "Secret"])


def test_existing_secrets_are_referenced_instead_of_created() -> None:
    existing = {
        "database": {
            "existingSecret": {"name": "pg", "key": "dsn"},
            "adminKeySecret": {"name": "boss", "key": "token"},
        },
        "internalKeySecret": {"name": "planes", "key": "secret"},
        "redis": {"existingSecret": {"name": "cache", "key": "address"}},
        "networkPolicies": {"egress": {name: [{"ports": [{"port": 1}]}] for name in ("database", "redis")}},
    }
    objects = render(existing)
    assert names(objects, "Secret") == []
    gateway, admin, worker = (settings_of(objects, component) for component in COMPONENTS)
    database = {"secretKeyRef": {"name": "pg", "key": "dsn"}}
    assert gateway["WANNENG_DATABASE_URL"] == admin["WANNENG_DATABASE_URL"] == database
    assert worker["WANNENG_DATABASE_URL"] == database
    assert environment(containers(find(objects, "Job", "w-migration"))[0])["WANNENG_DATABASE_URL"] == database
    assert gateway["WANNENG_REDIS_URL"] == {"secretKeyRef": {"name": "cache", "key": "address"}}
    assert admin["WANNENG_ADMIN_KEY"] == {"secretKeyRef": {"name": "boss", "key": "token"}}
    internal = {"secretKeyRef": {"name": "planes", "key": "secret"}}
    assert gateway["WANNENG_INTERNAL_KEY"] == worker["WANNENG_INTERNAL_KEY"] == internal
    assert admin["WANNENG_INTERNAL_KEY"] == internal
    (test,) = [o for o in objects if o["kind"] == "Pod"]
    assert environment(containers(test)[0])["ADMIN_KEY"] == admin["WANNENG_ADMIN_KEY"]


def test_the_worker_alone_signs_alerts_of_budgets_and_may_reach_their_webhook() -> None:
    url, rule = {"WANNENG_BUDGET_WEBHOOK_URL": "https://alerts.example"}, {"ports": [{"port": 443}]}
    given = {
        "controlPlane": {"settings": url},
        "worker": {"budgetWebhookSecret": {"name": "mine", "key": "secret"}},
        "networkPolicies": {"egress": {"webhook": [rule]}},
    }
    objects = render(given, DATABASE)
    worker, control_plane = (settings_of(objects, component) for component in ("worker", "control-plane"))
    assert worker["WANNENG_BUDGET_WEBHOOK_URL"] == "https://alerts.example"
    assert worker["WANNENG_BUDGET_WEBHOOK_SECRET"] == {"secretKeyRef": {"name": "mine", "key": "secret"}}
    assert not [name for name in control_plane if "WEBHOOK" in name]
    assert rule in find(objects, "NetworkPolicy", "w-worker")["spec"]["egress"]
    assert rule not in find(objects, "NetworkPolicy", "w-control-plane")["spec"]["egress"]


def test_the_control_plane_alone_signs_people_in_and_may_reach_their_provider() -> None:
    rule = {"ports": [{"port": 443}]}
    roles = {"a=b,c": {"operator": True}, "acme": {"tenant": "t_1", "scopes": ["classify"]}}
    oidc = {
        "issuer": "https://login.example",
        "clientId": "console",
        "clientSecret": {"name": "mine", "key": "secret"},
        "redirectUrls": ["https://c.example/console", "http://localhost:8090/console"],
        "roles": roles,
    }
    egress = {"egress": {"identityProvider": [rule]}}
    objects = render({"controlPlane": {"oidc": oidc}, "networkPolicies": egress}, DATABASE)
    given = settings_of(objects, "control-plane")
    secret = given.pop("WANNENG_OIDC_CLIENT_SECRET")
    assert secret == {"secretKeyRef": {"name": "mine", "key": "secret"}}
    environment = {name: value for name, value in given.items() if name.startswith("WANNENG_OIDC_")}
    needed = {"WANNENG_INTERNAL_KEY": "k" * 32, "WANNENG_ADMIN_KEY": "a" * 32}
    settings = load_settings(environment | needed)
    check_oidc(settings)
    assert settings.oidc_redirect_urls == tuple(oidc["redirectUrls"])
    assert settings.oidc_scopes == Settings().oidc_scopes
    assert (settings.oidc_claim, settings.oidc_session_s) == (Settings().oidc_claim, Settings().oidc_session_s)
    assert settings.oidc_roles["a=b,c"].operator
    assert settings.oidc_roles["acme"].scopes == ("classify",)
    for component in ("gateway", "worker"):
        assert not [name for name in settings_of(objects, component) if "OIDC" in name]
        assert rule not in find(objects, "NetworkPolicy", f"w-{component}")["spec"]["egress"]
    assert rule in find(objects, "NetworkPolicy", "w-control-plane")["spec"]["egress"]


def test_every_variable_is_a_setting_of_its_process() -> None:
    given = {"WANNENG_MAX_FILE_BYTES": 1, "WANNENG_BATCH_LINES_AT_ONCE": 4, "WANNENG_MAX_LABELS": 64}
    objects = render({"controlPlane": {"settings": given}}, DATABASE)
    assert set(settings_of(objects, "control-plane")) <= variables(Settings)
    assert set(settings_of(objects, "worker")) <= variables(WorkerSettings)


def test_a_setting_reaches_the_processes_that_have_it() -> None:
    """A limit of the gateway that the control plane enforces, too, need not be given twice."""
    objects = render(
        {
            "gateway": {
                "settings": {"WANNENG_MAX_LABELS": 64, "WANNENG_DEADLINE_S": 5, "WANNENG_MAX_TOKENS": 256}
            },
            "controlPlane": {
                "settings": {
                    "WANNENG_MAX_TOKENS": 128,
                    "WANNENG_MAX_FILE_BYTES": 64_000_000,
                    "WANNENG_BATCH_LINES_AT_ONCE": 4,
                }
            },
        },
        DATABASE,
    )
    gateway, admin, worker = (settings_of(objects, component) for component in COMPONENTS)
    expected: dict[str, tuple[Any, Any, Any]] = {
        "WANNENG_MAX_LABELS": ("64", "64", None),
        "WANNENG_DEADLINE_S": ("5", None, None),
        "WANNENG_MAX_TOKENS": ("256", "128", None),
        "WANNENG_MAX_FILE_BYTES": (None, "64000000", None),
        "WANNENG_BATCH_LINES_AT_ONCE": (None, None, "4"),
    }
    for name, values in expected.items():
        assert (gateway.get(name), admin.get(name), worker.get(name)) == values, name


@pytest.mark.parametrize(
    "files", [(), (DATABASE,), (CHART / "ci/gpus.yaml",)], ids=["defaults", "database", "gpus"]
)
def test_an_uninstall_leaves_what_the_documentation_says(files: tuple[Path, ...]) -> None:
    """Helm deletes no hook of a release that it uninstalls, and nothing that is to be kept."""
    left = set()
    for o in render(None, *files):
        annotations = o["metadata"].get("annotations", {})
        is_hook = "helm.sh/hook" in annotations
        is_deleted = "hook-succeeded" in annotations.get("helm.sh/hook-delete-policy", "")
        if (is_hook and not is_deleted) or annotations.get("helm.sh/resource-policy") == "keep":
            left.add(o["kind"])
    assert "Pod" in left
    assert left <= {"Secret", "Job", "Pod"}


def test_a_disruption_budget_exists_where_a_pod_can_be_spared() -> None:
    objects = render({"podDisruptionBudgets": {"maxUnavailable": "50%"}}, DATABASE)
    budget = find(objects, "PodDisruptionBudget", "w-control-plane")["spec"]
    assert budget["maxUnavailable"] == "50%"
    assert budget["selector"] == deployment(objects, "control-plane")["spec"]["selector"]
    single = render({"controlPlane": {"replicas": 1}}, DATABASE)
    assert names(single, "PodDisruptionBudget") == ["w-gateway", "w-triton-cpu"]


def test_replicas_resources_and_placement_can_be_chosen() -> None:
    placement = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "db", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    }
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    chosen = {"replicas": 3, "resources": resources, **placement}
    objects = render({"controlPlane": chosen, "worker": {"replicas": 5}}, DATABASE)
    assert deployment(objects, "control-plane")["spec"]["replicas"] == 3
    assert deployment(objects, "worker")["spec"]["replicas"] == 5
    pod = pod_of(deployment(objects, "control-plane"))
    assert {name: pod[name] for name in placement} == placement
    job = find(objects, "Job", "w-migration")
    for workload in (deployment(objects, "worker"), job):
        assert pod_of(workload)["nodeSelector"] == placement["nodeSelector"]
        assert pod_of(workload)["tolerations"] == placement["tolerations"]
    assert pod["containers"][0]["resources"] == containers(job)[0]["resources"] == resources
    assert containers(deployment(objects, "worker"))[0]["resources"] != resources
    assert "nodeSelector" not in pod_of(deployment(objects, "gateway"))


@pytest.mark.parametrize("component", ["control-plane", "worker"])
def test_the_control_plane_and_the_worker_are_scraped_under_their_own_jobs(component: str) -> None:
    objects = render({"monitoring": {"enabled": True}}, DATABASE)
    (endpoint,) = find(objects, "PodMonitor", f"w-{component}")["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("internal", "/metrics")
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": f"w-{component}"}]


def test_a_worker_that_hangs_is_restarted() -> None:
    (container,) = pod_of(deployment(render(None, DATABASE), "worker"))["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "internal"}
    (port,) = container["ports"]
    assert environment(container)["WANNENG_WORKER_PORT"] == str(port["containerPort"])


def test_without_a_database_there_is_nothing_else_to_scrape() -> None:
    assert names(render({"monitoring": {"enabled": True}}), "PodMonitor") == ["w-gateway", "w-triton"]


def test_another_database_replaces_the_pods_and_another_chart_version_does_not(tmp_path: Path) -> None:
    def templates(objects: list[Object]) -> dict[str, Object]:
        return {o["metadata"]["name"]: o["spec"]["template"] for o in objects if o["kind"] == "Deployment"}

    shutil.copytree(CHART, tmp_path / "wanneng")
    metadata = tmp_path / "wanneng/Chart.yaml"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace("\nversion: 0.1.0", "\nversion: 0.1.1"))
    seed = {"keySeed": SEED}
    before = templates(render(seed, DATABASE))
    assert templates(render(seed, DATABASE, chart=tmp_path / "wanneng")) == before
    after = templates(render({**seed, "database": {"url": "postgresql://elsewhere/d"}}, DATABASE))
    replaced = {name for name in before if before[name] != after[name]}
    assert replaced == {"w-gateway", "w-control-plane", "w-worker"}


@pytest.mark.parametrize(
    ("values", "replaced"),
    [
        ({"keySeed": SEED[::-1]}, {"w-gateway", "w-control-plane", "w-worker"}),
        ({"redis": {"url": "redis://elsewhere"}}, {"w-gateway"}),
        ({"internalKeySecret": {"name": "mine"}}, {"w-gateway", "w-control-plane", "w-worker"}),
        ({"database": {"adminKeySecret": {"name": "mine"}}}, {"w-control-plane"}),
    ],
)
def test_pods_that_read_a_changed_secret_are_replaced(values: dict[str, Any], replaced: set[str]) -> None:
    """A running process does not see that its environment has changed."""

    def checksums(objects: list[Object]) -> dict[str, str]:
        return {
            o["metadata"]["name"]: o["spec"]["template"]["metadata"]["annotations"]["wanneng.io/secrets"]
            for o in objects
            if o["kind"] == "Deployment" and "triton" not in o["metadata"]["name"]
        }

    before = checksums(render({"keySeed": SEED}, DATABASE))
    after = checksums(render({"keySeed": SEED} | values, DATABASE))
    assert {name for name in before if before[name] != after[name]} == replaced


def test_a_generated_key_is_the_same_in_its_secret_and_in_the_checksum() -> None:
    """Otherwise the first upgrade after an installation would replace every Pod."""
    objects = render(None, DATABASE)
    values = [
        decoded(find(objects, "Secret", name))[key]
        for name, key in (("w-database", "url"), ("w-internal", "internal-key"))
    ]
    contents = "\n".join([values[0], base64.b64encode(values[1].encode()).decode()])
    annotations = deployment(objects, "worker")["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"wanneng.io/secrets": hashlib.sha256(contents.encode()).hexdigest()[:16]}


@pytest.mark.parametrize(
    ("values", "served"),
    [
        ({}, "the small embedded model, which is meant for evaluation"),
        ({"engines": INT8["engines"]}, "the small embedded model, which is meant for evaluation"),
        (INT8, "sources/a"),
        (INT8 | {"pools": {"cpu": {"engine": "plans/x"}}}, "plans/x"),
        (INT8 | {"pools": {"second": {"engine": "plans/x"}}}, "sources/a, plans/x"),
    ],
)
def test_the_notes_say_what_is_served(values: dict[str, Any], served: str, tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    done = helm("install", "w", str(CHART), "--namespace", "n", "--dry-run=client", "--values", str(file))
    assert f"It serves {served}.\n" in done.stdout, done.stderr


def test_the_notes_say_how_to_get_a_key_and_where_the_page_is() -> None:
    """Helm renders them on `install --dry-run` only."""
    for values, words in (
        ([DATABASE], ("get secret w-admin -o jsonpath='{.data.admin-key}'", "web page")),
        ([], ("get secret w-tenants -o jsonpath='{.data.default}'",)),
        ([CHART / "ci/tenants-file.yaml"], ("get secret w-tenants -o jsonpath='{.data.globex}'",)),
    ):
        options = [option for file in values for option in ("--values", str(file))]
        done = helm("install", "w", str(CHART), "--namespace", "n", "--dry-run=client", *options)
        assert done.returncode == 0, done.stderr
        notes = done.stdout.partition("NOTES:")[2]
        assert all(word in notes for word in words), notes
        assert ("web page" in notes) == ("web page" in words)
