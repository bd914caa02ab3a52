from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import BertTokenizerFast

from engine.build import build_engine
from engine.errors import SnapshotError
from engine.labels import label_maps
from engine.network import network_of
from engine.recipe import choose_recipe
from engine.snapshot import read_snapshot, write_snapshot
from engine.staging import staged
from engine.tokenizer import load_pretrained, served_tokenizer
from tests.engine.snapshots import random_snapshot
from tests.engine.zoo import SNAPSHOTS, split_safetensors


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


def change_or_write(path: Path, **changes: object) -> None:
    if not path.exists():
        path.write_text("{}", encoding="utf-8")
    change(path, **changes)


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


@pytest.mark.parametrize("kind", ["erlangshen", "two-way nli", "modernbert"])
def test_misshapen_weights_of_other_architectures_are_named_too(kind: str, folder: Path) -> None:
    """Seen failing: transformers gives their names alone."""
    other = folder.with_name("other")
    SNAPSHOTS[kind](other)
    change(other / "config.json", intermediate_size=48)
    with pytest.raises(SnapshotError, match=r"[a-z.]+\S*weight has shape \[\d+, \d+\], expected \[\d+, \d+\]"):
        network_of(read_snapshot(other))


def test_labels_in_another_order_are_refused(folder: Path) -> None:
    names = {"0": "contradiction", "1": "neutral", "2": "entailment"}
    change(folder / "config.json", id2label=names)
    with pytest.raises(
        SnapshotError, match=r"config\.json: id2label is \['contradiction', .*'entailment', 'neutral'"
    ):
        read_snapshot(folder)
    change(folder / "config.json", id2label={"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"})
    assert read_snapshot(folder).config["vocab_size"] == 40


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("矛盾", "中立", "蕴含"), ("contradiction", "neutral", "entailment")),
        (("蕴涵", "不蕴含"), ("entailment", "contradiction")),
    ],
)
def test_labels_may_have_chinese_names(names: tuple[str, ...], order: tuple[str, ...], folder: Path) -> None:
    as_transformers(model_type="bert", **label_maps(names))(folder)
    assert read_snapshot(folder).logits == order


