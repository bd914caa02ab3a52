"""A real Prometheus on a real release: series, rules, panels, and pools that scale on them."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.cluster.kubernetes import Kubernetes, Release, eventually
from tests.cluster.load import Load, steady
from tests.cluster.prometheus import Prometheus, watching
from tests.helm.tools import CHART

BOARD = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
PANELS = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]
NAME = re.compile(r"\b(wanneng[:_][a-zA-Z0-9:_]+|nv_[a-z_]+)\b")
MOST = 3
LABELS = 32
"""Of a request under load: with 12 clients many more pairs than two cores compute in a second."""


@pytest.fixture(scope="module")
def release(namespaced: Callable[[dict[str, Any]], Release], kubernetes: Kubernetes) -> Release:
    if kubernetes.own is None or shutil.which("prometheus") is None:
        pytest.skip("this machine's cluster and a Prometheus on it are needed: apt install prometheus")
    made = namespaced(
        {
            "monitoring": {"enabled": True, "interval": "2s", "dashboard": {"enabled": True}},
            # All of the load waits until there are more pods; by default what would wait too long is refused.
            "gateway": {"replicas": 1, "settings": {"WANNENG_MAX_WAIT_S": "30"}},
            "pools": {
                "cpu": {
                    "engineThreads": 1,
                    "autoscaling": {
                        "enabled": True,
                        "minReplicas": 1,
                        "maxReplicas": MOST,
                        "pairsPerReplica": 16,
                        "scaleDownSeconds": 5,
                    },
                }
            },
        }
    )
    made.install("--wait")
    return made


@pytest.fixture(scope="module")
def prometheus(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with watching(release, tmp_path_factory.mktemp("prometheus")) as running:
        eventually("gateways and Tritons are scraped", lambda: {t["health"] for t in running.targets()} == {"up"})
        yield running


@pytest.fixture(scope="module")
def load(release: Release, prometheus: Prometheus) -> Iterator[Load]:
    """More than one pod can do; it ends when the test of scaling stops it."""
    with steady(release.address, release.key, 60.0, clients=12, labels=LABELS) as running:
        yield running


def replicas(release: Release) -> int:
    found = json.loads(release.kubectl("get", "deployment", "wanneng-triton-cpu", "-o", "json"))
    return int(found["spec"]["replicas"])


def of_release(release: Release, expr: str) -> str:
    return expr.replace("$namespace", release.namespace).replace("$release", release.name)


def test_demand_above_target_adds_replicas_by_the_real_autoscaler(
    release: Release, prometheus: Prometheus, load: Load
) -> None:
    assert replicas(release) == 1
    demanded = f'wanneng:pool_pairs_demanded{{namespace="{release.namespace}",release="wanneng",pool="cpu"}}'
    ((_, value),) = eventually("demand is recorded", lambda: [s for s in prometheus.query(demanded) if s[1] > 16])
    assert value > 16
    eventually("the pool is at its most", lambda: replicas(release) == MOST, 120)
    (scaler,) = release.objects("hpa")
    assert {metric["external"]["metric"]["name"] for metric in scaler["status"]["currentMetrics"]} == {
        "wanneng:pool_pairs_demanded",
        "wanneng:pool_queue_ratio",
    }
    eventually("the new ones answer", lambda: len(answering(prometheus)) == 1 and answering(prometheus)[0] == MOST)


def answering(prometheus: Prometheus) -> list[float]:
    return [value for _, value in prometheus.query('wanneng_pool_replicas{pool="cpu",state="answering"}')]


def test_status_tells_that_the_pool_is_at_its_most(release: Release, load: Load) -> None:
    def told() -> str | None:
        _, said = release.wanneng("status", release.name, "-n", release.namespace)
        return said if "would scale beyond maxReplicas (3)" in said else None

    assert "1 to 3" in eventually("status tells", told, 60)


@pytest.mark.parametrize("title", sorted({title for title, _ in PANELS}))
def test_every_panel_shows_something(title: str, release: Release, prometheus: Prometheus, load: Load) -> None:
    for expr in [expr for found, expr in PANELS if found == title]:
        series = eventually(expr, partial(prometheus.query, of_release(release, expr)), 60)
        # A ratio without refusals or waiting is 0; one without anything at all would not be a number.
        assert not any(math.isnan(value) for _, value in series), expr


def test_every_series_that_a_rule_names_exists(release: Release, prometheus: Prometheus, load: Load) -> None:
    rules = prometheus.rules()
    assert len(rules) > 15
    named = {name for rule in rules for name in NAME.findall(rule["query"])}
    assert named >= {"wanneng_pairs_in_flight", "nv_inference_queue_duration_us", "wanneng:errors:ratio_1h"}
    eventually("every series is there", lambda: not [name for name in named if not prometheus.query(name)], 60)


def test_every_rule_can_be_evaluated(release: Release, prometheus: Prometheus, load: Load) -> None:
    eventually("every rule was evaluated", lambda: {rule["health"] for rule in prometheus.rules()} == {"ok"}, 90)
    assert [rule["lastError"] for rule in prometheus.rules() if rule.get("lastError")] == []


def test_the_boards_variables_find_the_release(release: Release, prometheus: Prometheus) -> None:
    queries = [variable["query"] for variable in BOARD["templating"]["list"] if variable["type"] == "query"]
    found = [re.fullmatch(r"label_values\((.+), (\w+)\)", query) for query in queries]
    values = [
        {labels.get(one[2]) for labels, _ in prometheus.query(of_release(release, one[1]))} for one in found if one
    ]
    assert values == [{release.namespace}, {release.name}]


def test_every_targets_pods_are_known_by_pool_and_job(release: Release, prometheus: Prometheus) -> None:
    labels = [target["labels"] for target in prometheus.targets()]
    assert {one["job"] for one in labels} == {"wanneng-gateway", "wanneng-triton"}
    assert {one.get("pool") for one in labels if one["job"] == "wanneng-triton"} == {"cpu"}


def test_when_demand_is_gone_replicas_go_too(release: Release, prometheus: Prometheus, load: Load) -> None:
    load.stopping.set()
    eventually("one is left", lambda: replicas(release) == 1, 300)
    assert load.failures == []
