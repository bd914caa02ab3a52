"""Latency, peak memory and file size of one base-size model in several runtimes: `make bench-engines`.

The model is a StructBERT of base size (12 × 768) with random weights, on which speed does not depend. The runtimes
are the ModelScope pipeline, FP32 in ONNX Runtime and INT8 in OpenVINO (from tokenization to scores, as Triton's
models do it), and PyTorch FP16 where there is a GPU. Each runs in a process of its own, for its peak memory. They
run in turn, since cores are shared and only ratios within one run are meaningful.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines_report import LABEL_COUNTS, draw, table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/engines.json"
DOCS = ROOT / "docs"
VOCABULARY = ROOT.parent / "shared/data/vocab_zh_21128.txt"
TEXT = "昨天刚到的手机，充电时发烫得厉害，屏幕边缘还有一道划痕，客服让我再等等，我想直接退款。"
LABELS = tuple(
    f"{kind}{part}"
    for kind in ("物流", "质量", "售后", "价格", "包装")
    for part in ("投诉", "咨询", "建议", "表扬")
)
ROUNDS = 3
REQUESTS_PER_ROUND = {3: 8, 5: 20, 10: 6, 20: 4}
WARM_UP = 2
ROWS = 64
RUN_TIMEOUT_S = 600

Classify = Callable[[Sequence[str]], object]
"""Scores `TEXT` for the given labels."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one runtime: the seconds of each request, by number of labels."""

    runtime: str
    seconds: dict[int, list[float]]
    peak_memory_bytes: int
    gpu_memory_bytes: int


def main() -> None:
    """Build what is missing, measure all runtimes in turn, write JSON, table and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build/bench")
    parser.add_argument("--run", help="run this runtime once and print JSON")
    parser.add_argument(
        "--rows-per-second", action="store_true", help="compare FP32 and INT8 on the same rows and print JSON"
    )
    options = parser.parse_args()
    if options.run:
        print(json.dumps(asdict(_run(options.run, options.work))))
    elif options.rows_per_second:
        print(json.dumps(_rows_per_second(options.work)))
    else:
        _measure(options.work)


def _measure(work: Path) -> None:
    _build(work)
    runtimes = ["modelscope", "onnx-fp32", "openvino-int8"]
    if _has_gpu():
        runtimes.append("torch-fp16-cuda")
    runs: dict[str, list[Run]] = {runtime: [] for runtime in runtimes}
    for round_ in range(ROUNDS):
        for runtime in runtimes:
            print(f"round {round_ + 1} of {ROUNDS}: {runtime}", file=sys.stderr)
            runs[runtime].append(Run(**_run_in_process(work, "--run", runtime)))
    results = {
        "machine": {"processor": _processor(), "cores": _cores()},
        "model": "StructBERT base size, random weights",
        "text_characters": len(TEXT),
        "runtimes": {runtime: _summarize(runtime, runs[runtime], work) for runtime in runtimes},
        "rows_per_s": _run_in_process(work, "--rows-per-second"),
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    DOCS.mkdir(exist_ok=True)
    (DOCS / "engines-measured.md").write_text(table(results), encoding="utf-8")
    draw(results, DOCS / "engines-measured.svg")
    print(table(results))


def _run_in_process(work: Path, *flags: str) -> Any:
    """The JSON that this module prints with these flags in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.engines", "--work", str(work), *flags]
    completed = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=RUN_TIMEOUT_S, check=True
    )
    return json.loads(completed.stdout.splitlines()[-1])


def _summarize(runtime: str, runs: Sequence[Run], work: Path) -> dict[str, Any]:
    by_labels = {}
    for count in LABEL_COUNTS:
        # Keys of JSON are strings.
        seconds = [s for run in runs for s in run.seconds[str(count)]]  # type: ignore[index]
        by_labels[str(count)] = {
            "mean_ms": round(1e3 * float(np.mean(seconds)), 1),
            "p99_ms": round(1e3 * float(np.quantile(seconds, 0.99)), 1),
            "requests": len(seconds),
        }
    return {
        "labels": by_labels,
        "peak_memory_bytes": max(run.peak_memory_bytes for run in runs),
        "gpu_memory_bytes": max(run.gpu_memory_bytes for run in runs),
        "file_bytes": _weights_file(runtime, work).stat().st_size,
    }


def _weights_file(runtime: str, work: Path) -> Path:
    engine_files = {"onnx-fp32": "fp32/model.onnx", "openvino-int8": "int8/model.onnx"}
    return work / engine_files.get(runtime, "snapshot/pytorch_model.bin")


def _run(runtime: str, work: Path) -> Run:
    # The pipeline prints to standard output, which is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        classify, gpu_memory_bytes = _runtimes()[runtime](work)
        seconds: dict[int, list[float]] = {}
        for count, requests in REQUESTS_PER_ROUND.items():
            for _ in range(WARM_UP):
                classify(LABELS[:count])
            seconds[count] = [_timed(classify, LABELS[:count]) for _ in range(requests)]
    return Run(runtime, seconds, _peak_memory_bytes(), gpu_memory_bytes())


