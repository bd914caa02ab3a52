from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from engine.errors import SnapshotError
from engine.snapshot import network_of, read_snapshot, write_snapshot
from tests.engine.snapshots import random_snapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_snapshot(random_snapshot(), tmp_path / "snapshot")
    return tmp_path / "snapshot"


@pytest.mark.parametrize("prefix", ["bert.", "encoder."])
def test_both_key_prefixes_give_the_same_network(prefix: str, tmp_path: Path) -> None:
    write_snapshot(random_snapshot(), tmp_path, prefix=prefix)
    stored = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    assert f"{prefix}embeddings.word_embeddings.weight" in stored
    ids = torch.tensor([[2, 7, 9, 3, 8, 3]])
    logits = network_of(read_snapshot(tmp_path))(input_ids=ids).logits
    torch.testing.assert_close(logits, network_of(random_snapshot())(input_ids=ids).logits)


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_another_task_or_model_type_is_refused(folder: Path) -> None:
    change(folder / "configuration.json", task="fill-mask")
    with pytest.raises(SnapshotError, match=r"configuration\.json: task is 'fill-mask'"):
        read_snapshot(folder)
    change(folder / "configuration.json", task="zero-shot-classification", model={"type": "veco"})
    with pytest.raises(SnapshotError, match=r"model\.type is 'veco'"):
        read_snapshot(folder)


@pytest.mark.parametrize("name", ["configuration.json", "config.json", "vocab.txt", "pytorch_model.bin"])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(SnapshotError, match=f"{name} is missing"):
        read_snapshot(folder)


def test_corrupted_weights_are_named(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04garbage")
    with pytest.raises(SnapshotError, match=r"pytorch_model\.bin cannot be read"):
        read_snapshot(folder)


def test_a_model_with_two_labels_is_refused(folder: Path) -> None:
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    weights["classifier.weight"] = weights["classifier.weight"][:2]
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(SnapshotError, match=r"labels .* is 2, expected 3"):
        read_snapshot(folder)


def test_missing_and_misshapen_weights_are_named_one_by_one() -> None:
    snapshot = random_snapshot()
    del snapshot.weights["bert.pooler.dense.bias"]
    snapshot.weights["bert.embeddings.word_embeddings.weight"] = torch.zeros(3, 16)
    with pytest.raises(SnapshotError) as raised:
        network_of(snapshot)
    assert "bert.pooler.dense.bias is missing" in str(raised.value)
    assert "bert.embeddings.word_embeddings.weight has shape [3, 16], expected [40, 16]" in str(raised.value)


def test_labels_in_another_order_are_refused(folder: Path) -> None:
    names = {"0": "contradiction", "1": "neutral", "2": "entailment"}
    change(folder / "config.json", id2label=names)
    with pytest.raises(
        SnapshotError, match=r"config\.json: id2label is \['contradiction', .*'entailment', 'neutral'"
    ):
        read_snapshot(folder)
    change(folder / "config.json", id2label={"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"})
    assert read_snapshot(folder).config["vocab_size"] == 40


def test_a_vocabulary_larger_than_the_model_is_refused(folder: Path) -> None:
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("多\n")
    with pytest.raises(SnapshotError, match=r"vocab\.txt has 41 tokens, the model has 40"):
        read_snapshot(folder)


def test_a_config_without_its_sizes_is_refused(folder: Path) -> None:
    change(folder / "config.json", hidden_size="wide")
    with pytest.raises(SnapshotError, match=r"hidden_size is 'wide', it must be a whole number"):
        read_snapshot(folder)
