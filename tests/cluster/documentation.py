"""Runs the commands of docs/kubernetes.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.cluster.kubernetes import LONG_S, Kubernetes
from tests.e2e.server import free_ports
from tests.helm.tools import ROOT

PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMESPACE, PORT = "wanneng", "18080"


def blocks(language: str) -> list[str]:
    """Contents of the code blocks in this language."""
    return [content for kind, content in BLOCK.findall(PAGE) if kind == language]


def run_commands(kubernetes: Kubernetes, folder: Path) -> str:
    """The output of all commands, from top to bottom, with temporary files in `folder`."""
    environment = dict(kubernetes.environment) | {
        "PATH": f"{Path(sys.executable).parent}:{kubernetes.environment['PATH']}"
    }
    script = "\n".join(blocks("sh")).replace(PORT, str(free_ports(1)[0])).replace("/tmp/", f"{folder}/")
    shell = Kubernetes(environment, kubernetes.own)
    return shell.run("bash", "-euo", "pipefail", "-c", script, timeout_s=LONG_S)
