"""What pools and gateways scale on."""

from __future__ import annotations

from tests.helm.tools import CHART, containers, find, names, render


def test_pools_scale_on_demand_and_queueing_and_slowly_down() -> None:
    objects = render({"pools": {"cpu": {"weight": 2.5}}}, CHART / "ci/autoscaling.yaml")
    deployment = find(objects, "Deployment", "w-triton-cpu")
    assert "replicas" not in deployment["spec"], "an upgrade must not reset the autoscaler's number"
    scaler = find(objects, "HorizontalPodAutoscaler", "w-triton-cpu")["spec"]
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


def test_keda_queries_the_same_series() -> None:
    objects = render(None, CHART / "ci/keda.yaml")
    assert names(objects, "HorizontalPodAutoscaler") == []
    scaled = find(objects, "ScaledObject", "w-triton-cpu")["spec"]
    series = '{namespace="n",release="w",pool="cpu"}'
    assert [trigger["metadata"]["query"] for trigger in scaled["triggers"]] == [
        f"wanneng:pool_pairs_demanded{series}",
        f"wanneng:pool_queue_ratio{series}",
    ]


TO_ZERO = {"pools": {"cpu": {"autoscaling": {"minReplicas": 0, "scaleDownSeconds": 900}}}}


def test_a_pool_without_pods_starts_one_when_requests_meet_none() -> None:
    scaled = find(render(TO_ZERO, CHART / "ci/keda.yaml"), "ScaledObject", "w-triton-cpu")["spec"]
    assert (scaled["minReplicaCount"], scaled["cooldownPeriod"]) == (0, 900)
    _, _, unanswered = scaled["triggers"]
    assert unanswered["metadata"]["query"] == 'wanneng:requests_unanswered{namespace="n",release="w"}'
    assert int(unanswered["metadata"]["threshold"]) > 100_000, "however many ask, it starts no more than one"
    kept = find(render(None, CHART / "ci/keda.yaml"), "ScaledObject", "w-triton-cpu")["spec"]
    assert "cooldownPeriod" not in kept
    assert len(kept["triggers"]) == 2


def test_a_gateway_starts_without_triton_where_there_may_be_none() -> None:
    """Otherwise it would take no requests, and nothing would start a Triton."""
    for values, path in ((TO_ZERO, "/livez"), (None, "/readyz")):
        (gateway,) = containers(find(render(values, CHART / "ci/keda.yaml"), "Deployment", "w-gateway"))
        assert gateway["startupProbe"]["httpGet"]["path"] == path


def test_nothing_scales_on_gpu_utilization() -> None:
    """The only utilization that anything scales on is a gateway's CPU."""
    for path in (CHART / "templates").glob("triton-*.yaml"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert "utili" not in "".join(lines).lower(), path.name


def test_gateways_scale_on_their_cpu() -> None:
    objects = render({"gateway": {"autoscaling": {"enabled": True}}})
    scaler = find(objects, "HorizontalPodAutoscaler", "w-gateway")["spec"]
    assert scaler["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 70},
    }
    assert "replicas" not in find(objects, "Deployment", "w-gateway")["spec"]


def test_gateways_scale_on_requests_in_flight_where_that_is_asked_for() -> None:
    """CPU stays a metric, so that one of the two is left while Prometheus does not answer."""
    scaling = {"enabled": True, "requestsPerReplica": 40}
    objects = render({"monitoring": {"enabled": True}, "gateway": {"autoscaling": scaling}})
    cpu, requests = find(objects, "HorizontalPodAutoscaler", "w-gateway")["spec"]["metrics"]
    assert cpu["resource"]["name"] == "cpu"
    assert requests["external"] == {
        "metric": {
            "name": "wanneng:gateway_requests_in_flight",
            "selector": {"matchLabels": {"namespace": "n", "release": "w"}},
        },
        "target": {"type": "AverageValue", "averageValue": "40"},
    }
    alone = render({"gateway": {"autoscaling": {"enabled": True}}})
    assert len(find(alone, "HorizontalPodAutoscaler", "w-gateway")["spec"]["metrics"]) == 1
