"""A pool without Pods is woken by KEDA's own operator, by a real Prometheus, by a request that was refused.

Only where the operator is, since it takes longer to build than all other tests take together: from the Go module
github.com/kedacore/keda/v2 (./cmd/operator), as `keda-operator` in PATH or in ~/.cache/wanneng-tools/scaling.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from tests.cluster.kubernetes import Release, eventually
from tests.cluster.prometheus import ADDRESS, watching
from tests.e2e.server import free_ports
from tests.helm.tools import TOOLS

OPERATOR = shutil.which("keda-operator", path=os.pathsep.join([os.environ["PATH"], str(TOOLS / "scaling")]))
NAMESPACES = ("WATCH_NAMESPACE", "POD_NAMESPACE", "KEDA_CLUSTER_OBJECT_NAMESPACE")
STOP_S = 30
IDLE_S = 30
"""From the last request to the removal of the last Pod."""
TRITON = "--selector=app.kubernetes.io/component=triton"
POLL_S = 120
"""KEDA asks every 30 s; beside that a Pod starts, or an idle time passes."""

if OPERATOR is not None:

    @pytest.fixture(scope="module")
    def release(namespaced: Callable[[dict[str, Any]], Release]) -> Release:
        made = namespaced(
            {
                "gateway": {"replicas": 1},
                "monitoring": {"enabled": True, "interval": "2s"},
                "autoscaling": {"provider": "keda", "prometheusUrl": f"http://{ADDRESS[0]}:{ADDRESS[1]}"},
                "pools": {
                    "cpu": {
                        "autoscaling": {
                            "enabled": True,
                            "minReplicas": 0,
                            "maxReplicas": 2,
                            "scaleDownSeconds": IDLE_S,
                        }
                    }
                },
            }
        )
        made.install("--wait")
        return made

    @pytest.fixture(scope="module")
    def keda(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        """The operator, beside the cluster, for the namespace of the release."""
        folder = tmp_path_factory.mktemp("keda")
        with watching(release, folder), (folder / "log").open("wb") as log:
            key = ("-keyout", "tls.key", "-out", "tls.crt", "-subj", "/CN=keda-operator", "-days", "1")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *key],
                cwd=folder,
                check=True,
                capture_output=True,
            )
            shutil.copy(folder / "tls.crt", folder / "ca.crt")
            metrics, health, service = free_ports(3)
            process = subprocess.Popen(
                [
                    str(OPERATOR),
                    f"--cert-dir={folder}",
                    f"--metrics-bind-address=127.0.0.1:{metrics}",
                    f"--health-probe-bind-address=127.0.0.1:{health}",
                    f"--metrics-service-bind-address=127.0.0.1:{service}",
                    "--enable-webhook-patching=false",
                    "--enable-apiservice-patching=false",
                ],
                env=dict(release.kubernetes.environment) | dict.fromkeys(NAMESPACES, release.namespace),
                stdout=log,
                stderr=log,
            )
            try:
                yield
                assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")[-4_000:]
            finally:
                process.terminate()
                process.wait(STOP_S)

    def pods(release: Release) -> list[str]:
        return [pod["metadata"]["name"] for pod in release.pods("triton")]

    def test_an_idle_pool_has_no_pod(release: Release, keda: None) -> None:
        # One that drains still answers, and what it answers would start another.
        eventually("the last Pod is gone", lambda: not release.objects("pods", TRITON), POLL_S)
        assert release.api.request("GET", "/livez").status == http.client.OK

    def test_a_refused_request_starts_a_pod_which_answers_the_next(release: Release, keda: None) -> None:
        key, numbers = release.key, count()

        def ask() -> Any:
            # A known answer needs no Triton.
            body = {"text": f"质量太差，要求退款 {next(numbers)}", "labels": ["投诉", "咨询"]}
            return release.api.request("POST", "/v1/classify", key, body)

        def refused() -> bool:
            answer = ask()
            return answer.status == http.client.SERVICE_UNAVAILABLE and int(answer.headers["retry-after"]) > 0

        eventually("a request finds no Triton", refused, 30)
        eventually("a Pod is started", lambda: len(pods(release)) == 1, POLL_S)
        eventually("it answers", lambda: ask().status == http.client.OK, POLL_S)

    def test_it_sleeps_again_when_nobody_asks(release: Release, keda: None) -> None:
        eventually("the last Pod is removed", lambda: not pods(release), IDLE_S + POLL_S)
