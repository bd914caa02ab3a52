"""A real Prometheus on a real release with a database: series, rules, panels, and autoscaling on them."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from functools import partial

import pytest

from tests.cluster.kubernetes import Release, eventually
from tests.cluster.load import Load, steady
from tests.cluster.prometheus import Prometheus, watching
from tests.helm.tools import CHART, ROOT

BOARD = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
PANELS = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^\| (.+\?) \| (.+?) \| `(.+?)` \|", OPERATIONS, re.MULTILINE)
NAME = re.compile(r"\b(wanneng[:_][a-zA-Z0-9:_]+|nv_[a-z_]+)\b")
MAX_REPLICAS = 3
LABELS = 32
"""Per request of the load: with 12 clients, many more pairs than two cores can compute."""


@pytest.fixture(scope="module")
def prometheus(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus is not installed; run apt install prometheus")
    with watching(release, tmp_path_factory.mktemp("prometheus")) as running:
        eventually("every Pod is scraped", lambda: {target["health"] for target in running.targets()} == {"up"})
        yield running


@pytest.fixture(scope="module")
def load(release: Release, prometheus: Prometheus) -> Iterator[Load]:
    """More than one Pod can answer. The last test stops it."""
    # What was asked before may have added replicas.
    eventually("the pool has its minimum", lambda: replicas(release) == 1)
    key = release.operators_api.create_tenant(release.admin_key, "monitored")[1]
    with steady(release.address, key, 60.0, clients=12, labels=LABELS) as running:
        yield running


def replicas(release: Release) -> int:
    deployment = json.loads(release.kubectl("get", "deployment", "wanneng-triton-cpu", "-o", "json"))
    return int(deployment["spec"]["replicas"])


def resolve(release: Release, expr: str) -> str:
    return expr.replace("$namespace", release.namespace).replace("$release", release.name)


def test_demand_above_the_target_adds_replicas(release: Release, prometheus: Prometheus, load: Load) -> None:
    demanded = f'wanneng:pool_pairs_demanded{{namespace="{release.namespace}",release="wanneng",pool="cpu"}}'
    ((_, value),) = eventually("demand is recorded", lambda: [s for s in prometheus.query(demanded) if s[1] > 16])
    assert value > 16
    eventually("the pool has its maximum", lambda: replicas(release) == MAX_REPLICAS)
    metrics = {"wanneng:pool_pairs_demanded", "wanneng:pool_queue_ratio"}
    eventually("the autoscaler reads both metrics", lambda: metrics_of_autoscaler(release) == metrics)
    eventually("every gateway uses the new replicas", lambda: available(prometheus) == [MAX_REPLICAS] * 2)


def metrics_of_autoscaler(release: Release) -> set[str]:
    """Without those that have no value yet."""
    (scaler,) = release.objects("hpa")
    return {m["external"]["metric"]["name"] for m in scaler["status"]["currentMetrics"] if "external" in m}


def available(prometheus: Prometheus) -> list[float]:
    """Replicas by gateway."""
    return [value for _, value in prometheus.query('wanneng_pool_replicas{pool="cpu",state="answering"}')]


def test_status_says_that_the_pool_has_its_maximum(release: Release, load: Load) -> None:
    def status() -> str | None:
        _, output = release.wanneng("status", release.name, "-n", release.namespace)
        return output if "would scale beyond maxReplicas (3)" in output else None

    assert "1 to 3" in eventually("status says so", status)


@pytest.mark.parametrize("title", sorted({title for title, _ in PANELS}))
def test_every_panel_has_data(title: str, release: Release, prometheus: Prometheus, load: Load) -> None:
    for expr in [expr for found, expr in PANELS if found == title]:
        series = eventually(expr, partial(prometheus.query, resolve(release, expr)))
        # A ratio must be 0 without refusals or queueing, and not NaN.
        assert not any(math.isnan(value) for _, value in series), expr


@pytest.mark.parametrize("row", QUESTIONS, ids=[row[0] for row in QUESTIONS])
def test_each_question_of_the_documentation_has_a_panel_and_a_query_with_an_answer(
    row: tuple[str, str, str], prometheus: Prometheus, load: Load
) -> None:
    _, title, query = row
    assert title in {panel["title"] for panel in BOARD["panels"]}
    series = eventually(query, partial(prometheus.query, query))
    assert not any(math.isnan(value) for _, value in series)


def test_every_series_in_a_rule_exists(release: Release, prometheus: Prometheus, load: Load) -> None:
    rules = prometheus.rules()
    assert len(rules) > 15
    names = {name for rule in rules for name in NAME.findall(rule["query"])}
    assert names >= {"wanneng_pairs_in_flight", "nv_inference_queue_duration_us", "wanneng:errors:ratio_1h"}
    # Only a model on trial has a share; `promtool` tests its rule.
    names.discard("wanneng_pool_share")
    eventually("every series is there", lambda: all(prometheus.query(name) for name in names))


def test_every_rule_can_be_evaluated(release: Release, prometheus: Prometheus, load: Load) -> None:
    eventually(
        "every rule has been evaluated", lambda: {rule["health"] for rule in prometheus.rules()} == {"ok"}, 90
    )
    assert [rule["lastError"] for rule in prometheus.rules() if rule.get("lastError")] == []


def test_the_variables_of_the_dashboard_find_the_release(release: Release, prometheus: Prometheus) -> None:
    queries = [variable["query"] for variable in BOARD["templating"]["list"] if variable["type"] == "query"]
    matches = [re.fullmatch(r"label_values\((.+), (\w+)\)", query) for query in queries]
    values = [
        {labels.get(match[2]) for labels, _ in prometheus.query(resolve(release, match[1]))}
        for match in matches
        if match
    ]
    assert values == [{release.namespace}, {release.name}]


def test_every_target_has_a_job_and_tritons_have_a_pool(release: Release, prometheus: Prometheus) -> None:
    labels = [target["labels"] for target in prometheus.targets()]
    jobs = {"wanneng-gateway", "wanneng-control-plane", "wanneng-worker", "wanneng-triton"}
    assert {target["job"] for target in labels} == jobs
    assert {target.get("pool") for target in labels if target["job"] == "wanneng-triton"} == {"cpu"}


def test_the_alert_on_the_control_plane_sees_its_pods(release: Release, prometheus: Prometheus) -> None:
    (rule,) = [rule for rule in prometheus.rules() if rule["name"] == "WannengControlPlaneDown"]
    assert rule["state"] == "inactive"
    panel = dict(PANELS)["Control plane"]
    eventually("both Pods are up", lambda: [n for _, n in prometheus.query(resolve(release, panel))] == [2])


def test_replicas_are_removed_when_demand_is_gone(release: Release, prometheus: Prometheus, load: Load) -> None:
    load.stopping.set()
    eventually("one replica is left", lambda: replicas(release) == 1, 300)
    assert load.failures == []
