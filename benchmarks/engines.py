"""Latency, memory and size of the ways to run one base-size model, in one run: `make bench-engines`.

A StructBERT of base size (12 × 768) with random weights, which speed does not depend on. Ways: the real ModelScope
pipeline, ONNX FP32 and ONNX INT8 (tokenization, engine and scores, as Triton's models do them), and PyTorch FP16
where there is a GPU. Each way has a process of its own, for its peak memory; they take turns, since the
machine's cores are shared and only ratios within a run mean something.
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
SECONDS_PER_WAY = 600

Classify = Callable[[Sequence[str]], object]
"""Scores of `TEXT` for these labels, by one of the ways."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of one way: seconds of each request by number of labels."""

    way: str
    seconds: dict[int, list[float]]
    peak_memory_bytes: int
    gpu_memory_bytes: int


def main() -> None:
    """Build what is missing, measure all ways in turn, write JSON, table and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build/bench")
    parser.add_argument("--turn", help="one turn of this way; prints JSON")
    parser.add_argument("--rows-per-second", action="store_true", help="ONNX FP32 and INT8 on the same rows")
    options = parser.parse_args()
    if options.turn:
        print(json.dumps(asdict(_turn(options.turn, options.work))))
    elif options.rows_per_second:
        print(json.dumps(_rows_per_second(options.work)))
    else:
        _measure(options.work)


def _measure(work: Path) -> None:
    _build(work)
    ways = ["modelscope", "onnx-fp32", "onnx-int8"]
    if _has_gpu():
        ways.append("torch-fp16-cuda")
    turns: dict[str, list[Turn]] = {way: [] for way in ways}
    for round_ in range(ROUNDS):
        for way in ways:
            print(f"round {round_ + 1} of {ROUNDS}: {way}", file=sys.stderr)
            turns[way].append(Turn(**_ask(work, "--turn", way)))
    results = {
        "machine": {"processor": _processor(), "cores": _cores()},
        "model": "StructBERT base size, random weights",
        "text_characters": len(TEXT),
        "ways": {way: _summary(way, turns[way], work) for way in ways},
        "rows_per_s": _ask(work, "--rows-per-second"),
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    DOCS.mkdir(exist_ok=True)
    (DOCS / "engines-measured.md").write_text(table(results), encoding="utf-8")
    draw(results, DOCS / "engines-measured.svg")
    print(table(results))


def _ask(work: Path, *flags: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.engines", "--work", str(work), *flags]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=SECONDS_PER_WAY, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _summary(way: str, turns: Sequence[Turn], work: Path) -> dict[str, Any]:
    by_labels = {}
    for count in LABEL_COUNTS:
        # JSON made strings of the numbers.
        seconds = [s for turn in turns for s in turn.seconds[str(count)]]  # type: ignore[index]
        by_labels[str(count)] = {
            "mean_ms": round(1e3 * float(np.mean(seconds)), 1),
            "p99_ms": round(1e3 * float(np.quantile(seconds, 0.99)), 1),
            "requests": len(seconds),
        }
    return {
        "labels": by_labels,
        "peak_memory_bytes": max(turn.peak_memory_bytes for turn in turns),
        "gpu_memory_bytes": max(turn.gpu_memory_bytes for turn in turns),
        "file_bytes": _file(way, work).stat().st_size,
    }


def _file(way: str, work: Path) -> Path:
    folder = {"onnx-fp32": "fp32/model.onnx", "onnx-int8": "int8/model.onnx"}
    return work / folder.get(way, "snapshot/pytorch_model.bin")


def _turn(way: str, work: Path) -> Turn:
    # The pipeline prints; the last line of standard output is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        classify, gpu_memory_bytes = _ways()[way](work)
        seconds: dict[int, list[float]] = {}
        for count, requests in REQUESTS_PER_ROUND.items():
            for _ in range(WARM_UP):
                classify(LABELS[:count])
            seconds[count] = [_timed(classify, LABELS[:count]) for _ in range(requests)]
    return Turn(way, seconds, _peak_memory_bytes(), gpu_memory_bytes())


def _peak_memory_bytes() -> int:
    """Of this program alone: `ru_maxrss` would tell the peak of the process that started it, if that is higher."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1_024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def _timed(classify: Classify, labels: Sequence[str]) -> float:
    began = time.perf_counter()
    classify(labels)
    return time.perf_counter() - began


