"""What `wanneng serve` says never ends it, whatever its streams are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVING = """
import sys
from pathlib import Path
from logs.setup import STDOUT
from wanneng.serve.serve_log import ServeLog, print_line
log = ServeLog(text=sys.argv[1] == "text")
with log.reporting():
    log("starting")
    print_line(STDOUT, "curl -d 万能")
    log("ready")
    Path(sys.argv[2]).write_text("went on")
"""
STREAMS = {
    "closed": ">&- 2>&-",
    "output closed": ">&-",
    "messages closed": "2>&-",
    "full": ">/dev/full 2>/dev/full",
    "without a reader": "",
}


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("streams", STREAMS)
def test_a_server_goes_on_whatever_its_streams_are(streams: str, log_format: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    reached = tmp_path / "reached"
    command = ["sh", "-c", f'exec "$@" {STREAMS[streams]}', "sh", sys.executable, "-c", SERVING]
    done = subprocess.run(
        [*command, log_format, str(reached)], cwd=ROOT, stdout=writer, stderr=writer, check=False, timeout=30
    )
    os.close(writer)
    assert reached.exists()
    assert done.returncode == 0


def test_lines_for_a_person_have_the_encoding_of_the_locale() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "gbk"}
    done = subprocess.run(
        [sys.executable, "-c", SERVING, "text", os.devnull],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == "curl -d 万能\n".encode("gbk")
    assert done.stderr == b"wanneng: starting\nwanneng: ready\n"
