"""Recording rules and alerts, evaluated by promtool on synthetic series.

tests/cluster tests with a real Prometheus that the series exist.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.tools import CHART, LONG_TIMEOUT_S, ROOT, find, render

GATEWAY = 'namespace="n",job="w-gateway"'
TRITON = 'namespace="n",job="w-triton",pool="cpu",model="structbert"'
CONTROL_PLANE = 'namespace="n",job="w-control-plane"'
OF = 'namespace="n",release="w"'
MONITORED: dict[str, Any] = {
    "monitoring": {"enabled": True, "interval": "15s"},
    "redis": {"url": "redis://cache:6379/0"},
    "networkPolicies": {"egress": {name: [{"ports": [{"port": 1}]}] for name in ("database", "redis")}},
    "pools": {"cpu": {"autoscaling": {"queueRatio": 2}}},
    "ingress": {"enabled": True, "hosts": ["classify.example"], "tls": [{"secretName": "classify"}]},
}
WITH_DATABASE = {**MONITORED, "database": {"url": "postgresql://h/d"}}
Series = dict[str, str]


@pytest.fixture(scope="module")
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed; run apt install prometheus")
    return path


def write_rules(values: dict[str, Any], folder: Path) -> Path:
    path = folder / "rules.yaml"
    groups = find(render(values), "PrometheusRule", "w")["spec"]
    path.write_text(yaml.safe_dump(groups, allow_unicode=True), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a release that has its tenants in a file."""
    return write_rules(MONITORED, tmp_path_factory.mktemp("rules"))


