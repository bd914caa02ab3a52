"""What TensorRT is asked for, with a fake in its place: it needs a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from engine.tensorrt_api import TensorRt
builder = TensorRt(None, hardware_compatible=sys.argv[1] == "True")
print(builder.build_plan(Path("model.onnx"), inputs=("input_ids",), tokens=64, max_pairs=128).decode())
"""


def plan(*, hardware_compatible: bool) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(hardware_compatible)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/fakes")])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(("hardware_compatible", "compatibility"), [(False, "none"), (True, "ampere and newer")])
def test_plans_are_of_the_asked_kind_and_never_of_tf32(hardware_compatible: bool, compatibility: str) -> None:
    """TF32 has ten bits of mantissa: FP32 plans would differ from the reference by more than 1e-4."""
    built = plan(hardware_compatible=hardware_compatible)
    assert built["flags"] == []
    assert built["strongly_typed"]
    assert built["compatibility"] == compatibility
    assert built["profiles"] == [{"input_ids": [[1, 64], [128, 64], [128, 64]]}]