def _peak_memory_bytes() -> int:
    """Of this process alone: `ru_maxrss` would include the peak of its parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1_024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def _timed(classify: Classify, labels: Sequence[str]) -> float:
    started_at = time.perf_counter()
    classify(labels)
    return time.perf_counter() - started_at


def _runtimes() -> dict[str, Callable[[Path], tuple[Classify, Callable[[], int]]]]:
    return {
        "modelscope": _modelscope,
        "onnx-fp32": lambda work: (_engine(work / "fp32"), lambda: 0),
        "openvino-int8": lambda work: (_engine(work / "int8"), lambda: 0),
        "torch-fp16-cuda": _torch_fp16,
    }


def _modelscope(work: Path) -> tuple[Classify, Callable[[], int]]:
    from modelscope.pipelines import pipeline  # noqa: PLC0415 - a process loads its own runtime alone

    classifier = pipeline("zero-shot-classification", model=str(work / "snapshot"), device="cpu")
    return lambda labels: classifier(TEXT, candidate_labels=list(labels)), lambda: 0


def _engine(engine: Path) -> Classify:
    from python_backend.engine import load_engine, run_requests  # noqa: PLC0415
    from python_backend.manifest import load_manifest  # noqa: PLC0415
    from python_backend.scoring import rank  # noqa: PLC0415
    from python_backend.tokenization import PairEncoder, load_tokenizer  # noqa: PLC0415

    runner = load_engine(engine, load_manifest(engine))
    # No cache of hypotheses, as in the pipeline.
    encoder = PairEncoder(load_tokenizer(engine), truncation="longest_first", token_types=2, cached_hypotheses=0)

    def classify(labels: Sequence[str]) -> object:
        rows = encoder.encode(TEXT, labels, 512)
        request = {name: getattr(rows, name) for name in ("input_ids", "attention_mask", "token_type_ids")}
        return rank(run_requests(runner, [request])[0], multi_label=False)

    return classify


def _torch_fp16(work: Path) -> tuple[Classify, Callable[[], int]]:
    import torch  # noqa: PLC0415

    from engine.network import network_of  # noqa: PLC0415
    from engine.snapshot import read_snapshot  # noqa: PLC0415
    from python_backend.tokenization import PairEncoder, load_tokenizer  # noqa: PLC0415

    network = network_of(read_snapshot(work / "snapshot")).half().cuda()
    encoder = PairEncoder(
        load_tokenizer(work / "fp32"), truncation="longest_first", token_types=2, cached_hypotheses=0
    )

    def classify(labels: Sequence[str]) -> object:
        rows = encoder.encode(TEXT, labels, 512)
        tensors = {
            name: torch.from_numpy(getattr(rows, name)).cuda()
            for name in ("input_ids", "attention_mask", "token_type_ids")
        }
        with torch.inference_mode():
            return network(**tensors).logits.float().softmax(dim=0).cpu()

    return classify, lambda: int(torch.cuda.max_memory_allocated())


def _rows_per_second(work: Path) -> dict[str, float]:
    """Median rates of FP32 and INT8, run in turn on the same rows of 10 to 60 tokens."""
    from python_backend.engine import load_engine, run_requests  # noqa: PLC0415
    from python_backend.manifest import load_manifest  # noqa: PLC0415

    rng = np.random.default_rng(0)
    requests = []
    for length in rng.integers(10, 60, ROWS):
        ids = rng.integers(700, 8_000, (1, int(length)))
        requests.append(
            {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        )
    engines = {name: load_engine(work / name, load_manifest(work / name)) for name in ("fp32", "int8")}
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(ROUNDS + 2):
        for name, engine in engines.items():
            started_at = time.perf_counter()
            run_requests(engine, requests)
            rates[name].append(ROWS / (time.perf_counter() - started_at))
    return {name: round(float(np.median(values)), 1) for name, values in rates.items()}


def _build(work: Path) -> None:
    """Build the snapshot and its two engines in `work`, unless they are there."""
    from engine.build import build_engine  # noqa: PLC0415
    from engine.recipe import choose_recipe  # noqa: PLC0415
    from engine.snapshot import write_snapshot  # noqa: PLC0415

    if not (work / "snapshot/pytorch_model.bin").exists():
        write_snapshot(_random_snapshot(), work / "snapshot")
    for precision in ("fp32", "int8"):
        if not (work / precision / "engine.json").exists():
            recipe = choose_recipe(precision=precision)
            build_engine(work / "snapshot", work / precision, recipe, name="random-base", log=_say)


def _random_snapshot() -> Any:
    import torch  # noqa: PLC0415
    from transformers import BertConfig, BertForSequenceClassification  # noqa: PLC0415

    from engine.snapshot import Snapshot  # noqa: PLC0415

    if not VOCABULARY.exists():
        sys.exit(f"{VOCABULARY} is missing; put Google's Chinese BERT vocabulary (21,128 tokens) there")
    vocabulary = VOCABULARY.read_text(encoding="utf-8")
    config = {
        "vocab_size": vocabulary.count("\n"),
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3_072,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    }
    torch.manual_seed(0)
    network = BertForSequenceClassification(BertConfig(**config, num_labels=3))
    return Snapshot(config, network.state_dict(), vocabulary, lower_case=True)


def _has_gpu() -> bool:
    import torch  # noqa: PLC0415

    return bool(torch.cuda.is_available())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