def _ways() -> dict[str, Callable[[Path], tuple[Classify, Callable[[], int]]]]:
    return {
        "modelscope": _modelscope,
        "onnx-fp32": lambda work: (_onnx(work / "fp32"), lambda: 0),
        "onnx-int8": lambda work: (_onnx(work / "int8"), lambda: 0),
        "torch-fp16-cuda": _torch_fp16,
    }


def _modelscope(work: Path) -> tuple[Classify, Callable[[], int]]:
    from modelscope.pipelines import pipeline  # noqa: PLC0415 - a process loads its own way alone

    classifier = pipeline("zero-shot-classification", model=str(work / "snapshot"), device="cpu")
    return lambda labels: classifier(TEXT, candidate_labels=list(labels)), lambda: 0


def _onnx(engine: Path) -> Classify:
    from python_backend.engine import OnnxEngine, run_requests  # noqa: PLC0415
    from python_backend.scoring import rank  # noqa: PLC0415
    from python_backend.tokenization import PairEncoder, load_tokenizer  # noqa: PLC0415

    runner = OnnxEngine(engine)
    # No hypotheses are kept: the pipeline keeps none either.
    encoder = PairEncoder(load_tokenizer(engine), max_tokens=512, cached_hypotheses=0)

    def classify(labels: Sequence[str]) -> object:
        rows = encoder.encode(TEXT, labels, 512)
        request = {name: getattr(rows, name) for name in ("input_ids", "attention_mask", "token_type_ids")}
        return rank(run_requests(runner, [request])[0], multi_label=False)

    return classify


def _torch_fp16(work: Path) -> tuple[Classify, Callable[[], int]]:
    import torch  # noqa: PLC0415

    from engine.snapshot import network_of, read_snapshot  # noqa: PLC0415
    from python_backend.tokenization import PairEncoder, load_tokenizer  # noqa: PLC0415

    network = network_of(read_snapshot(work / "snapshot")).half().cuda()
    encoder = PairEncoder(load_tokenizer(work / "snapshot"), max_tokens=512, cached_hypotheses=0)

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
    """FP32 and INT8 by turns on the same rows of 10 to 60 tokens; the median of each."""
    from python_backend.engine import OnnxEngine, run_requests  # noqa: PLC0415

    rng = np.random.default_rng(0)
    requests = []
    for length in rng.integers(10, 60, ROWS):
        ids = rng.integers(700, 8_000, (1, int(length)))
        requests.append(
            {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        )
    engines = {name: OnnxEngine(work / name) for name in ("fp32", "int8")}
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(ROUNDS + 2):
        for name, engine in engines.items():
            began = time.perf_counter()
            run_requests(engine, requests)
            rates[name].append(ROWS / (time.perf_counter() - began))
    return {name: round(float(np.median(values)), 1) for name, values in rates.items()}


def _build(work: Path) -> None:
    """The snapshot and its two engines, kept in `work` for the next time."""
    from engine.build import build_engine  # noqa: PLC0415
    from engine.recipe import choose_recipe  # noqa: PLC0415
    from engine.snapshot import write_snapshot  # noqa: PLC0415

    if not (work / "snapshot/pytorch_model.bin").exists():
        write_snapshot(_random_snapshot(), work / "snapshot")
    for precision in ("fp32", "int8"):
        if not (work / precision / "engine.json").exists():
            recipe = choose_recipe(precision=precision)
            build_engine(work / "snapshot", work / precision, recipe, name="random-base", say=_say)


def _random_snapshot() -> Any:
    import torch  # noqa: PLC0415
    from transformers import BertConfig, BertForSequenceClassification  # noqa: PLC0415

    from engine.snapshot import Snapshot  # noqa: PLC0415

    if not VOCABULARY.exists():
        sys.exit(f"{VOCABULARY} is missing: Google's Chinese BERT vocabulary, 21,128 tokens")
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
