"""A real Prometheus on this machine, configured from a release's PodMonitors and PrometheusRules.

It does the work of the Prometheus Operator for the few fields that the chart uses. Debian builds Prometheus
without Kubernetes service discovery, so the Pods are written into a file for its file-based discovery.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.kubernetes import Release
from tests.helm.tools import Object

ADDRESS = ("127.0.0.1", 9090)
"""The cluster's external metrics come from here."""
START_S, STOP_S, QUERY_S, DISCOVERY_S = 30.0, 15.0, 10.0, 1.0


class Prometheus:
    """Its HTTP API."""

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and current value of each series."""
        data = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def rules(self) -> list[Object]:
        return [rule for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[Object]:
        targets: list[Object] = self._get("/api/v1/targets")["activeTargets"]
        return targets

    @staticmethod
    def _get(path: str) -> Any:
        host, port = ADDRESS
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=QUERY_S) as response:
            return json.loads(response.read())["data"]


@contextmanager
def watching(release: Release, folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus, which scrapes the release's Pods, during the block."""
    rules = folder / "rules.yaml"
    groups = [group for rules in release.objects("prometheusrules") for group in rules["spec"]["groups"]]
    rules.write_text(yaml.safe_dump({"groups": groups}, allow_unicode=True), encoding="utf-8")
    pods = folder / "pods.json"
    jobs = [job for monitor in release.objects("podmonitors") for job in scrape_configs(monitor, pods)]
    config = {
        "global": {"evaluation_interval": "2s", "scrape_interval": "2s", "scrape_timeout": "2s"},
        "rule_files": [str(rules)],
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.socket() as probe:
        assert probe.connect_ex(ADDRESS), f"{ADDRESS} is in use, probably by another Prometheus; stop it"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={ADDRESS[0]}:{ADDRESS[1]}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
    stopping = threading.Event()
    discovery = threading.Thread(target=discover, args=(release, pods, stopping))
    discovery.start()
    try:
        ends = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"http://{ADDRESS[0]}:{ADDRESS[1]}/-/ready", timeout=QUERY_S):
                    break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < ends, (folder / "log").read_text()
                time.sleep(0.2)
        yield Prometheus()
    finally:
        stopping.set()
        discovery.join()
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def discover(release: Release, file: Path, stopping: threading.Event) -> None:
    """Keep `file` as Kubernetes service discovery of Pods would have it."""
    while not stopping.wait(DISCOVERY_S):
        targets = []
        for pod in release.objects("pods"):
            address = pod["status"].get("podIP")
            for container in pod["spec"]["containers"] if address else []:
                for port in container.get("ports", []):
                    labels = {pod_label(name): value for name, value in pod["metadata"]["labels"].items()} | {
                        "__meta_kubernetes_namespace": pod["metadata"]["namespace"],
                        "__meta_kubernetes_pod_name": pod["metadata"]["name"],
                        "__meta_kubernetes_pod_container_port_name": port["name"],
                    }
                    targets.append({"targets": [f"{address}:{port['containerPort']}"], "labels": labels})
        partial = file.with_suffix(".part")
        partial.write_text(json.dumps(targets), encoding="utf-8")
        partial.replace(file)


def scrape_configs(monitor: Object, pods: Path) -> Iterator[Object]:
    spec = monitor["spec"]
    namespace = monitor["metadata"]["namespace"]
    for number, endpoint in enumerate(spec["podMetricsEndpoints"]):
        relabelings: list[dict[str, Any]] = [
            {"source_labels": [pod_label(name)], "regex": re.escape(value), "action": "keep"}
            for name, value in spec["selector"]["matchLabels"].items()
        ]
        relabelings += [
            {
                "source_labels": ["__meta_kubernetes_pod_container_port_name"],
                "regex": endpoint["port"],
                "action": "keep",
            },
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        ]
        for given in endpoint.get("relabelings", []):
            names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
            relabelings.append({names.get(name, name): value for name, value in given.items()})
        yield {
            "job_name": f"{namespace}/{monitor['metadata']['name']}/{number}",
            "metrics_path": endpoint["path"],
            "scrape_interval": endpoint["interval"],
            "file_sd_configs": [{"files": [str(pods)], "refresh_interval": "1s"}],
            "relabel_configs": relabelings,
        }


def pod_label(name: str) -> str:
    return "__meta_kubernetes_pod_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)
