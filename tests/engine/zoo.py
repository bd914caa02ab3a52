"""Small snapshots with random weights, one of each kind that engines are built from."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForSequenceClassification

from engine.labels import label_maps
from engine.snapshot import Snapshot, write_snapshot
from engine.split_bert import register_split_bert
from tests.engine.snapshots import random_snapshot
from tests.golden.cases import LABELS, TEMPLATES, TEXTS
from tests.golden.make_golden import vocabulary

ADDED = ("退换货", "七天无理由", "wifi密码", "VIP")
ADDED_AS_WRITTEN = ("退换货", "VIP", "wifi密码", "Ⅷ号", "App")
NLI = ("entailment", "neutral", "contradiction")
ERLANGSHEN = ("CONTRADICTION", "NEUTRAL", "ENTAILMENT")
TWO_WAY = ("entailment", "not_entailment")
WEIGHT_STANDARD_DEVIATION = 0.2
"""Larger than the networks' own, so that random weights give different scores."""
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}


def structbert(folder: Path, *, hidden: int = 32, prefix: str = "bert.", added: tuple[str, ...] = ()) -> None:
    tokens = vocabulary()
    snapshot = random_snapshot(
        seed=hidden,
        vocab_size=len(tokens) + len(added) + 3,
        hidden_size=hidden,
        max_position_embeddings=512,
    )
    numbers = {token: len(tokens) + index for index, token in enumerate(added)}
    text = "\n".join(tokens) + "\n"
    write_snapshot(Snapshot(snapshot.config, snapshot.weights, text, added_tokens=numbers), folder, prefix=prefix)


def rewrite_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Store what `change` makes of the weights in `pytorch_model.bin`."""
    path = folder / "pytorch_model.bin"
    torch.save(change(torch.load(path, weights_only=True)), path)


def split_safetensors(folder: Path) -> None:
    """Weights in two files of safetensors with an index, in place of `pytorch_model.bin`."""
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for part, keys in parts.items():
        save_file({key: weights[key].contiguous() for key in keys}, folder / part, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: part for part, keys in parts.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "pytorch_model.bin").unlink()


def transformers_snapshot(
    folder: Path, architecture: str, labels: tuple[str, ...], tokenizer: Tokenizer | None, **options: Any
) -> None:
    """With `tokenizer.json`, or with `vocab.txt` alone where there is no `tokenizer`."""
    folder.mkdir(parents=True)
    size = len(vocabulary()) if tokenizer is None else max(tokenizer.get_vocab().values()) + 1
    config = AutoConfig.for_model(architecture, **(SIZES | {"vocab_size": size} | options | label_maps(labels)))
    torch.manual_seed(len(architecture))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = AutoModelForSequenceClassification.from_config(config)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0.0, WEIGHT_STANDARD_DEVIATION)
    network.save_pretrained(folder)
    if tokenizer is None:
        (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
        return
    tokenizer.save(str(folder / "tokenizer.json"))
    bert = "[CLS]" in tokenizer.get_vocab()
    names = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]") if bert else ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
    special = dict(zip(("cls_token", "sep_token", "pad_token", "unk_token", "mask_token"), names, strict=True))
    content = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512} | special
    (folder / "tokenizer_config.json").write_text(json.dumps(content), encoding="utf-8")


def _corpus() -> list[str]:
    return [*TEXTS, *LABELS, *TEMPLATES]


def unigram(special: tuple[str, ...], template: processors.PostProcessor | None = None) -> Tokenizer:
    """As SentencePiece's, in the order of XLM-R's special tokens or of DeBERTa's."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    unknown = next(token for token in special if "unk" in token.lower())
    trainer = trainers.UnigramTrainer(
        vocab_size=420, special_tokens=list(special), unk_token=unknown, show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return _with_pairs(tokenizer, special)


def byte_level_bpe(special: tuple[str, ...]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return _with_pairs(tokenizer, special)


def _with_pairs(tokenizer: Tokenizer, special: tuple[str, ...]) -> Tokenizer:
    first, last = ("[CLS]", "[SEP]") if "[CLS]" in special else ("<s>", "</s>")
    pair = f"{first} $A {last} $B:1 {last}:1" if first == "[CLS]" else f"{first} $A {last} {last} $B {last}"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=pair,
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


BERT_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
ROBERTA_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
ROBERTA = {
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "type_vocab_size": 1,
    "max_position_embeddings": 514,
}
DEBERTA = {
    "relative_attention": True,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
MODERNBERT = {"pad_token_id": 0, "global_attn_every_n_layers": 2, "local_attention": 32}


def _sharded(folder: Path) -> None:
    structbert(folder)
    split_safetensors(folder)


def _wrapped(folder: Path) -> None:
    structbert(folder, prefix="encoder.")
    rewrite_weights(
        folder, lambda weights: {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in weights.items()}}
    )


def _with_tokens_as_written(folder: Path) -> None:
    """Added tokens that are not `normalized`: those with capitals are not found where texts are lower-cased."""
    structbert(folder, added=ADDED_AS_WRITTEN)
    first = len(vocabulary())
    added = {str(first + i): {"content": token, "normalized": False} for i, token in enumerate(ADDED_AS_WRITTEN)}
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"added_tokens_decoder": added}), encoding="utf-8")
    (folder / "added_tokens.json").unlink()


def _half(folder: Path) -> None:
    structbert(folder)
    rewrite_weights(
        folder, lambda weights: {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    )


def _split_bert(folder: Path) -> None:
    register_split_bert()
    transformers_snapshot(folder, "split-bert", NLI, None, split_layers=1)


SNAPSHOTS: dict[str, Callable[[Path], None]] = {
    "structbert small": structbert,
    "structbert large, encoder.": lambda folder: structbert(folder, hidden=64, prefix="encoder."),
    "structbert with added tokens": lambda folder: structbert(folder, added=ADDED),
    "structbert with tokens as written": _with_tokens_as_written,
    "structbert in sharded safetensors": _sharded,
    "structbert nested, module.": _wrapped,
    "structbert in half precision": _half,
    "erlangshen": lambda folder: transformers_snapshot(folder, "bert", ERLANGSHEN, None),
    "two-way nli": lambda folder: transformers_snapshot(
        folder, "roberta", TWO_WAY, byte_level_bpe(ROBERTA_TOKENS), **ROBERTA
    ),
    "xlm-r": lambda folder: transformers_snapshot(folder, "xlm-roberta", NLI, unigram(ROBERTA_TOKENS), **ROBERTA),
    "deberta-v2": lambda folder: transformers_snapshot(folder, "deberta-v2", NLI, unigram(BERT_TOKENS), **DEBERTA),
    "modernbert": lambda folder: transformers_snapshot(
        folder, "modernbert", TWO_WAY[::-1], byte_level_bpe(BERT_TOKENS), **MODERNBERT
    ),
    "ernie": lambda folder: transformers_snapshot(
        folder, "ernie", NLI, None, use_task_id=True, task_type_vocab_size=3
    ),
    "one-logit reranker": lambda folder: transformers_snapshot(
        folder, "xlm-roberta", ("LABEL_0",), unigram(ROBERTA_TOKENS), **ROBERTA
    ),
    "split-bert": _split_bert,
    "megatron-bert": lambda folder: transformers_snapshot(folder, "megatron-bert", ERLANGSHEN, None),
}
"""How to write each into a folder that does not exist."""
