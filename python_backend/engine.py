"""Runs the token rows of many requests through an engine on the CPU, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from python_backend.batching import plan_batches
from python_backend.manifest import ONNXRUNTIME, Manifest, installed, runtime_of
from python_backend.onnx_engine import OnnxEngine
from python_backend.rows import Rows

MAX_BATCH_ROWS = 32
MAX_BATCH_TOKENS = 4_096
"""Tokens of a batch, padding included: they bound the memory of a run, and so that of the process."""


class InferenceEngine(Protocol):
    """Maps `rows` of `[n, s]` int64 to logits `[n, 3]` float32, in as many threads at a time as it has lanes.

    The logits of a row do not depend on the other rows of its batch, in any precision that `wanneng engine build`
    offers for CPUs.
    """

    def widths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """To how many tokens rows of these lengths `[n]` are padded; None if padding does not change logits."""
        ...

    def run(self, rows: Rows) -> NDArray[np.float32]: ...


def load_engine(folder: Path, manifest: Manifest, *, threads: int = 0, lanes: int = 1) -> InferenceEngine:
    """Load the engine in `folder` with the runtime of its precision; `EngineError` if that is impossible.

    `threads`: threads of one run, 0 for one per core; `lanes`: runs at a time.
    """
    check_runtime(manifest.precision)
    if runtime_of(manifest.precision) == ONNXRUNTIME:
        return OnnxEngine(folder, threads=threads)
    from python_backend.openvino_engine import OpenVinoEngine  # noqa: PLC0415 - not everywhere installed

    return OpenVinoEngine(folder, manifest.precision, max_tokens=manifest.max_tokens, threads=threads, lanes=lanes)


def check_runtime(precision: str) -> None:
    """`EngineError` if what runs engines of `precision` is not installed, or needs another processor."""
    installed(runtime_of(precision))
    if precision == "bf16":
        from python_backend.openvino_engine import capabilities, check_processor  # noqa: PLC0415

        check_processor(capabilities())


class Lanes:
    """`count` threads, each of which takes its share of the rows of every batch.

    Two runs on a thread each take up to 20% less time than one on both, where an operation waits until both have
    done their part of the one before. `prepare`: called in each thread as it starts.
    """

    def __init__(self, count: int, prepare: Callable[[], None] | None = None) -> None:
        self._count = count
        self._threads = ThreadPoolExecutor(count, "lane", prepare)

    def run(self, run: Callable[[NDArray[np.int64]], None], batches: Sequence[NDArray[np.int64]]) -> None:
        """Call `run` with the rows of each share; the first of its errors is raised."""
        shares = [batch[lane :: self._count] for batch in batches for lane in range(self._count)]
        # Batches come with their shortest rows first; what takes longest must not begin last.
        list(self._threads.map(run, [share for share in reversed(shares) if len(share)]))


def run_requests(
    engine: InferenceEngine, requests: Sequence[Rows], lanes: Lanes | None = None
) -> list[NDArray[np.float32]]:
    """Logits (`[n_i, 3]`, float32) of each request, from batches that mix the rows of all requests.

    Rows lose the padding of their request and are padded again, to the longest row of their batch or as the engine
    needs it. Batches run one after another in the calling thread, or in `lanes`.
    """
    counts = [len(request["input_ids"]) for request in requests]
    ends = np.cumsum(counts)
    lengths = np.concatenate([request["attention_mask"].sum(axis=1) for request in requests])
    fixed_widths = engine.widths(lengths)
    widths = lengths if fixed_widths is None else fixed_widths
    rows = {name: np.zeros((ends[-1], widths.max()), dtype=np.int64) for name in requests[0]}
    for request, end, count in zip(requests, ends, counts, strict=True):
        for name, values in request.items():
            kept = values[:, : lengths.max()]
            rows[name][end - count : end, : kept.shape[1]] = kept
    logits = np.empty((ends[-1], 3), dtype=np.float32)
    batches = plan_batches(
        widths.tolist(),
        max_rows=MAX_BATCH_ROWS,
        max_padded_tokens=MAX_BATCH_TOKENS,
        mixed=fixed_widths is None,
    )

    def run(batch: NDArray[np.int64]) -> None:
        width = widths[batch].max()
        logits[batch] = engine.run({name: values[batch, :width] for name, values in rows.items()})

    if lanes is None:
        for batch in batches:
            run(batch)
    else:
        lanes.run(run, batches)
    return np.split(logits, ends[:-1])
