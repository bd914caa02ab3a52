"""NVIDIA's AIPerf drives reranking: `make aiperf`. Not in `make test`, for it installs 840 MB."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.server import ROOT, Server

COMMAND = ROOT / ".venv-aiperf" / "bin" / "aiperf"
REQUESTS = 6


@pytest.mark.parametrize("endpoint_type", ["hf_tei_rankings", "cohere_rankings"])
def test_every_request_of_aiperf_is_answered(endpoint_type: str, server: Server, tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").symlink_to(ROOT / "embedded" / "tokenizer.json")
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    options = {
        "model": "wanneng-embedded",
        "endpoint-type": endpoint_type,
        "url": server.url,
        "tokenizer": str(tokenizer),
        "request-count": str(REQUESTS),
        "concurrency": "2",
        "ui": "none",
        "artifact-dir": str(tmp_path / "artifacts"),
        "rankings-passages-mean": "4",
        "rankings-passages-prompt-token-mean": "16",
        "rankings-query-prompt-token-mean": "8",
    }
    command = [
        str(COMMAND),
        "profile",
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]
    environment = dict(os.environ) | {"NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3_000:]
    report = json.loads((tmp_path / "artifacts" / "profile_export_aiperf.json").read_text(encoding="utf-8"))
    assert (report["request_count"]["avg"], report["request_error_rate"]["avg"]) == (REQUESTS, 0)
    assert report["error_summary"] == []
