"""Renders the results of `benchmarks/peers.py` as a Markdown table and an SVG plot beside the JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

NAMES = {
    "onnxruntime-fp32": "ONNX Runtime FP32, bare",
    "onnxruntime-int8": "ONNX Runtime INT8, bare",
    "openvino-fp32": "OpenVINO FP32, bare",
    "openvino-bf16": "OpenVINO bfloat16, bare",
    "openvino-int8": "OpenVINO INT8, bare",
    "transformers": "transformers pipeline, best batch",
    "wanneng-fp32": "wanneng FP32",
    "wanneng-bf16": "wanneng bfloat16",
    "wanneng-int8": "wanneng INT8",
    "infinity": "infinity /rerank",
}
CLOSED, OPEN = 3, ("open, 50% of the best", "open, 80% of the best")
"""How many loops are closed, and what the others are."""


def main() -> None:
    """`python -m benchmarks.peers_report RESULTS.json`"""
    path = Path(sys.argv[1])
    results = json.loads(path.read_text(encoding="utf-8"))
    path.with_suffix(".md").write_text(table(results), encoding="utf-8")
    draw(results, path.with_suffix(".svg"))
    print(table(results))


def table(results: dict[str, Any]) -> str:
    """Markdown: throughput of all peers, and the loops of those that serve."""
    peers = results["peers"]
    main = max(
        (peer for peer in peers if peer.startswith("wanneng-")), key=lambda peer: peers[peer]["pairs_per_s"]
    )
    lines = [
        f"Model of {results['shape']} size with random weights; texts with {results['labels']} labels, all new;",
        f"medians of {results['rounds']} interleaved rounds of {results['seconds']:g} s;",
        f"{results['cores']} cores, load {results['load_at_the_end']} at the end.",
        "",
        f"| peer | pairs/s | {NAMES[main]} ÷ this |",
        "| --- | --- | --- |",
    ]
    rates = {NAMES[peer]: peers[peer]["pairs_per_s"] for peer in peers}
    if "transformers" in peers:
        rates["transformers pipeline, one text at a time"] = peers["transformers"]["single_pairs_per_s"]
    lines += [f"| {name} | {rate:.1f} | {rates[NAMES[main]] / rate:.2f} |" for name, rate in rates.items() if rate]
    lines += [
        "",
        "| server | load | requests/s | p50 ms | p99 ms | errors |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for peer in peers:
        by_round = [measured["loops"] for measured in peers[peer]["rounds"] if "loops" in measured]
        for number, loop in enumerate(by_round[0] if by_round else ()):
            loops = [loops[number] for loops in by_round if number < len(loops)]
            load = loop["load"] if loop["load"].endswith(("client", "clients")) else OPEN[number - CLOSED]
            values = (_median(loops, name) for name in ("requests_per_s", "p50_ms", "p99_ms"))
            share = max(measured["error_share"] for measured in loops)
            lines.append(f"| {NAMES[peer]} | {load} | {' | '.join(values)} | {share:.2%} |")
    if results["lacking"]:
        lines += ["", f"Not measured here: {', '.join(results['lacking'])}."]
    return "\n".join(lines) + "\n"


def _median(loops: list[dict[str, Any]], name: str) -> str:
    values = [loop[name] for loop in loops if loop[name] is not None]
    return f"{median(values):.1f}" if values else "–"


def draw(results: dict[str, Any], path: Path) -> None:
    """Pairs a second of each peer, in all rounds."""
    import matplotlib as mpl  # noqa: PLC0415 - takes seconds

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "wanneng"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    peers = sorted(results["peers"].items(), key=lambda item: item[1]["pairs_per_s"])
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axes.barh([NAMES[peer] for peer, _ in peers], [measured["pairs_per_s"] for _, measured in peers], alpha=0.6)
    for peer, measured in peers:
        rates = [round_["pairs_per_s"] for round_ in measured["rounds"]]
        axes.plot(rates, [NAMES[peer]] * len(rates), "k|")
    axes.set(xlabel="pairs a second; a line for each round")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
