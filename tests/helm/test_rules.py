"""Recording rules and alerts, run by Prometheus' own promtool on made-up series.

That every series which they name exists is tested against a real Prometheus in tests/cluster.
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

from tests.helm.tools import CHART, PLENTY, ROOT, one, rendered

GATEWAY = 'namespace="n",job="w-gateway"'
TRITON = 'namespace="n",job="w-triton",pool="cpu",model="structbert"'
OF = 'namespace="n",release="w"'
MONITORED = {
    "monitoring": {"enabled": True, "interval": "15s"},
    "redis": {"url": "redis://cache:6379/0"},
    "networkPolicies": {"egress": [{"ports": [{"port": 6379}]}]},
    "pools": {"cpu": {"autoscaling": {"queueRatio": 2}}},
}
Series = dict[str, str]


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not here: apt install prometheus")
    return found


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    groups = one(rendered(MONITORED), "PrometheusRule", "w")["spec"]
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(groups, allow_unicode=True), encoding="utf-8")
    return path


def run(promtool: str, *arguments: str) -> None:
    done = subprocess.run([promtool, *arguments], check=False, capture_output=True, text=True, timeout=PLENTY)
    assert done.returncode == 0, done.stdout + done.stderr


def check(promtool: str, rules: Path, series: Series, **expected: Any) -> None:
    """promtool's own test of `rules`: what the series give at a time."""
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
    found = [{"labels": labels, "value": number} for labels, number in samples]
    return {"promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": found}]}


def test_promtool_accepts_the_rules(promtool: str, rules: Path) -> None:
    run(promtool, "check", "rules", str(rules))


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


def test_demand_is_what_all_gateways_have_in_flight(promtool: str, rules: Path) -> None:
    """Nothing is refused, and no counter of refusals need be there for that."""
    series = IN_FLIGHT | {
        f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0x40",
        f'wanneng_pairs_total{{{GATEWAY},pod="g1",source="computed"}}': "0+150x40",
    }
    demanded = f"wanneng:pairs_demanded{{{OF}}}"
    check(promtool, rules, series, **value("wanneng:pairs_demanded", "5m", (demanded, 80)))


def test_refused_pairs_are_demand_too(promtool: str, rules: Path) -> None:
    """10 pairs a second are computed and 30 refused, so four times what is in flight was asked for."""
    series = IN_FLIGHT | {
        f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0+450x40",
        f'wanneng_pairs_total{{{GATEWAY},pod="g1",source="computed"}}': "0+150x40",
        f'wanneng_pairs_total{{{GATEWAY},pod="g1",source="cached"}}': "0+9000x40",
    }
    demanded = f"wanneng:pairs_demanded{{{OF}}}"
    check(promtool, rules, series, **value("wanneng:pairs_demanded", "5m", (demanded, 320)))


def test_each_pool_has_its_share_of_demand_however_many_gateways_look(promtool: str, rules: Path) -> None:
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


def test_queueing_is_time_waited_by_time_computed_over_all_pods(promtool: str, rules: Path) -> None:
    """A pod that does little does not count as much as one that does all the work."""
    series = {
        f'nv_inference_queue_duration_us{{{TRITON},pod="t1"}}': "0+3000000x40",
        f'nv_inference_compute_infer_duration_us{{{TRITON},pod="t1"}}': "0+1000000x40",
        f'nv_inference_queue_duration_us{{{TRITON},pod="t2"}}': "0+0x40",
        f'nv_inference_compute_infer_duration_us{{{TRITON},pod="t2"}}': "0+500000x40",
    }
    ratio = f'wanneng:pool_queue_ratio{{{OF},pool="cpu"}}'
    check(promtool, rules, series, **value("wanneng:pool_queue_ratio", "5m", (ratio, 2)))


def test_an_idle_pool_does_not_queue(promtool: str, rules: Path) -> None:
    series = {
        f'nv_inference_queue_duration_us{{{TRITON},pod="t1"}}': "7x40",
        f'nv_inference_compute_infer_duration_us{{{TRITON},pod="t1"}}': "9x40",
    }
    ratio = f'wanneng:pool_queue_ratio{{{OF},pool="cpu"}}'
    check(promtool, rules, series, **value("wanneng:pool_queue_ratio", "5m", (ratio, 0)))