@pytest.fixture(scope="module")
def database_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a release with a database."""
    return write_rules(WITH_DATABASE, tmp_path_factory.mktemp("rules"))


def run(promtool: str, *arguments: str) -> None:
    done = subprocess.run(
        [promtool, *arguments], check=False, capture_output=True, text=True, timeout=LONG_TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr


def check(promtool: str, rules: Path, series: Series, **expected: Any) -> None:
    """Run a promtool test: `expected` must follow from `rules` and `series`."""
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        **expected,
    }
    content = {"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": [test]}
    path = rules.with_name("test.yaml")
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    run(promtool, "test", "rules", str(path))


def value(expr: str, at: str, *samples: tuple[str, float]) -> dict[str, Any]:
    expected = [{"labels": labels, "value": number} for labels, number in samples]
    return {"promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": expected}]}


def test_promtool_accepts_the_rules(promtool: str, rules: Path, database_rules: Path) -> None:
    run(promtool, "check", "rules", str(rules), str(database_rules))


CAPACITY = {
    f'wanneng_pool_capacity{{{GATEWAY},pod="g1",pool="a10"}}': "2x40",
    f'wanneng_pool_capacity{{{GATEWAY},pod="g2",pool="a10"}}': "2x40",
    f'wanneng_pool_capacity{{{GATEWAY},pod="g1",pool="a100"}}': "6x40",
    f'wanneng_pool_capacity{{{GATEWAY},pod="g2",pool="a100"}}': "6x40",
}
IN_FLIGHT = {
    f'wanneng_pairs_in_flight{{{GATEWAY},pod="g1"}}': "30x40",
    f'wanneng_pairs_in_flight{{{GATEWAY},pod="g2"}}': "50x40",
}


def test_demand_is_the_sum_of_the_pairs_in_flight(promtool: str, rules: Path) -> None:
    """While no pair is refused."""
    series = IN_FLIGHT | {
        f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0x40",
        f'wanneng_pairs_total{{{GATEWAY},pod="g1",source="computed"}}': "0+150x40",
    }
    demanded = f"wanneng:pairs_demanded{{{OF}}}"
    check(promtool, rules, series, **value("wanneng:pairs_demanded", "5m", (demanded, 80)))


def test_refused_pairs_count_as_demand(promtool: str, rules: Path) -> None:
    """10 pairs per second are computed and 30 refused, so demand is four times what is in flight."""
    series = IN_FLIGHT | {
        f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0+450x40",
        f'wanneng_pairs_total{{{GATEWAY},pod="g1",source="computed"}}': "0+150x40",
        f'wanneng_pairs_total{{{GATEWAY},pod="g1",source="cached"}}': "0+9000x40",
    }
    demanded = f"wanneng:pairs_demanded{{{OF}}}"
    check(promtool, rules, series, **value("wanneng:pairs_demanded", "5m", (demanded, 320)))


def test_requests_in_flight_are_what_all_gateways_have_together(promtool: str, rules: Path) -> None:
    """Requests of 2 s at 10 a second: 20 in flight at each."""
    series = {
        f'wanneng_request_seconds_sum{{{GATEWAY},pod="{pod}",route="/r"}}': "0+300x40" for pod in ("g1", "g2")
    }
    expected = (f"wanneng:gateway_requests_in_flight{{{OF}}}", 40)
    check(promtool, rules, series, **value("wanneng:gateway_requests_in_flight", "5m", expected))


def test_each_pool_has_a_share_of_the_demand_for_any_number_of_gateways(promtool: str, rules: Path) -> None:
    series = (
        IN_FLIGHT
        | CAPACITY
        | {
            f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0x40",
            f'wanneng_pairs_total{{{GATEWAY},pod="g1",source="computed"}}': "0+150x40",
        }
    )
    shares = [(f'wanneng:pool_pairs_demanded{{{OF},pool="{pool}"}}', n) for pool, n in (("a10", 20), ("a100", 60))]
    check(promtool, rules, series, **value("wanneng:pool_pairs_demanded", "5m", *shares))


def test_a_pool_with_a_share_of_the_requests_has_that_share_of_the_demand(promtool: str, rules: Path) -> None:
    """Whatever its capacity; the others have the rest, by theirs."""
    series = (
        IN_FLIGHT
        | CAPACITY
        | {f'wanneng_pool_share{{{GATEWAY},pod="{pod}",pool="canary"}}': "0.1x40" for pod in ("g1", "g2")}
        | {
            f'wanneng_pool_capacity{{{GATEWAY},pod="g1",pool="canary"}}': "8x40",
            f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0x40",
            f'wanneng_pairs_total{{{GATEWAY},pod="g1",source="computed"}}': "0+150x40",
        }
    )
    expected = {"a10": 18, "a100": 54, "canary": 8}
    shares = [(f'wanneng:pool_pairs_demanded{{{OF},pool="{pool}"}}', n) for pool, n in expected.items()]
    check(promtool, rules, series, **value("wanneng:pool_pairs_demanded", "5m", *shares))


def test_the_queue_ratio_is_time_in_the_queue_relative_to_time_in_the_engine_over_all_pods(
    promtool: str, rules: Path
) -> None:
    """A busy Pod weighs more than an idle one."""
    series = {
        f'nv_inference_queue_duration_us{{{TRITON},pod="t1"}}': "0+3000000x40",
        f'nv_inference_compute_infer_duration_us{{{TRITON},pod="t1"}}': "0+1000000x40",
        f'nv_inference_queue_duration_us{{{TRITON},pod="t2"}}': "0+0x40",
        f'nv_inference_compute_infer_duration_us{{{TRITON},pod="t2"}}': "0+500000x40",
    }
    ratio = f'wanneng:pool_queue_ratio{{{OF},pool="cpu"}}'
    check(promtool, rules, series, **value("wanneng:pool_queue_ratio", "5m", (ratio, 2)))


@pytest.fixture(scope="module")
def zero_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a release whose pool has no Pod while nobody asks."""
    keda = {"provider": "keda", "prometheusUrl": "http://prometheus:9090"}
    pools = {"cpu": {"autoscaling": {"enabled": True, "minReplicas": 0, "queueRatio": 2}}}
    return write_rules(MONITORED | {"autoscaling": keda, "pools": pools}, tmp_path_factory.mktemp("rules"))


UNANSWERED = f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",status="503"}}'
ANSWERING = f'wanneng_pool_replicas{{{{{GATEWAY},pod="{{}}",pool="cpu",state="answering"}}}}'


