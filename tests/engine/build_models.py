"""Builds an engine of every kind of snapshot, and asks the model's own pipeline for many answers."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from engine.build import build_engine
from engine.contract import Told, contract_of
from engine.network import network_of
from engine.recipe import choose_recipe
from engine.reference import make_reference
from engine.snapshot import read_snapshot
from engine.staging import staged
from engine.tokenizer import load_pretrained
from engine.verification.reference import Case
from tests.engine.zoo import SNAPSHOTS
from tests.golden.cases import cases

MAX_LABEL_CHARACTERS = 60
"""Transformers' pipeline refuses a label that leaves no room for the text."""


def many_cases() -> list[Case]:
    """Those of the parity test that every pipeline takes; every third has the default template."""
    result: list[Case] = []
    for case in cases():
        labels = case["labels"] if isinstance(case["labels"], list) else re.split("[,，]", case["labels"])
        labels = [label.strip() for label in labels if label.strip()]
        if max(map(len, labels)) > MAX_LABEL_CHARACTERS or len(set(map(str.lower, labels))) < len(labels):
            continue
        template = "" if len(result) % 3 == 0 else case["hypothesis_template"]
        result.append(Case(case["text"], tuple(labels), template, case["multi_label"]))
    return result


def build_all(folder: Path) -> None:
    for kind, write in SNAPSHOTS.items():
        source = folder / kind / "snapshot"
        write(source)
        build_engine(source, folder / kind / "engine", choose_recipe(), name=kind)
        snapshot = read_snapshot(source)
        network = network_of(snapshot)
        with staged(source, snapshot) as stage:
            tokenizer = load_pretrained(stage, snapshot)
            contract = contract_of(stage, snapshot, network, tokenizer, Told())
            make_reference(stage, snapshot, network, tokenizer, contract, many_cases()).save(
                folder / kind / "many.json"
            )


if __name__ == "__main__":
    build_all(Path(sys.argv[1]))