def test_a_model_that_its_own_pipeline_cannot_run_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """It has one token type, and its tokenizer two."""
    SNAPSHOTS["erlangshen"](tmp_path / "snapshot")
    weights = load_file(tmp_path / "snapshot/model.safetensors")
    name = "bert.embeddings.token_type_embeddings.weight"
    save_file(
        weights | {name: weights[name][:1].clone()}, tmp_path / "snapshot/model.safetensors", {"format": "pt"}
    )
    change(tmp_path / "snapshot/config.json", type_vocab_size=1)
    with pytest.raises(
        SnapshotError, match="own pipeline in transformers fails on the reference: index out of range"
    ):
        build_engine(tmp_path / "snapshot", tmp_path / "engine", choose_recipe(), name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


def test_a_vocabulary_larger_than_the_model_is_refused(folder: Path) -> None:
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("多\n")
    with pytest.raises(SnapshotError, match=r"vocab\.txt has 41 tokens, the model has 40"):
        read_snapshot(folder)


def test_a_config_without_its_sizes_is_refused(folder: Path) -> None:
    change(folder / "config.json", hidden_size="wide")
    with pytest.raises(SnapshotError, match=r"hidden_size is 'wide', it must be a whole number"):
        read_snapshot(folder)


@pytest.mark.parametrize("encode", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_a_byte_order_mark_and_other_line_ends_are_no_part_of_the_vocabulary(
    encode: Callable[[str], str], folder: Path, tmp_path: Path
) -> None:
    """With a byte order mark ModelScope gives `[PAD]` an id that the model lacks, and fails."""
    expected = tokens_of(folder)
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8")
    (folder / "vocab.txt").write_bytes(encode(vocabulary).encode())
    assert tokens_of(folder) == expected


def tokens_of(folder: Path) -> dict[str, int]:
    snapshot = read_snapshot(folder)
    with staged(folder, snapshot) as stage:
        return dict(served_tokenizer(load_pretrained(stage, snapshot), snapshot).get_vocab())


def test_an_added_token_that_the_model_lacks_is_refused(folder: Path) -> None:
    (folder / "added_tokens.json").write_text('{"退换货": 40}', encoding="utf-8")
    with pytest.raises(SnapshotError, match=r"'退换货' has id 40, but the model has 40 tokens"):
        tokens_of(folder)


def test_tokens_of_nul_do_not_take_the_place_of_those_that_the_vocabulary_lacks(folder: Path) -> None:
    """A line that occurs twice has no token at its first number, here 6, and gets one of NUL."""
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    lines[6], lines[20], lines[30] = lines[25], "\0" + "6", "\0\0"
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokens = tokens_of(folder)
    assert {token: tokens[token] for token in lines} == {token: number for number, token in enumerate(lines)}


def test_the_special_tokens_of_a_snapshot_are_its_own(folder: Path) -> None:
    """As `special_tokens_map.json` names them."""
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8")
    (folder / "vocab.txt").write_text(vocabulary.replace("[SEP]", "<sep>"), encoding="utf-8")
    (folder / "special_tokens_map.json").write_text('{"sep_token": "<sep>"}', encoding="utf-8")
    snapshot = read_snapshot(folder)
    with staged(folder, snapshot) as stage:
        tokenizer = served_tokenizer(load_pretrained(stage, snapshot), snapshot)
    assert tokenizer.encode("一", "丁").tokens == ["[CLS]", "一", "<sep>", "丁", "<sep>"]


def save(folder: Path, content: object) -> None:
    torch.save(content, folder / "pytorch_model.bin")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(folder / "pytorch_model.bin", weights_only=True))


def with_weight(folder: Path, bias: torch.Tensor, *, safetensors: bool = False) -> None:
    """Store `bias` as the classifier's."""
    content = weights(folder) | {"classifier.bias": bias}
    if safetensors:
        save_file({name: value.contiguous() for name, value in content.items()}, folder / "model.safetensors")
    else:
        save(folder, content)


def without_a_part(folder: Path) -> None:
    split_safetensors(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def without_a_weight_in_parts(folder: Path) -> None:
    stored = weights(folder)
    del stored["bert.pooler.dense.bias"]
    save(folder, stored)
    split_safetensors(folder)


def as_transformers(**changes: object) -> Callable[[Path], None]:
    """Makes a snapshot of transformers of it, with these entries of `config.json`."""

    def apply(folder: Path) -> None:
        (folder / "configuration.json").unlink()
        change(folder / "config.json", **changes)

    return apply


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty file": (lambda f: (f / "pytorch_model.bin").write_bytes(b""), r"pytorch_model\.bin cannot be read"),
    "truncated safetensors": (
        lambda f: (f / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}"),
        r"model\.safetensors cannot be read",
    ),
    "missing part": (without_a_part, r"model-00002-of-00002\.safetensors is missing, which .*index\.json lists"),
    "missing weight in parts": (without_a_weight_in_parts, r"bert\.pooler\.dense\.bias is missing"),
    "index that is none": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": 3}', encoding="utf-8"),
        r"index\.json is not an index of weights",
    ),
    "index that leaves the folder": (
        lambda f: (f / "model.safetensors.index.json").write_text(
            '{"weight_map": {"a": "../other"}}', encoding="utf-8"
        ),
        "names parts that are not files beside it",
    ),
    "no weights": (lambda f: save(f, {"epoch": 3}), "contains no weights"),
    "a list": (lambda f: save(f, [1, 2]), "holds a list, not weights by name"),
    "not finite": (
        lambda f: save(f, weights(f) | {"classifier.bias": torch.tensor([float("nan")] * 3)}),
        r"classifier\.bias has values that are not finite numbers",
    ),
    "more than FP32 holds": (
        lambda f: with_weight(f, torch.full((3,), 1e300, dtype=torch.float64)),
        r"pytorch_model\.bin: classifier\.bias has values that are not finite numbers in FP32",
    ),
    "float8": (
        lambda f: with_weight(f, torch.zeros(3).to(torch.float8_e4m3fn), safetensors=True),
        r"model\.safetensors: classifier\.bias is torch\.float8_e4m3fn; weights must be FP64",
    ),
    "int8": (
        lambda f: with_weight(f, torch.zeros(3, dtype=torch.int8)),
        r"pytorch_model\.bin: classifier\.bias is torch\.int8; weights must be",
    ),
    "booleans": (
        lambda f: with_weight(f, torch.zeros(3, dtype=torch.bool), safetensors=True),
        r"model\.safetensors: classifier\.bias is torch\.bool; weights must be",
    ),
    "complex numbers": (
        lambda f: with_weight(f, torch.zeros(3, dtype=torch.complex64)),
        r"classifier\.bias is torch\.complex64; weights must be",
    ),
    "sparse tensor": (
        lambda f: with_weight(f, torch.zeros(3).to_sparse()),
        r"pytorch_model\.bin: classifier\.bias is not a dense tensor; store it as one, with to_dense\(\)",
    ),
    "tensor without values": (
        lambda f: with_weight(f, torch.zeros(3, device="meta")),
        r"pytorch_model\.bin: classifier\.bias has a shape but no values",
    ),
    "number as a name": (
        lambda f: save(f, dict(enumerate(weights(f).values(), start=7))),
        r"pytorch_model\.bin: a weight has the name 7; names must be text",
    ),
    "vocabulary in another encoding": (
        lambda f: (f / "vocab.txt").write_bytes("质量".encode("gbk")),
        r"vocab\.txt cannot be read",
    ),
    "vocabulary without special tokens": (
        lambda f: (f / "vocab.txt").write_text("一\n丁\n", encoding="utf-8"),
        r"vocab\.txt lacks \[CLS\], \[PAD\], \[SEP\], \[UNK\]; take the model's own",
    ),
    "more than an ONNX file holds": (
        # Stored as one number, which is repeated.
        lambda f: save(f, weights(f) | {"head.weight": torch.zeros(1).expand(600_000_000)}),
        r"the weights have 2\.4 GB in FP32, and an ONNX file holds 2 GB",
    ),
    "unknown architecture": (
        as_transformers(model_type="gpt2"),
        "model_type is 'gpt2'; there are structbert, bert",
    ),
    "labels without a meaning": (
        as_transformers(
            model_type="bert", id2label={"0": "A", "1": "B", "2": "C"}, label2id={"A": 0, "B": 1, "C": 2}
        ),
        r"which does not say which is entailment; tell the order with --logits",
    ),
    "no entailment": (
        as_transformers(model_type="bert", **label_maps(("neutral", "contradiction"))),
        "they must be entailment alone",
    ),
    "quantized weights": (
        lambda f: change(f / "config.json", quantization_config={"quant_method": "gptq", "bits": 4}),
        r"config\.json: quantization_config says that the weights are quantized \(gptq\); .*floating-point",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_snapshot_is_refused_by_name_and_nothing_is_written(kind: str, folder: Path) -> None:
    damage, message = BROKEN[kind]
    damage(folder)
    before = sorted(folder.parent.iterdir())
    with pytest.raises(SnapshotError, match=message) as raised:
        build_engine(folder, folder.parent / "engine", choose_recipe(), name="broken")
    assert "\n" not in str(raised.value)
    assert sorted(folder.parent.iterdir()) == before


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_whole_numbers_beside_the_weights_do_not_matter(dtype: torch.dtype, folder: Path) -> None:
    """Such as the buffers of other versions of transformers, and counts of a training program."""
    expected = network_of(read_snapshot(folder)).state_dict()
    save(folder, weights(folder) | {"bert.embeddings.position_ids": torch.ones((1, 64), dtype=dtype)})
    stored = network_of(read_snapshot(folder)).state_dict()
    assert all(torch.equal(stored[name], value) for name, value in expected.items())


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("structbert small", name) for name in ("config.json", "configuration.json", "vocab.txt")),
        ("structbert small", "pytorch_model.bin"),
        ("structbert in sharded safetensors", "model.safetensors.index.json"),
        ("structbert in sharded safetensors", "model-00002-of-00002.safetensors"),
        ("erlangshen", "model.safetensors"),
        *(("xlm-r", name) for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")),
        *(
            ("xlm-r", name)
            for name in ("added_tokens.json", "vocab.json", "merges.txt", "sentencepiece.bpe.model")
        ),
    ],
)
def test_a_pointer_of_git_lfs_is_named_with_the_way_to_the_file(kind: str, name: str, folder: Path) -> None:
    other = folder.with_name("other")
    SNAPSHOTS[kind](other)
    (other / name).write_text(POINTER, encoding="utf-8")
    if name.endswith(".model"):
        (other / "tokenizer.json").unlink()
    with pytest.raises(SnapshotError, match=f"{re.escape(name)} is a Git LFS pointer, .*run `git lfs pull`"):
        read_snapshot(other)


