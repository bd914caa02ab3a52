"""Renders the results of `benchmarks/engines.py` as a Markdown table and an SVG plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LABEL_COUNTS = (3, 5, 10, 20)
MAIN_COUNT = 5
NAMES = {
    "modelscope": "ModelScope pipeline, FP32",
    "onnx-fp32": "ONNX FP32",
    "onnx-int8": "ONNX INT8",
    "openvino-int8": "OpenVINO INT8",
    "torch-fp16-cuda": "PyTorch FP16 on a GPU",
}


def table(results: dict[str, Any]) -> str:
    """Markdown: the main table, the curve over numbers of labels, and rows per second."""
    runtimes, machine = results["runtimes"], results["machine"]
    reference_ms = runtimes["modelscope"]["labels"][str(MAIN_COUNT)]["mean_ms"]
    lines = [
        "# Engines, measured",
        "",
        "Written by `make bench-engines`; the numbers are in `benchmarks/results/engines.json`.",
        "",
        f"{results['model']}; a text of {results['text_characters']} characters.",
        f"{machine['processor']}, {machine['cores']} cores.",
        "Measured in one run; on shared cores only the ratios are meaningful.",
        "",
        f"One text with {MAIN_COUNT} labels, requests in sequence:",
        "",
        "| runtime | mean | p99 | speed-up over ModelScope | peak memory | file |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for runtime, result in runtimes.items():
        main = result["labels"][str(MAIN_COUNT)]
        lines.append(
            f"| {NAMES[runtime]} | {main['mean_ms']:.0f} ms | {main['p99_ms']:.0f} ms | "
            f"{reference_ms / main['mean_ms']:.1f} × | {result['peak_memory_bytes'] / 1e6:,.0f} MB | "
            f"{result['file_bytes'] / 1e6:,.0f} MB |"
        )
    lines += ["", "Mean latency by number of labels:", ""]
    lines += ["| runtime | " + " | ".join(f"{count} labels" for count in LABEL_COUNTS) + " |"]
    lines += ["| --- |" + " --- |" * len(LABEL_COUNTS)]
    for runtime, result in runtimes.items():
        cells = (f"{result['labels'][str(count)]['mean_ms']:.0f} ms" for count in LABEL_COUNTS)
        lines.append(f"| {NAMES[runtime]} | " + " | ".join(cells) + " |")
    rates = results["rows_per_s"]
    lines += [
        "",
        "![latency by number of labels](engines-measured.svg)",
        "",
        (
            f"Throughput on 64 rows of 10 to 60 tokens, batched as in Triton: FP32 {rates['fp32']:.0f} rows/s, "
            f"INT8 {rates['int8']:.0f} rows/s, {rates['int8'] / rates['fp32']:.2f} times as many."
        ),
        "",
    ]
    return "\n".join(lines)


def draw(results: dict[str, Any], path: Path) -> None:
    """Plot mean latency over the number of labels, as SVG."""
    import matplotlib as mpl  # noqa: PLC0415 - only where the benchmark runs

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "wanneng"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for runtime, result in results["runtimes"].items():
        means = [result["labels"][str(count)]["mean_ms"] for count in LABEL_COUNTS]
        axes.plot(LABEL_COUNTS, means, marker="o", label=NAMES[runtime])
    axes.set(xlabel="labels of one text", ylabel="mean latency, ms", yscale="log", xticks=LABEL_COUNTS)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