def test_a_single_request_that_met_no_triton_is_seen_for_a_minute(promtool: str, zero_rules: Path) -> None:
    """Though its counter has no earlier sample. A request that was refused while Triton answers does not count."""
    for answering, at, samples in (
        ("_", "2m15s", [(f"wanneng:requests_unanswered{{{OF}}}", 1.0)]),
        ("0", "2m15s", [(f"wanneng:requests_unanswered{{{OF}}}", 1.0)]),
        ("0", "4m", []),
        ("1", "2m15s", []),
    ):
        series = {UNANSWERED: "_x8 1x40", ANSWERING.format("g1"): f"{answering}x48"}
        check(promtool, zero_rules, series, **value("wanneng:requests_unanswered", at, *samples))


def test_a_gateway_that_nobody_asks_does_not_keep_a_pool_asleep(promtool: str, zero_rules: Path) -> None:
    """Its last answer made it ready, and without requests nothing tells it otherwise."""
    series = {UNANSWERED: "_x8 1x40"}
    for gateway, ready in (("g1", 0), ("g2", 1)):
        series[f'wanneng_ready{{{GATEWAY},pod="{gateway}"}}'] = f"{ready}x48"
        series[ANSWERING.format(gateway)] = "0x48"
    unanswered = (f"wanneng:requests_unanswered{{{OF}}}", 1.0)
    check(promtool, zero_rules, series, **value("wanneng:requests_unanswered", "2m15s", unanswered))
    series[ANSWERING.format("g2")] = "1x48"
    check(promtool, zero_rules, series, **value("wanneng:requests_unanswered", "2m15s"))


def test_a_pool_that_is_scaled_to_zero_is_down_only_while_requests_wait(promtool: str, zero_rules: Path) -> None:
    series = {f'wanneng_ready{{{GATEWAY},pod="g1"}}': "0x600", f'up{{{GATEWAY},pod="g1"}}': "1x600"}
    check(promtool, zero_rules, series, **firing("WannengPoolDown", "10m", None))
    labels = {"severity": "critical", "pool": "cpu"}
    check(promtool, zero_rules, series | {UNANSWERED: "0+5x600"}, **firing("WannengPoolDown", "10m", labels))


def test_a_query_names_the_tenants_where_the_control_plane_tells_their_names(promtool: str, rules: Path) -> None:
    (query,) = re.findall(
        r"^topk.*wanneng_tenant_info.*$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE
    )
    series = {
        f'wanneng_tenant_pairs_total{{{GATEWAY},pod="{pod}",tenant="t1"}}': "0+150x40" for pod in ("g1", "g2")
    } | {
        f'wanneng_tenant_info{{{CONTROL_PLANE},pod="{pod}",tenant="t1",name="Acme"}}': "1x40"
        for pod in ("c1", "c2")
    }
    check(promtool, rules, series, **value(query, "8m", ('{name="Acme",tenant="t1"}', 20)))


def test_an_idle_pool_does_not_queue(promtool: str, rules: Path) -> None:
    series = {
        f'nv_inference_queue_duration_us{{{TRITON},pod="t1"}}': "7x40",
        f'nv_inference_compute_infer_duration_us{{{TRITON},pod="t1"}}': "9x40",
    }
    ratio = f'wanneng:pool_queue_ratio{{{OF},pool="cpu"}}'
    check(promtool, rules, series, **value("wanneng:pool_queue_ratio", "5m", (ratio, 0)))