def test_a_pointer_among_files_that_no_build_reads_does_not_matter(folder: Path) -> None:
    other = folder.with_name("other")
    SNAPSHOTS["xlm-r"](other)
    for name in ("tf_model.h5", "pytorch_model.bin", "sentencepiece.bpe.model"):
        (other / name).write_text(POINTER, encoding="utf-8")
    assert tokens_of(other)


@pytest.mark.parametrize("kind", ["structbert in sharded safetensors", "xlm-r"])
def test_files_may_begin_with_a_byte_order_mark(kind: str, tmp_path: Path) -> None:
    SNAPSHOTS[kind](tmp_path / "snapshot")
    expected = tokens_of(tmp_path / "snapshot")
    for path in [*(tmp_path / "snapshot").glob("*.json"), *(tmp_path / "snapshot").glob("*.txt")]:
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert tokens_of(tmp_path / "snapshot") == expected
    build_engine(tmp_path / "snapshot", tmp_path / "engine", choose_recipe(), name="marked")


def test_the_advice_of_torch_to_execute_a_file_is_not_passed_on(folder: Path) -> None:
    """Seen failing: torch refuses other objects than tensors, and says how to load them."""
    torch.save({"classifier.bias": Path("x")}, folder / "pytorch_model.bin")
    with pytest.raises(SnapshotError, match=r"pytorch_model\.bin cannot be read as weights: ") as raised:
        read_snapshot(folder)
    assert "weights_only" not in str(raised.value)


