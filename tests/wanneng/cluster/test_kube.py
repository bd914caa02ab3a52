"""Why an API server gives no answer, from real servers."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest

from tests.e2e.server import free_ports
from tests.secure_postgresql import make_authority, make_certificate
from tests.wanneng.client.test_failures import JSON, Answer, answering, listening
from wanneng.cluster import kube
from wanneng.errors import CommandError

NAMES = {"objects": ("pods",), "cordon": ("node",), "evict": ("pod",)}


def failure(server: str, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str = "objects") -> str:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.setattr(kube, "TIMEOUT_S", 1)
    cluster = kube.KubernetesCluster("wanneng", None, None)
    with pytest.raises(CommandError) as error:
        getattr(cluster, call)(*NAMES[call])
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("call", NAMES)
def test_nobody_listens(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = f"http://127.0.0.1:{free_ports(1)[0]}"
    said = failure(server, tmp_path, monkeypatch, call)
    assert said == f"no answer of the API server {server}: connection refused; is the cluster running?"


def test_a_name_that_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "its host name cannot be resolved" in failure("http://kubernetes.invalid", tmp_path, monkeypatch)


def test_tls_that_is_not_trusted_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_authority(tmp_path, "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path))
    for tls in (context, None):
        with listening(answering(b"no TLS"), tls) as port:
            said = failure(f"https://127.0.0.1:{port}", tmp_path, monkeypatch)
        assert "its certificate is not trusted, or it speaks no TLS" in said


def test_an_answer_that_does_not_come_or_breaks_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    with listening(wait) as port:
        assert "not within" in failure(f"http://127.0.0.1:{port}", tmp_path, monkeypatch)
    with listening(answering(b"")) as port:
        assert "the connection was lost; try again" in failure(f"http://127.0.0.1:{port}", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            b"401 Unauthorized",
            "pods cannot be read: no; the kubeconfig's credentials are not accepted: log in again",
        ),
        (b"403 Forbidden", "pods cannot be read: no; docs/kubernetes.md has the role that it needs"),
        (b"404 Not Found", "pods cannot be read: no; is that a Kubernetes API server, and is the name right?"),
    ],
)
def test_a_refusal_has_a_way_out(
    status: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"message":"no"}'
    answer: Answer = answering(JSON % (status, len(body), body))
    with listening(answer) as port:
        assert failure(f"http://127.0.0.1:{port}", tmp_path, monkeypatch) == words
