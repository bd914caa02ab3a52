"""`structbert` with a known service time: the real model on a tiny engine, then a pause to the full time.

A slow engine that puts no load on this machine's cores: an execution takes its pairs' share of `TEST_SERVICE_S`,
which 64 take, and at least a tenth. Triton loads this file in place of `model_repository/structbert/1/model.py`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from python_backend.triton import tensors
from python_backend.triton.structbert import StructBertModel

SERVICE_S = float(os.environ["TEST_SERVICE_S"])
BATCH_PAIRS = 64
MIN_SHARE = 0.1


class TritonPythonModel(StructBertModel):
    """One execution at a time, of all instances: they would share the cores."""

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        pairs = sum(len(tensors.array(request, "input_ids")) for request in requests)
        with Path(__file__).open("rb") as cores:
            fcntl.flock(cores, fcntl.LOCK_EX)
            ends = time.monotonic() + SERVICE_S * max(MIN_SHARE, pairs / BATCH_PAIRS)
            answers = super().execute(requests)
            time.sleep(max(0.0, ends - time.monotonic()))
        return answers
