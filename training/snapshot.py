"""Writes the trained network as a snapshot in transformers' format, which engines are built from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.labels import label_maps
from engine.recipe import LABEL_ORDER
from engine.snapshot import VOCABULARY_FILE, WEIGHTS_FILE
from engine.split_bert import SplitBertForSequenceClassification
from training.data.vocabulary import write_vocabulary

TOKENIZER = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}


def write_split_bert(network: SplitBertForSequenceClassification, tokens: Sequence[str], folder: Path) -> None:
    """Write configuration, vocabulary and weights of the network; what only its training needs is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    config = network.config.to_diff_dict() | label_maps(LABEL_ORDER)
    for name, content in (("config.json", config), ("tokenizer_config.json", TOKENIZER)):
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    write_vocabulary(tokens, folder / VOCABULARY_FILE)
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith("inference.")}
    torch.save(weights, folder / WEIGHTS_FILE)
