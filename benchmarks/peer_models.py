"""Makes the models that `benchmarks/peers.py` compares, with random weights, on which speed does not depend.

An NLI model of three logits for the product, the bare engines and the transformers pipeline, and a reranker of one
logit with the same encoder for infinity. The bare graphs are as the exporter writes them: their last layer
computes all tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from onnxruntime.quantization import quantize_dynamic
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.first_token import SHAPES
from engine.build import build_engine
from engine.contract import Told
from engine.errors import TargetError
from engine.graph.export import export_onnx
from engine.labels import label_maps
from engine.network import network_of
from engine.recipe import INPUTS, choose_recipe
from engine.snapshot import read_snapshot
from engine.verification.served_engine import encoder_of
from python_backend.manifest import load_manifest
from wanneng.bench import LABELS, TEXTS

ROOT = Path(__file__).parents[1]
NLI = ("contradiction", "neutral", "entailment")
TOLD = Told(languages=("en",), default_template="{}")
"""What rounding changes of their answers to Chinese texts is noise: random weights know no language. Without a
template, as the bare engines, the pipeline and the reranker, so that all have the same pairs."""
BARE_TEXTS, MAX_TOKENS = 64, 64
"""Texts of the bare engines' rows, each with all labels, and tokens of the rows at most, with padding."""


def main() -> None:
    """Make what is missing in the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="base")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, labels in (("nli", NLI), ("reranker", ("LABEL_0",))):
        if not (folder / name / "model.safetensors").exists():
            _write_snapshot(folder / name, labels, SHAPES[options.shape])
    for precision in ("fp32", "bf16", "int8"):
        if not (folder / precision / "engine.json").exists():
            recipe = choose_recipe(precision=precision)
            try:
                build_engine(folder / "nli", folder / precision, recipe, name="random", told=TOLD, log=_say)
            except TargetError as error:
                if precision != "bf16":
                    raise
                # The processor has no bfloat16.
                _say(f"the comparison goes on without bf16: {error}")
    if not (folder / "rows.npz").exists():
        _write_bare(folder)


def _write_snapshot(folder: Path, labels: tuple[str, ...], shape: dict[str, int]) -> None:
    tokenizer = json.loads((ROOT / "embedded/tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    torch.manual_seed(0)
    config = BertConfig(**shape, vocab_size=len(vocabulary), **label_maps(labels))
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _write_bare(folder: Path) -> None:
    snapshot = read_snapshot(folder / "nli", None)
    export_onnx(network_of(snapshot), folder / "bare-fp32.onnx", snapshot.logits)
    quantize_dynamic(folder / "bare-fp32.onnx", folder / "bare-int8.onnx")
    encoder, labels = encoder_of(folder / "fp32", load_manifest(folder / "fp32")), LABELS.split(",")
    texts = [f"{TEXTS[n % len(TEXTS)]}（单号{n:06}）" for n in range(BARE_TEXTS)]
    encoded = [encoder.encode(text, labels, MAX_TOKENS, pad_to=MAX_TOKENS) for text in texts]
    np.savez(folder / "rows.npz", **{n: np.concatenate([getattr(rows, n) for rows in encoded]) for n in INPUTS})


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
