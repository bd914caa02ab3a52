"""An upgrade from the last version without a control plane to this one, without a database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.kubernetes import Release
from tests.cluster.old_version import orphans


def test_the_generated_keys_are_kept(namespaced: Callable[[dict[str, Any]], Release], before: Path) -> None:
    release = namespaced({"gateway": {"replicas": 0}, "pools": {"cpu": {"replicas": 0}}})
    release.install(chart=before / "helm/wanneng")
    key = release.key
    release.upgrade()
    assert release.key == key
    assert orphans(release) == set()
    listed = json.loads(release.kubernetes.helm("list", "-n", release.namespace, "-o", "json"))
    assert (listed[0]["status"], listed[0]["revision"]) == ("deployed", "2")
