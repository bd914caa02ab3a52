"""Gives ModelScope and transformers a folder that they can read, whatever of the snapshot's they could not."""

from __future__ import annotations

import codecs
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from engine.labels import label_maps
from engine.model_config import CONFIG_FILE
from engine.snapshot import VOCABULARY_FILE, WEIGHTS_FILE, Snapshot

TEXT_SUFFIXES = (".json", ".txt")


@contextmanager
def staged(source: Path, snapshot: Snapshot) -> Iterator[Path]:
    """A temporary folder of links to the files of the snapshot `source`.

    Written anew are: text without a byte order mark; `config.json` with the names of the labels; and weights
    that transformers would silently replace by random ones, because their names have another prefix.
    """
    with tempfile.TemporaryDirectory(prefix="wanneng-snapshot-") as name:
        folder = Path(name)
        written = {CONFIG_FILE}
        config = label_maps(snapshot.logits) | snapshot.config
        if snapshot.is_structbert:
            config |= label_maps(snapshot.logits)
        (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
        if snapshot.vocabulary:
            (folder / VOCABULARY_FILE).write_text(snapshot.vocabulary, encoding="utf-8")
            written.add(VOCABULARY_FILE)
        if not snapshot.weights_are_plain and snapshot.is_structbert:
            prefix = str(snapshot.config.get("base_model_prefix", "bert")) + "."
            weights = {
                prefix + key.removeprefix("bert.") if key.startswith("bert.") else key: value
                for key, value in snapshot.weights.items()
            }
            torch.save(weights, folder / WEIGHTS_FILE)
            written |= {path.name for path in snapshot.weight_files} | {WEIGHTS_FILE}
            written |= {path.name for path in source.glob("*.index.json")}
        for file in source.iterdir():
            if not file.is_file() or file.name in written:
                continue
            if file.suffix in TEXT_SUFFIXES and _has_byte_order_mark(file):
                (folder / file.name).write_bytes(file.read_bytes().removeprefix(codecs.BOM_UTF8))
            else:
                (folder / file.name).symlink_to(file.resolve())
        yield folder


def _has_byte_order_mark(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8