CONTAINER = 'namespace="n",pod="w-triton-cpu-5d4-x",container="triton"'
JOB = 'namespace="n",job_name="w-migration"'
CERTIFICATE = 'namespace="n",name="classify"'
OTHERS_RESTART = 'namespace="n",pod="wn-gateway-1",container="gateway"'
HEALTHY = {
    f'up{{{GATEWAY},pod="g1"}}': "1x600",
    f"kube_pod_container_status_restarts_total{{{CONTAINER}}}": "1x600",
    f"kube_pod_container_status_restarts_total{{{OTHERS_RESTART}}}": "0+1x600",
    f'kube_pod_container_status_last_terminated_reason{{{CONTAINER},reason="OOMKilled"}}': "1x600",
    f'kube_job_failed{{{JOB},condition="true"}}': "0x600",
    'kube_job_failed{namespace="n",job_name="another",condition="true"}': "1x600",
    f"certmanager_certificate_expiration_timestamp_seconds{{{CERTIFICATE}}}": f"{90 * 86400}x600",
    f'wanneng_oldest_batch_age_seconds{{{CONTROL_PLANE},pod="c1"}}': "60x600",
    f'wanneng_batches_unfinished{{{CONTROL_PLANE},pod="c1"}}': "2x600",
    'kube_deployment_status_replicas_available{namespace="n",deployment="w-worker"}': "1x600",
    f'up{{{CONTROL_PLANE},pod="c1"}}': "1x600",
    f'up{{{CONTROL_PLANE},pod="c2"}}': "1x600",
    f'wanneng_ready{{{GATEWAY},pod="g1"}}': "1x600",
    f'wanneng_pool_replicas{{{GATEWAY},pod="g1",pool="cpu",state="answering"}}': "2x600",
    f'wanneng_pool_replicas{{{GATEWAY},pod="g1",pool="cpu",state="ejected"}}': "0x600",
    f'wanneng_pool_engines{{{GATEWAY},pod="g1",pool="cpu",engine="one"}}': "2x600",
    f'wanneng_redis_up{{{GATEWAY},pod="g1"}}': "1x600",
    f'wanneng_tenants_file_valid{{{GATEWAY},pod="g1"}}': "1x600",
    f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0x600",
    f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",status="200"}}': "0+150x600",
    f'wanneng_request_seconds_count{{{GATEWAY},pod="g1",route="/v1/classify"}}': "0+150x600",
    f'wanneng_request_seconds_bucket{{{GATEWAY},pod="g1",route="/v1/classify",le="0.3"}}': "0+150x600",
}


def refused(code: str) -> str:
    return f'wanneng_refused_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",code="{code}"}}'