def replace_in(name: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return apply


def written(name: str, content: object) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(json.dumps(content), encoding="utf-8")


def without(*names: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return apply


def folder_instead(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return apply


def unknown_token_without_number(folder: Path) -> None:
    content = json.loads(BertTokenizerFast(str(folder / "vocab.txt")).backend_tokenizer.to_str())
    content["model"]["unk_token"] = "[none]"
    written("tokenizer.json", content)(folder)


NO_TOKENIZER = r"has no tokenizer: tokenizer\.json, vocab\.txt, vocab\.json are missing; .*save_pretrained"
TOKENIZERS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "empty vocabulary": (
        "erlangshen",
        lambda f: (f / "vocab.txt").write_bytes(b""),
        r"vocab\.txt lacks \[CLS",
    ),
    "no unknown token": ("erlangshen", replace_in("vocab.txt", "[UNK]\n", ""), r"vocab\.txt lacks \[UNK\]"),
    "unknown token in lower case": (
        "erlangshen",
        replace_in("vocab.txt", "[UNK]", "[unk]"),
        r"vocab\.txt lacks \[UNK\]; take the model's own vocab\.txt, or name .* in special_tokens_map\.json",
    ),
    "padding in lower case": (
        "structbert small",
        replace_in("vocab.txt", "[PAD]", "[pad]"),
        r"vocab\.txt lacks \[PAD\]",
    ),
    "other unknown token in tokenizer.json": (
        "modernbert",
        replace_in("tokenizer.json", "[UNK]", "[unk]"),
        r"tokenizer\.json lacks \[UNK\]",
    ),
    "tokenizer that fails on a text": (
        "erlangshen",
        unknown_token_without_number,
        r"cannot be made of vocab\.txt, tokenizer\.json: WordPiece error: Missing \[UNK\]",
    ),
    "no vocabulary": ("ernie", without("vocab.txt"), NO_TOKENIZER),
    "no tokenizer": ("two-way nli", without("tokenizer.json", "tokenizer_config.json"), NO_TOKENIZER),
    "tokenizer of another kind": (
        "two-way nli",
        written("tokenizer.json", {"model": {}}),
        r"cannot be made of tokenizer\.json, tokenizer_config\.json: .+; correct them, or write them anew",
    ),
    "tokenizer in a folder": (
        "two-way nli",
        folder_instead("tokenizer.json"),
        r"tokenizer\.json cannot be read: Is a dir",
    ),
    "truncated tokenizer": (
        "two-way nli",
        lambda f: os.truncate(f / "tokenizer.json", 500),
        r"tokenizer\.json is not JSON: ",
    ),
    "special tokens in a list": (
        "xlm-r",
        written("special_tokens_map.json", []),
        r"special_tokens_map\.json is not a JSON object",
    ),
    "special token that is a number": (
        "erlangshen",
        written("special_tokens_map.json", {"sep_token": 3}),
        r"cannot be made of vocab\.txt, special_tokens_map\.json: .*sep_token",
    ),
    "added tokens in a list": (
        "erlangshen",
        written("added_tokens.json", []),
        r"added_tokens\.json is not a JSON object",
    ),
}


def cuts_on_the_left(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(512, direction="left")
    tokenizer.save(str(folder / "tokenizer.json"))


LENGTH = r"tokenizer_config\.json: model_max_length is .*, it must be at least 8"
TOKENIZERS |= {
    "no length": (
        "xlm-r",
        lambda f: change(f / "tokenizer_config.json", model_max_length=0),
        LENGTH,
    ),
    "negative length": (
        "structbert small",
        lambda f: change(f / "tokenizer_config.json", model_max_length=-1),
        LENGTH,
    ),
    "length that is no number": (
        "erlangshen",
        lambda f: change_or_write(f / "tokenizer_config.json", model_max_length="long"),
        r"cannot be made of vocab\.txt, tokenizer_config\.json: ",
    ),
}
CUTS_ON_THE_LEFT = (
    r"cuts texts on the left, .*remove truncation_side from tokenizer_config\.json, and truncation from"
)
TOKENIZERS |= {
    "cuts on the left": ("xlm-r", cuts_on_the_left, CUTS_ON_THE_LEFT),
    **{
        f"{kind} cuts on the left": (
            kind,
            lambda f: change_or_write(f / "tokenizer_config.json", truncation_side="left"),
            CUTS_ON_THE_LEFT,
        )
        for kind in ("structbert small", "erlangshen", "two-way nli")
    },
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_broken_tokenizer_is_refused_by_the_name_of_its_file(kind: str, tmp_path: Path) -> None:
    snapshot, damage, message = TOKENIZERS[kind]
    SNAPSHOTS[snapshot](tmp_path / "snapshot")
    damage(tmp_path / "snapshot")
    with pytest.raises(SnapshotError, match=message) as raised:
        build_engine(tmp_path / "snapshot", tmp_path / "engine", choose_recipe(), name="broken")
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


UNUSABLE: dict[str, dict[str, object]] = {
    "heads that do not divide the hidden size": {"num_attention_heads": 3},
    "unknown activation": {"hidden_act": "gelu_of_next_year"},
    "an attribute that transformers computes": {"use_return_dict": True},
    "padding outside the vocabulary": {"pad_token_id": 40},
    "no token types": {"type_vocab_size": None},
    "token types as text": {"type_vocab_size": "2"},
    "dropout that is no number": {"hidden_dropout_prob": None},
    "epsilon that only fails when it runs": {"layer_norm_eps": "small"},
    "unknown problem": {"problem_type": "zero_shot"},
    "cross attention of no decoder": {"add_cross_attention": True},
}
"""Entries of `config.json` with which there is no network."""


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("architecture", ["structbert", "bert"])
def test_a_config_without_a_network_is_refused_with_the_reason(kind: str, architecture: str, folder: Path) -> None:
    if architecture != "structbert":
        as_transformers(model_type=architecture)(folder)
    change(folder / "config.json", **UNUSABLE[kind])
    with pytest.raises(SnapshotError, match=r"config\.json: ") as raised:
        network_of(read_snapshot(folder))
    reason = str(raised.value).rpartition("the network: ")[2]
    assert len(reason) > 12
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("kind", "entry"),
    [("structbert small", "hidden_act"), ("erlangshen", "hidden_act"), ("modernbert", "hidden_activation")],
)
def test_an_activation_that_transformers_does_not_know_is_named(kind: str, entry: str, tmp_path: Path) -> None:
    SNAPSHOTS[kind](tmp_path / "snapshot")
    change(tmp_path / "snapshot/config.json", **{entry: "foo"})
    with pytest.raises(SnapshotError, match=f"{entry} is 'foo', which transformers does not know"):
        network_of(read_snapshot(tmp_path / "snapshot"))


@pytest.mark.parametrize("names", [{"entailment": 0, "neutral": 1, "contradiction": 2}, ["entailment", "neutral"]])
def test_labels_that_have_no_numbers_are_refused_although_their_order_is_told(names: object, folder: Path) -> None:
    as_transformers(model_type="bert", id2label=names)(folder)
    rows = 3 if isinstance(names, dict) else 2
    order = ("entailment", "neutral", "contradiction") if rows == 3 else ("entailment", "contradiction")
    with pytest.raises(SnapshotError, match=r"config\.json: id2label"):
        network_of(read_snapshot(folder, order))


@pytest.mark.parametrize("kind", ["structbert small", "erlangshen", "modernbert"])
def test_how_a_snapshot_was_run_does_not_matter(kind: str, tmp_path: Path) -> None:
    SNAPSHOTS[kind](tmp_path / "snapshot")
    change(
        tmp_path / "snapshot/config.json",
        return_dict=False,
        torchscript=True,
        attn_implementation="flash_attention_2",
        dtype="float17",
        chunk_size_feed_forward=3,
        output_attentions=True,
        output_hidden_states=True,
        quantization_config=None,
    )
    build_engine(tmp_path / "snapshot", tmp_path / "engine", choose_recipe(), name="run otherwise")
    assert (tmp_path / "engine/engine.json").exists()


def test_a_tokenizer_of_sentencepiece_alone_is_refused_with_the_way_to_tokenizer_json(tmp_path: Path) -> None:
    SNAPSHOTS["xlm-r"](tmp_path / "snapshot")
    (tmp_path / "snapshot/tokenizer.json").unlink()
    (tmp_path / "snapshot/sentencepiece.bpe.model").write_bytes(b"\n\x0e")
    with pytest.raises(SnapshotError, match=r"tokenizer\.json is missing, .*bpe\.model needs .*save_pretrained"):
        build_engine(tmp_path / "snapshot", tmp_path / "engine", choose_recipe(), name="xlm")
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


ORDER = ("contradiction", "neutral", "entailment")
NUMBERED = {"contradiction": 0, "neutral": 1, "entailment": 2}
NAMED = {"0": "contradiction", "1": "neutral", "2": "entailment"}
PLACEHOLDERS = {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
LABEL_MAPS: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "label2id alone": ({"label2id": NUMBERED}, ORDER),
    "label2id beside placeholders": ({"id2label": PLACEHOLDERS, "label2id": NUMBERED}, ORDER),
    "placeholders beside id2label": ({"id2label": NAMED, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}, ORDER),
    "the same names in another sequence": (
        {"id2label": dict(reversed(NAMED.items())), "label2id": dict(sorted(NUMBERED.items(), reverse=True))},
        ORDER,
    ),
    "the same meanings": ({"id2label": NAMED, "label2id": {"Entailment": 2, "NEUTRAL": 1, "矛盾": 0}}, ORDER),
    "label2id without numbers beside id2label": ({"id2label": NAMED, "label2id": {"entailment": None}}, ORDER),
    "other names beside label2id": (
        {"id2label": {"0": "yes", "1": "no"}, "label2id": {"entailment": 0, "not_entailment": 1}},
        ("entailment", "contradiction"),
    ),
    "numbers beside id2label": ({"id2label": NAMED, "label2id": {"0": 0, "1": 1, "2": 2}}, ORDER),
    "placeholders in lower case": ({"id2label": NAMED, "label2id": {"label_0": 0, "label_1": 1}}, ORDER),
    "no map for one label": ({"num_labels": 1}, ("entailment",)),
}


def with_label_maps(folder: Path, maps: dict[str, object]) -> None:
    """The rows of the classifier are as many as there are labels."""
    (folder / "configuration.json").unlink()
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps({k: v for k, v in config.items() if "label" not in k} | {"model_type": "bert"} | maps)
    )


@pytest.mark.parametrize("kind", LABEL_MAPS)
def test_either_map_of_labels_tells_the_order(kind: str, folder: Path) -> None:
    maps, order = LABEL_MAPS[kind]
    with_label_maps(folder, maps)
    stored = weights(folder)
    for name in ("classifier.weight", "classifier.bias"):
        stored[name] = stored[name][: len(order)].clone()
    save(folder, stored)
    snapshot = read_snapshot(folder)
    assert snapshot.logits == order
    assert network_of(snapshot).config.num_labels == len(order)


TWO = "--logits entailment,contradiction$"
THREE = "--logits entailment,neutral,contradiction$"
UNCLEAR: dict[str, tuple[dict[str, object], str]] = {
    "no map": ({}, rf"config\.json does not say which of the 2 labels is entailment; .*{TWO}"),
    "number alone": (
        {"num_labels": 3},
        rf"config\.json does not say which of the 3 labels is entailment; .*{THREE}",
    ),
    "placeholders": ({"id2label": PLACEHOLDERS}, rf"does not say which of the 3 labels .*{THREE}"),
    "yes and no": ({"id2label": {"0": "yes", "1": "no"}}, rf"id2label is \['yes', 'no'\], which .*{TWO}"),
    "yes and no in label2id": ({"label2id": {"no": 0, "yes": 1}}, rf"label2id is \['no', 'yes'\], which .*{TWO}"),
    "label2id without numbers": (
        {"label2id": {"yes": 1, "no": 2}},
        "label2id is .* must number the rows .* from 0",
    ),
    "contradiction": (
        {"id2label": NAMED, "label2id": {"entailment": 0, "neutral": 1, "contradiction": 2}},
        rf"by id2label the logits are {', '.join(ORDER)}, but by label2id .*{', '.join(ORDER[::-1])}; .*{THREE}",
    ),
    "too many": (
        {"id2label": {str(n): f"topic {n}" for n in range(5)}},
        "the model has 5 labels; it must have one",
    ),
}


@pytest.mark.parametrize("kind", UNCLEAR)
def test_labels_that_do_not_tell_the_order_are_refused_with_an_order_that_fits(kind: str, folder: Path) -> None:
    maps, message = UNCLEAR[kind]
    with_label_maps(folder, maps)
    with pytest.raises(SnapshotError, match=message) as raised:
        read_snapshot(folder)
    advice = str(raised.value).partition("such as --logits ")[2]
    if advice:
        assert read_snapshot(folder, advice.split(",")).logits == tuple(advice.split(","))


def test_label2id_of_a_structbert_in_another_order_is_refused(folder: Path) -> None:
    change(folder / "config.json", label2id=NUMBERED)
    with pytest.raises(SnapshotError, match=r"config\.json: label2id is \['contradiction', .*expected \['entail"):
        read_snapshot(folder)


def test_the_order_of_logits_can_be_told(folder: Path) -> None:
    (folder / "configuration.json").unlink()
    change(folder / "config.json", model_type="bert", id2label={"0": "A", "1": "B", "2": "C"})
    told = ("contradiction", "neutral", "entailment")
    assert read_snapshot(folder, told).logits == told
    with pytest.raises(SnapshotError, match="the model has 3 labels, --logits names 1"):
        read_snapshot(folder, ("entailment",))
