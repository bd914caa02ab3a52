"""The table of a comparison: medians of rounds, and what is lacking."""

from __future__ import annotations

from typing import Any

from benchmarks.peers_report import table


def served(rate: float, *, loops: int = 5) -> dict[str, Any]:
    names = ["1 client", "8 clients", "32 clients", f"{rate / 2} requests/s", f"{0.8 * rate} requests/s"]
    values = {"requests_per_s": rate, "p50_ms": 10.0, "p99_ms": 20.0, "error_share": 0.0}
    return {"pairs_per_s": 5 * rate, "loops": [{"load": name} | values for name in names[:loops]]}


def results(**peers: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("_", "-"): peer for name, peer in peers.items()}
    run = {"shape": "base", "labels": 5, "rounds": 3, "seconds": 10.0, "cores": 2, "load_at_the_end": 2.0}
    return run | {"lacking": ["openvino-int8"], "peers": named}


def test_a_table_compares_every_peer_with_the_product() -> None:
    rounds = [served(10.0), served(14.0), served(12.0)]
    lines = table(
        results(
            transformers={"pairs_per_s": 30.0, "single_pairs_per_s": 6.0, "rounds": [{"batch": 4}]},
            wanneng_int8={"pairs_per_s": 60.0, "rounds": rounds},
            wanneng_fp32={"pairs_per_s": 40.0, "rounds": rounds},
            infinity={"pairs_per_s": 15.0, "rounds": [served(3.0, loops=3)]},
        )
    ).splitlines()
    assert "| transformers pipeline, best batch | 30.0 | 2.00 |" in lines
    assert "| transformers pipeline, one text at a time | 6.0 | 10.00 |" in lines
    assert "| wanneng FP32 | 40.0 | 1.50 |" in lines
    assert "| infinity /rerank | 15.0 | 4.00 |" in lines
    assert "| wanneng INT8 | 8 clients | 12.0 | 10.0 | 20.0 | 0.00% |" in lines
    assert "| wanneng INT8 | open, 80% of the best | 12.0 | 10.0 | 20.0 | 0.00% |" in lines
    assert lines[-1] == "Not measured here: openvino-int8."
