"""PyTorch runs on one thread here and in the commands that tests start: networks are tiny.

Where the processors are busy, threads that wait for each other take several times as long as one.
"""

from __future__ import annotations

import os

# Before any test imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