ALERTS: dict[str, tuple[Series, str, dict[str, str]]] = {
    # The series of the failure, when the alert must be firing, and its labels.
    "WannengGatewaysDown": ({f'up{{{GATEWAY},pod="g1"}}': "0x600"}, "5m", {"severity": "critical"}),
    "WannengPodRestarting": (
        {f"kube_pod_container_status_restarts_total{{{CONTAINER}}}": "1+0.1x600"},
        "20m",
        {"severity": "warning", "namespace": "n", "pod": "w-triton-cpu-5d4-x", "container": "triton"},
    ),
    "WannengOutOfMemory": (
        {f"kube_pod_container_status_restarts_total{{{CONTAINER}}}": "1x20 2x580"},
        "10m",
        {
            "severity": "warning",
            "namespace": "n",
            "pod": "w-triton-cpu-5d4-x",
            "container": "triton",
            "reason": "OOMKilled",
        },
    ),
    "WannengJobFailed": (
        {f'kube_job_failed{{{JOB},condition="true"}}': "1x600"},
        "5m",
        {"severity": "warning", "namespace": "n", "job_name": "w-migration", "condition": "true"},
    ),
    "WannengCertificateExpiring": (
        {f"certmanager_certificate_expiration_timestamp_seconds{{{CERTIFICATE}}}": f"{10 * 86400}x600"},
        "65m",
        {"severity": "warning", "namespace": "n", "name": "classify"},
    ),
    "WannengQuotaShareDegraded": (
        {
            f'wanneng_redis_up{{{GATEWAY},pod="g1"}}': "0x600",
            refused("quota_exceeded"): "0+1x600",
        },
        "12m",
        {"severity": "warning"},
    ),
    "WannengErrorBudgetBurnFast": (
        {f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",status="502"}}': "0+15x600"},
        "70m",
        {"severity": "critical", "namespace": "n", "release": "w"},
    ),
    "WannengErrorBudgetBurnSlow": (
        {f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",status="502"}}': "0+1.2x600"},
        "140m",
        {"severity": "warning", "namespace": "n", "release": "w"},
    ),
    "WannengLatencyBudgetBurnFast": (
        {f'wanneng_request_seconds_bucket{{{GATEWAY},pod="g1",route="/v1/classify",le="0.3"}}': "0+120x600"},
        "70m",
        {"severity": "critical", "namespace": "n", "release": "w"},
    ),
    "WannengLatencyBudgetBurnSlow": (
        {f'wanneng_request_seconds_bucket{{{GATEWAY},pod="g1",route="/v1/classify",le="0.3"}}': "0+148.8x600"},
        "140m",
        {"severity": "warning", "namespace": "n", "release": "w"},
    ),
    "WannengPoolDown": (
        {f'wanneng_pool_replicas{{{GATEWAY},pod="g1",pool="cpu",state="answering"}}': "0x600"},
        "10m",
        {"severity": "critical", "pool": "cpu"},
    ),
    "WannengPoolSaturated": (
        {
            f'nv_inference_queue_duration_us{{{TRITON},pod="t1"}}': "0+5000000x600",
            f'nv_inference_compute_infer_duration_us{{{TRITON},pod="t1"}}': "0+1000000x600",
        },
        "15m",
        {"severity": "warning", "namespace": "n", "release": "w", "pool": "cpu"},
    ),
    "WannengReplicaEjected": (
        {f'wanneng_pool_replicas{{{GATEWAY},pod="g1",pool="cpu",state="ejected"}}': "1x600"},
        "10m",
        {"severity": "warning", "pool": "cpu"},
    ),
    "WannengRolloutStuck": (
        {f'wanneng_pool_engines{{{GATEWAY},pod="g1",pool="cpu",engine="two"}}': "1x600"},
        "65m",
        {"severity": "warning"},
    ),
    "WannengPairsRefused": (
        {f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0+15x600"},
        "20m",
        {"severity": "warning"},
    ),
    "WannengQuotaRejections": ({refused("quota_exceeded"): "0+30x600"}, "35m", {"severity": "info"}),
    "WannengBudgetRejections": ({refused("budget_exceeded"): "0+30x600"}, "35m", {"severity": "info"}),
    "WannengRedisDown": ({f'wanneng_redis_up{{{GATEWAY},pod="g1"}}': "0x600"}, "10m", {"severity": "warning"}),
    "WannengTenantsFileInvalid": (
        {f'wanneng_tenants_file_valid{{{GATEWAY},pod="g1"}}': "0x600"},
        "10m",
        {"severity": "warning"},
    ),
}
WITH_DATABASE_ONLY: dict[str, tuple[Series, str, dict[str, str]]] = {
    "WannengControlPlaneDown": (
        {f'up{{{CONTROL_PLANE},pod="{pod}"}}': "0x600" for pod in ("c1", "c2")},
        "10m",
        {"severity": "warning"},
    ),
    "WannengBatchTooOld": (
        {f'wanneng_oldest_batch_age_seconds{{{CONTROL_PLANE},pod="c1"}}': "20000x600"},
        "10m",
        {"severity": "warning"},
    ),
    "WannengNoWorker": (
        {'kube_deployment_status_replicas_available{namespace="n",deployment="w-worker"}': "0x600"},
        "10m",
        {"severity": "warning"},
    ),
}
WITHOUT_DATABASE_ONLY = {"WannengTenantsFileInvalid"}


def alerts(rules: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def names(rules: Path) -> set[str]:
    return {rule["alert"] for rule in alerts(rules)}


def test_every_alert_is_tested_and_documented(rules: Path, database_rules: Path) -> None:
    page = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(Wanneng\w+)`", page))
    assert names(rules) == ALERTS.keys()
    assert names(database_rules) == (ALERTS.keys() | WITH_DATABASE_ONLY.keys()) - WITHOUT_DATABASE_ONLY
    assert documented == names(rules) | names(database_rules)


def firing(alert: str, at: str, labels: dict[str, str] | None) -> dict[str, Any]:
    """A promtool test: at this time the alert fires with these labels, or does not fire."""
    expr = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
    if labels is None:
        return value(expr, at)
    pairs = ",".join(f'{name}="{text}"' for name, text in labels.items())
    return value(expr, at, (f'ALERTS{{alertname="{alert}",alertstate="firing",{pairs}}}', 1.0))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_on_its_failure_only(alert: str, promtool: str, rules: Path) -> None:
    failure, at, labels = ALERTS[alert]
    check(promtool, rules, HEALTHY | failure, **firing(alert, at, labels))
    check(promtool, rules, HEALTHY, **firing(alert, at, None))


@pytest.mark.parametrize(
    ("code", "others"),
    [
        ("budget_exceeded", ("WannengQuotaRejections", "WannengQuotaShareDegraded")),
        ("quota_exceeded", ("WannengBudgetRejections",)),
        ("too_many_failures", ("WannengQuotaRejections", "WannengBudgetRejections")),
    ],
)
def test_a_refusal_of_one_kind_is_no_alert_of_another(
    code: str, others: tuple[str, ...], promtool: str, rules: Path
) -> None:
    """All of them have the status 429."""
    total = {f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",status="429"}}': "0+30x600"}
    redis = {f'wanneng_redis_up{{{GATEWAY},pod="g1"}}': "0x600"}
    for other in others:
        check(promtool, rules, HEALTHY | redis | total | {refused(code): "0+30x600"}, **firing(other, "35m", None))


@pytest.mark.parametrize("alert", WITH_DATABASE_ONLY)
def test_an_alert_on_the_control_plane_fires_on_its_failure_only(
    alert: str, promtool: str, database_rules: Path
) -> None:
    failure, at, labels = WITH_DATABASE_ONLY[alert]
    check(promtool, database_rules, HEALTHY | failure, **firing(alert, at, labels))
    check(promtool, database_rules, HEALTHY, **firing(alert, at, None))


def test_the_control_plane_is_up_while_one_of_its_pods_is(promtool: str, database_rules: Path) -> None:
    series = HEALTHY | {f'up{{{CONTROL_PLANE},pod="c1"}}': "0x600"}
    check(promtool, database_rules, series, **firing("WannengControlPlaneDown", "10m", None))


def test_the_control_plane_is_down_when_it_has_no_pods(promtool: str, database_rules: Path) -> None:
    series = {name: values for name, values in HEALTHY.items() if CONTROL_PLANE not in name}
    check(promtool, database_rules, series, **firing("WannengControlPlaneDown", "10m", {"severity": "warning"}))


def test_a_pool_that_no_gateway_has_ever_seen_is_down(promtool: str, rules: Path) -> None:
    series = {f'wanneng_ready{{{GATEWAY},pod="g1"}}': "0x600", f'up{{{GATEWAY},pod="g1"}}': "1x600"}
    check(promtool, rules, series, **firing("WannengPoolDown", "10m", {"severity": "critical", "pool": "cpu"}))


def test_requests_for_what_a_release_does_not_have_are_no_errors(promtool: str, rules: Path) -> None:
    """A load balancer that asks for `/` of a release without a page must not page anybody."""
    for status, ratio in (("501", 0.0), ("503", 0.5)):
        series = HEALTHY | {
            f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/",status="{status}"}}': "0+150x600"
        }
        expected = (f"wanneng:errors:ratio_1h{{{OF}}}", ratio)
        check(promtool, rules, series, **value("wanneng:errors:ratio_1h", "70m", expected))


def test_every_alert_has_a_summary_a_description_and_a_severity(rules: Path, database_rules: Path) -> None:
    for rule in (*alerts(rules), *alerts(database_rules)):
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


def slug(alert: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"-\1", alert.removeprefix("Wanneng")).lower()


def test_every_alert_leads_to_a_runbook_in_both_languages_and_every_runbook_is_led_to(
    rules: Path, database_rules: Path
) -> None:
    """Each is about one alert, names it, and says what it means, how to see it and what to do."""
    for rule in (*alerts(rules), *alerts(database_rules)):
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{slug(rule['alert'])}.md"
    alert_names = names(rules) | names(database_rules)
    for folder in ("docs/runbooks", "docs/zh/runbooks"):
        pages = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / folder).glob("*.md")}
        assert pages.keys() == {f"{slug(alert)}.md" for alert in alert_names}
        for alert in alert_names:
            page = pages[f"{slug(alert)}.md"]
            assert f"`{alert}`" in page
            assert len(re.findall(r"^## ", page, re.MULTILINE)) == 3, alert
    for ending in ("", "/"):
        runbooks = f"https://docs.example/runbooks{ending}"
        elsewhere = render(MONITORED | {"monitoring": {"enabled": True, "runbooks": runbooks}})
        assert "https://docs.example/runbooks/gateways-down.md" in str(find(elsewhere, "PrometheusRule", "w"))


@pytest.mark.parametrize(
    ("labels", "fires"),
    [
        ('namespace="cert-manager",exported_namespace="n",name="classify"', True),
        ('namespace="cert-manager",exported_namespace="n",name="tls.classify"', True),
        ('namespace="cert-manager",exported_namespace="n",name="tls-classify"', False),
        ('namespace="n",exported_namespace="other",name="classify"', False),
        ('namespace="n",name="of-another-service"', False),
    ],
)
def test_certificates_of_the_ingress_alone_are_watched(
    promtool: str, tmp_path: Path, labels: str, *, fires: bool
) -> None:
    """cert-manager's own ServiceMonitor puts the namespace of a certificate into `exported_namespace`."""
    tls = [{"secretName": "classify"}, {"secretName": "tls.classify"}, {"hosts": ["default.example"]}]
    watched = write_rules(MONITORED | {"ingress": MONITORED["ingress"] | {"tls": tls}}, tmp_path)
    series = {f"certmanager_certificate_expiration_timestamp_seconds{{{labels}}}": f"{10 * 86400}x600"}
    expected = {"severity": "warning", **dict(re.findall(r'(\w+)="(.+?)"', labels))}
    check(promtool, watched, series, **firing("WannengCertificateExpiring", "65m", expected if fires else None))


def test_without_a_certificate_of_its_own_a_release_watches_none() -> None:
    without = MONITORED | {"ingress": MONITORED["ingress"] | {"tls": [{"hosts": ["classify.example"]}]}}
    assert "certmanager" not in str(find(render(without), "PrometheusRule", "w"))


def test_commands_of_runbooks_name_the_namespace_and_read_whole_logs() -> None:
    """With a selector, `kubectl logs` shows the last ten lines of each Pod unless `--tail` says how many."""
    for folder in ("docs/runbooks", "docs/zh/runbooks"):
        for path in (ROOT / folder).glob("*.md"):
            for line in path.read_text(encoding="utf-8").splitlines():
                if re.search(r"(^|`)(kubectl|helm|wanneng cluster|cmctl) ", line):
                    assert "-n wanneng" in line, (path.name, line)
                if "logs -l" in line:
                    assert "--tail=" in line, (path.name, line)


def test_without_gateways_the_engines_are_not_blamed(promtool: str, rules: Path) -> None:
    series = {name: values for name, values in HEALTHY.items() if GATEWAY not in name}
    check(promtool, rules, series, **firing("WannengGatewaysDown", "10m", {"severity": "critical"}))
    check(promtool, rules, series, **firing("WannengPoolDown", "10m", None))


def test_panels_that_an_alert_refers_to_exist(rules: Path) -> None:
    board = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    titles = {panel["title"] for panel in board["panels"]}
    mentioned = re.findall(r"panels (\w+) and (\w+)", str(alerts(rules)))
    assert mentioned
    assert {title for pair in mentioned for title in pair} <= titles


def test_the_questions_of_the_documentation_name_panels_and_their_series_in_both_languages() -> None:
    """tests/cluster asks a real Prometheus for the answers."""
    board = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    texts = {panel["title"]: str([target["expr"] for target in panel["targets"]]) for panel in board["panels"]}
    rows = {
        language: re.findall(
            r"^\| (.+[?？]) \| (.+?) \| `(.+?)` \|", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        for language, path in (("en", ROOT / "docs/operations.md"), ("zh", ROOT / "docs/zh/operations.md"))
    }
    assert len(rows["en"]) == 7
    assert [row[1:] for row in rows["en"]] == [row[1:] for row in rows["zh"]]
    for _, title, query in rows["en"]:
        series = re.findall(r"\b(?:wanneng[:_]|nv_)\w+", query)
        assert any(name.removesuffix("_sum") in texts[title] for name in series), title


def test_the_dashboard_counts_gateways_and_not_their_workers(promtool: str, rules: Path) -> None:
    """A gateway is ready when all of its workers are."""
    board = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    (panel,) = [panel for panel in board["panels"] if panel["title"] == "Ready gateways"]
    expr = panel["targets"][0]["expr"].replace("$namespace", "n").replace("$release", "w")
    workers = {("g1", 0): 1, ("g1", 1): 1, ("g2", 0): 1, ("g2", 1): 0}
    series = {
        f'wanneng_ready{{{GATEWAY},pod="{pod}",worker="{worker}"}}': f"{ready}x40"
        for (pod, worker), ready in workers.items()
    }
    check(promtool, rules, series, **value(expr, "5m", ("{}", 1)))


def dashboard(*files: Path) -> dict[str, Any]:
    config = find(render({"monitoring": {"dashboard": {"enabled": True}}}, *files), "ConfigMap", "w-dashboard")
    board: dict[str, Any] = json.loads(config["data"]["wanneng.json"])
    return board


@pytest.mark.parametrize("honored", [True, False])
def test_releases_with_gpus_have_panels_for_them(honored: bool, promtool: str, rules: Path) -> None:
    """dcgm-exporter's labels of a Pod are those of the exporter's own where Prometheus does not honor them."""
    without, board = dashboard(), dashboard(CHART / "ci/gpus.yaml")
    panels = board["panels"][len(without["panels"]) :]
    assert [panel["title"] for panel in board["panels"]][: len(without["panels"])] == [
        panel["title"] for panel in without["panels"]
    ]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    exprs = [target["expr"] for panel in panels for target in panel["targets"]]
    pod = 'namespace="n",pod="w-triton-a10-1"'
    exporter = pod if honored else f'namespace="gpu",pod="dcgm-1",exported_{pod.replace(",", ",exported_")}'
    names = {name for expr in exprs for name in re.findall(r"\b(?:nv|DCGM)_\w+", expr)}
    series = {
        f"{name}{{{exporter}" + ',gpu="0"}'
        if name.startswith("DCGM")
        else f'{name}{{{pod},job="w-triton",gpu_uuid="u"}}': "2x40"
        for name in names
    } | {
        name.format("n", "another"): "9x40" for name in ['DCGM_FI_DEV_GPU_TEMP{{namespace="{}",pod="{}",gpu="0"}}']
    }
    for expr in exprs:
        label = 'gpu="0"' if "DCGM" in expr else 'gpu_uuid="u"'
        labels = "{}" if "limit" in expr else f'{{pod="w-triton-a10-1",{label}}}'
        expected = 1 if "/" in expr else 2
        resolved = expr.replace("$namespace", "n").replace("$release", "w")
        check(promtool, rules, series, **value(resolved, "5m", (labels, expected)))


def test_the_dashboard_is_in_a_config_map() -> None:
    objects = render({"monitoring": {"dashboard": {"enabled": True}}})
    config = find(objects, "ConfigMap", "w-dashboard")
    board = json.loads(config["data"]["wanneng.json"])
    assert board == json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_panels_do_not_overlap() -> None:
    board = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    titles = [panel["title"] for panel in board["panels"]]
    assert len(set(titles)) == len(titles)
    cells = [
        (x, y)
        for position in (panel["gridPos"] for panel in board["panels"])
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