HEALTHY = {
    f'wanneng_ready{{{GATEWAY},pod="g1"}}': "1x600",
    f'wanneng_pool_replicas{{{GATEWAY},pod="g1",pool="cpu",state="answering"}}': "2x600",
    f'wanneng_pool_replicas{{{GATEWAY},pod="g1",pool="cpu",state="ejected"}}': "0x600",
    f'wanneng_pool_engines{{{GATEWAY},pod="g1",pool="cpu",engine="one"}}': "2x600",
    f'wanneng_shared_up{{{GATEWAY},pod="g1"}}': "1x600",
    f'wanneng_declaration_sound{{{GATEWAY},pod="g1"}}': "1x600",
    f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0x600",
    f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",status="200"}}': "0+150x600",
    f'wanneng_request_seconds_count{{{GATEWAY},pod="g1",route="/v1/classify"}}': "0+150x600",
    f'wanneng_request_seconds_bucket{{{GATEWAY},pod="g1",route="/v1/classify",le="0.3"}}': "0+150x600",
}
ALERTS: dict[str, tuple[Series, str, dict[str, str]]] = {
    # What is wrong, when it must have fired, and its labels.
    "WannengErrorsBurnFast": (
        {f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",status="502"}}': "0+15x600"},
        "70m",
        {"severity": "critical", "namespace": "n", "release": "w"},
    ),
    "WannengErrorsBurnSlow": (
        {f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",status="502"}}': "0+1.2x600"},
        "140m",
        {"severity": "warning", "namespace": "n", "release": "w"},
    ),
    "WannengSlowBurnFast": (
        {f'wanneng_request_seconds_bucket{{{GATEWAY},pod="g1",route="/v1/classify",le="0.3"}}': "0+120x600"},
        "70m",
        {"severity": "critical", "namespace": "n", "release": "w"},
    ),
    "WannengSlowBurnSlow": (
        {f'wanneng_request_seconds_bucket{{{GATEWAY},pod="g1",route="/v1/classify",le="0.3"}}': "0+148.8x600"},
        "140m",
        {"severity": "warning", "namespace": "n", "release": "w"},
    ),
    "WannengPoolWithoutEngine": (
        {f'wanneng_pool_replicas{{{GATEWAY},pod="g1",pool="cpu",state="answering"}}': "0x600"},
        "10m",
        {"severity": "critical", "pool": "cpu"},
    ),
    "WannengQueueing": (
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
    "WannengTwoEngines": (
        {f'wanneng_pool_engines{{{GATEWAY},pod="g1",pool="cpu",engine="two"}}': "1x600"},
        "65m",
        {"severity": "warning"},
    ),
    "WannengPairsRefused": (
        {f'wanneng_pairs_refused_total{{{GATEWAY},pod="g1"}}': "0+15x600"},
        "20m",
        {"severity": "warning"},
    ),
    "WannengQuotaRejections": (
        {f'wanneng_requests_total{{{GATEWAY},pod="g1",route="/v1/classify",status="429"}}': "0+30x600"},
        "35m",
        {"severity": "info"},
    ),
    "WannengCacheDown": ({f'wanneng_shared_up{{{GATEWAY},pod="g1"}}': "0x600"}, "10m", {"severity": "warning"}),
    "WannengDeclarationBroken": (
        {f'wanneng_declaration_sound{{{GATEWAY},pod="g1"}}': "0x600"},
        "10m",
        {"severity": "warning"},
    ),
}


def names(rules: Path) -> set[str]:
    groups = yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}


def firing(alert: str, at: str) -> str:
    return f'ALERTS{{alertname="{alert}",alertstate="firing"}}'


def test_every_alert_is_tested_and_explained(rules: Path) -> None:
    page = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
    assert names(rules) == ALERTS.keys() == set(re.findall(r"`(Wanneng\w+)`", page))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_when_its_ill_is_there_and_not_without(alert: str, promtool: str, rules: Path) -> None:
    ill, at, labels = ALERTS[alert]
    fired = ",".join(f'{name}="{text}"' for name, text in labels.items())
    expected = (f'ALERTS{{alertname="{alert}",alertstate="firing",{fired}}}', 1.0)
    check(promtool, rules, HEALTHY | ill, **value(firing(alert, at), at, expected))
    check(promtool, rules, HEALTHY, **value(firing(alert, at), at))


def test_a_pool_that_no_gateway_has_ever_seen_has_no_engine(promtool: str, rules: Path) -> None:
    series = {f'wanneng_ready{{{GATEWAY},pod="g1"}}': "0x600"}
    fired = 'ALERTS{alertname="WannengPoolWithoutEngine",alertstate="firing",severity="critical",pool="cpu"}'
    check(promtool, rules, series, **value(firing("WannengPoolWithoutEngine", "10m"), "10m", (fired, 1.0)))


def test_every_alert_says_what_is_wrong_and_what_to_do(rules: Path) -> None:
    groups = yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_the_dashboard_is_delivered_as_it_is() -> None:
    objects = rendered({"monitoring": {"dashboard": {"enabled": True}}})
    config = one(objects, "ConfigMap", "w-dashboard")
    board = json.loads(config["data"]["wanneng.json"])
    assert board == json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    titles = [panel["title"] for panel in board["panels"]]
    assert len(set(titles)) == len(titles)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
