"""`structbert` with a fixed service time: the real model on a tiny engine, then a pause to the full time.

What a GPU is like to who waits for it, and no load on this machine's cores: each execution takes
`TEST_SERVICE_S`, whatever it holds. Triton loads this file in place of `model_repository/structbert/1/model.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from python_backend.triton.structbert import StructBertModel

SERVICE_S = float(os.environ["TEST_SERVICE_S"])


class TritonPythonModel(StructBertModel):
    """One execution at a time."""

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        ends = time.monotonic() + SERVICE_S
        answers = super().execute(requests)
        time.sleep(max(0.0, ends - time.monotonic()))
        return answers
