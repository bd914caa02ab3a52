"""A release that is installed from a registry on this machine, with the images published with its chart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images
from tests.cluster.kubernetes import Kubernetes, Release
from tests.oci_registry import oci_registry
from tests.publishing.checkout import Checkout

SMALL = {
    "gateway": {"replicas": 1},
    "poolDefaults": {"replicas": 1},
    # Other Pods pull the images themselves, as anywhere else.
    "images": {name: {"pullPolicy": "Always"} for name in ("gateway", "tritonCpu")},
}


def test_what_was_published_is_installed_and_answers(
    kubernetes: Kubernetes, namespaced: Callable[[dict[str, Any]], Release], tmp_path: Path
) -> None:
    if kubernetes.own is None:
        pytest.skip("the nodes of another cluster do not reach a registry on this machine's loopback")
    checkout = Checkout.copy(tmp_path / "checkout")
    for name in images.NAMES:
        checkout.build(name, base=f"{images.PREFIX}-{name}:{images.VERSION}")
    (tmp_path / "registry").mkdir()
    with oci_registry(tmp_path / "registry", with_password=False) as registry:
        try:
            address = f"{registry.address}/team"
            done = checkout.publish(address, "--without=gpu", environment=kubernetes.environment)
            assert done.returncode == 0, done.stdout + done.stderr
            release = namespaced(SMALL)
            options = ("--version", images.VERSION, "--plain-http", "--wait")
            release.install(*options, chart=f"oci://{address}/wanneng")
            pods = release.objects("pods")
            run = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
            assert len(run) == 2
            for image in run:
                assert image in done.stdout.replace(f":{images.VERSION}@", "@"), json.dumps(sorted(run))
            answer = release.classify(release.key, text="这个手机质量太差，要求退款", labels=["投诉", "咨询"])
            assert answer["labels"][0] == "投诉"
        finally:
            checkout.remove_images()
            shutil.rmtree(registry.folder / "blobs")
