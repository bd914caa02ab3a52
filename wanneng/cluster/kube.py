"""Asks a Kubernetes API server about one release; objects are the API's own JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from wanneng.errors import CommandError

TIMEOUT_S = 10
NAME, INSTANCE = "app.kubernetes.io/name", "app.kubernetes.io/instance"
COMPONENT, POOL = "app.kubernetes.io/component", "wanneng.io/pool"
GATEWAY_METRICS_PORT, CONTROL_PLANE_METRICS_PORT = 8090, 8082
DEFAULT_NAMESPACE = "default"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
MAX_EVENTS = 5_000
"""Of a namespace; the API server forgets them after an hour."""
MAX_LOG_BYTES = 8_000_000
"""Of one container: logs are merged in memory."""
TOO_MANY_REQUESTS, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 429, 401, 403, 404

WAYS_OUT = {
    UNAUTHORIZED: "; the kubeconfig's credentials are not accepted: log in again",
    FORBIDDEN: "; docs/kubernetes.md has the role that it needs",
    NOT_FOUND: "; is that a Kubernetes API server, and is the name right?",
}
CAUSES = (
    (
        urllib3.exceptions.NameResolutionError,
        "its host name cannot be resolved; is `server` of the kubeconfig right?",
    ),
    (urllib3.exceptions.ProxyError, "the proxy of the kubeconfig or of HTTPS_PROXY does not lead there"),
    (urllib3.exceptions.SSLError, "its certificate is not trusted, or it speaks no TLS; check the kubeconfig"),
    # Also a ConnectTimeoutError.
    (urllib3.exceptions.NewConnectionError, "connection refused; is the cluster running?"),
    (urllib3.exceptions.ConnectTimeoutError, "no connection in time; does a firewall let it through?"),
    (urllib3.exceptions.ReadTimeoutError, f"not within {TIMEOUT_S} s; try again"),
)
"""By the first type that fits."""

Object = dict[str, Any]


class Refused(CommandError):
    """A disruption budget does not allow the eviction now."""


class Cluster(Protocol):
    """A release as the API server shows it; errors are `CommandError`s."""

    def objects(self, kind: str) -> list[Object]:
        """All of a kind that belong to the release; of `nodes`, every one; of `events`, the namespace's."""
        ...

    def metrics(self, pod: str, port: int) -> str:
        """What `/metrics` says there; empty when it does not answer."""
        ...

    def logs(self, pod: str, container: str, since_s: int) -> str:
        """Lines with the time in front of each; empty while there are none."""
        ...

    def evict(self, pod: str) -> None:
        """`Refused` while a disruption budget does not allow it."""
        ...

    def cordon(self, node: str) -> None: ...


class KubernetesCluster:
    """The cluster of the kubeconfig, or the one that this process runs in."""

    def __init__(self, release: str, namespace: str | None, context: str | None) -> None:
        self._selector = f"{NAME}=wanneng,{INSTANCE}={release}"
        configured = _load(context)
        self.namespace = configured if namespace is None else namespace
        self._core = client.CoreV1Api()
        self._listed = {
            "pods": self._core.list_namespaced_pod,
            "deployments": client.AppsV1Api().list_namespaced_deployment,
            "jobs": client.BatchV1Api().list_namespaced_job,
            "horizontalpodautoscalers": client.AutoscalingV2Api().list_namespaced_horizontal_pod_autoscaler,
        }

    def objects(self, kind: str) -> list[Object]:
        if kind == "nodes":
            return _items(self._core.list_node, "nodes")
        if kind == "events":
            return _items(self._core.list_namespaced_event, kind, self.namespace, limit=MAX_EVENTS)
        return _items(self._listed[kind], kind, self.namespace, label_selector=self._selector)

    def metrics(self, pod: str, port: int) -> str:
        name = f"{pod}:{port}"
        try:
            return _body(
                self._core.connect_get_namespaced_pod_proxy_with_path,
                "pods/proxy",
                name,
                self.namespace,
                "metrics",
            ).decode()
        except CommandError:
            return ""

    def logs(self, pod: str, container: str, since_s: int) -> str:
        try:
            return _body(
                self._core.read_namespaced_pod_log,
                "pods/log",
                pod,
                self.namespace,
                container=container,
                since_seconds=since_s,
                timestamps=True,
                limit_bytes=MAX_LOG_BYTES,
            ).decode(errors="replace")
        except CommandError:
            return ""  # A container that has not started has none.

    def evict(self, pod: str) -> None:
        body = {"metadata": {"name": pod, "namespace": self.namespace}}
        try:
            with _answering():
                self._core.create_namespaced_pod_eviction(
                    pod, self.namespace, client.V1Eviction(**body), _request_timeout=TIMEOUT_S
                )
        except ApiException as error:
            if error.status == TOO_MANY_REQUESTS:
                raise Refused(f"a disruption budget does not let {pod} go at present") from None
            if error.status != NOT_FOUND:
                raise CommandError(f"{pod} cannot be evicted: {_reason(error)}") from None

    def cordon(self, node: str) -> None:
        try:
            with _answering():
                self._core.patch_node(node, {"spec": {"unschedulable": True}}, _request_timeout=TIMEOUT_S)
        except ApiException as error:
            raise CommandError(f"{node} cannot be cordoned: {_reason(error)}") from None


def _load(context: str | None) -> str:
    """Read the kubeconfig, or the service account of this pod; the namespace to use."""
    try:
        config.load_kube_config(context=context)
        known, active = config.list_kube_config_contexts()
        chosen = active if context is None else next(entry for entry in known if entry["name"] == context)
        return str(chosen["context"].get("namespace", DEFAULT_NAMESPACE))
    except config.ConfigException as error:
        cause = str(error).rstrip(".")
    if context is not None:
        # Not this pod's own cluster, which may be another one.
        raise CommandError(f"context {context!r} cannot be used: {cause}; choose one of the kubeconfig's")
    try:
        config.load_incluster_config()
    except config.ConfigException:
        raise CommandError(f"no cluster is known here: {cause}; set KUBECONFIG, or run in a pod") from None
    return _pod_namespace()


def _pod_namespace() -> str:
    """As client-go has it, where the pod's own volume may lack the file."""
    try:
        return NAMESPACE_FILE.read_text(encoding="utf-8").strip() or DEFAULT_NAMESPACE
    except OSError:
        return DEFAULT_NAMESPACE


def _items(call: Callable[..., Any], what: str, *arguments: object, **options: object) -> list[Object]:
    items: list[Object] = json.loads(_body(call, what, *arguments, **options))["items"]
    return items


def _body(call: Callable[..., Any], what: str, *arguments: object, **options: object) -> bytes:
    """The answer as it came: the client's own types know less than the API server says."""
    try:
        with _answering():
            answer = call(*arguments, **options, _preload_content=False, _request_timeout=TIMEOUT_S)
            return bytes(answer.data)
    except ApiException as error:
        raise CommandError(f"{what} cannot be read: {_reason(error)}{WAYS_OUT.get(error.status, '')}") from error


@contextmanager
def _answering() -> Iterator[None]:
    """`CommandError` with the cause where the API server does not answer."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        # What the last of several attempts met.
        met = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
        cause = next(
            (words for kind, words in CAUSES if isinstance(met, kind)), "the connection was lost; try again"
        )
        raise CommandError(
            f"no answer of the API server {client.Configuration.get_default_copy().host}: {cause}"
        ) from error


def _reason(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
