"""Writes the golden data: small snapshots with random weights, and the answers of ModelScope's pipeline for them.

Run by `make golden`. Each snapshot becomes an engine folder (FP32 ONNX); all answers go to `answers.json`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

from engine.build import build_engine
from engine.recipe import choose_recipe
from engine.snapshot import Snapshot, write_snapshot
from tests.golden.cases import LABELS, TEMPLATES, cases

HERE = Path(__file__).parent
SNAPSHOTS: dict[str, dict[str, Any]] = {
    "small": {"prefix": "bert.", "hidden": 32, "layers": 2, "heads": 2, "lower_case": True},
    "cased": {"prefix": "bert.", "hidden": 64, "layers": 1, "heads": 4, "lower_case": False},
    # Must be last: ModelScope keeps this prefix for all models that it loads afterwards.
    "deep": {"prefix": "encoder.", "hidden": 48, "layers": 4, "heads": 4, "lower_case": True},
}
WEIGHT_STANDARD_DEVIATION = 0.2
"""Larger than BERT's 0.02, so that random weights give different scores."""
LATIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LATIN_TOKENS = [
    "the",
    "quick",
    "tech",
    "##nology",
    "sport",
    "##s",
    "news",
    "phone",
    "##15",
    "cafe",
    "resume",
    "##ing",
]


def main() -> None:
    """Write the golden data to the folder of the command line, by default the folder of this script."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    answers = {name: _answers(name, options, target / name) for name, options in SNAPSHOTS.items()}
    text = json.dumps(answers, ensure_ascii=False, indent=0) + "\n"
    (target / "answers.json").write_text(text, encoding="utf-8")


def vocabulary() -> list[str]:
    """Latin letters and tokens, and the characters of the cases except one in nine, which become `[UNK]`."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    all_text = "".join([*(c["text"] for c in cases()), *LABELS, *TEMPLATES])
    characters = sorted({c for c in all_text if not c.isspace() and c.isprintable()} - set(LATIN))
    known_characters = [c for index, c in enumerate(characters) if index % 9]
    return [*special, *LATIN, *(f"##{c}" for c in LATIN), *LATIN_TOKENS, *known_characters]


def _answers(name: str, options: dict[str, Any], engine: Path) -> list[dict[str, Any]]:
    # Imported here, because ModelScope takes seconds and prints.
    from modelscope.pipelines import pipeline

    with tempfile.TemporaryDirectory() as folder:
        snapshot = Path(folder) / "snapshot"
        write_snapshot(_random_snapshot(name, options), snapshot, prefix=options["prefix"])
        classify = pipeline("zero-shot-classification", model=str(snapshot), device="cpu")
        answers = []
        for case in cases():
            answer = classify(
                case["text"],
                candidate_labels=case["labels"],
                hypothesis_template=case["hypothesis_template"],
                multi_label=case["multi_label"],
            )
            answers.append({"labels": answer["labels"], "scores": answer["scores"]})
        shutil.rmtree(engine, ignore_errors=True)
        build_engine(snapshot, engine, choose_recipe(), name=f"golden-{name}")
    return answers


def _random_snapshot(name: str, options: dict[str, Any]) -> Snapshot:
    tokens = vocabulary()
    config = {
        "vocab_size": len(tokens),
        "hidden_size": options["hidden"],
        "num_hidden_layers": options["layers"],
        "num_attention_heads": options["heads"],
        "intermediate_size": 2 * options["hidden"],
        "hidden_act": "gelu",
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    torch.manual_seed(sorted(SNAPSHOTS).index(name))
    network = BertForSequenceClassification(BertConfig(**config, num_labels=3))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0.0, WEIGHT_STANDARD_DEVIATION)
    weights = {key: value for key, value in network.state_dict().items() if value.is_floating_point()}
    return Snapshot(config, weights, "\n".join(tokens) + "\n", options["lower_case"])


if __name__ == "__main__":
    os.environ.setdefault("MODELSCOPE_LOG_LEVEL", "40")
    main()
