"""Makes the `tokenizer.json` of an engine from the tokenizer that the model's own pipeline uses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import NFC, NFD, BertNormalizer, Lowercase, Normalizer, StripAccents
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, BertTokenizer, BertTokenizerFast, PreTrainedTokenizerBase

from engine.errors import SnapshotError, reason_of
from engine.snapshot import TOKENIZER_FILES, VOCABULARY_FILE, Snapshot
from engine.snapshot_files import read_json

MAX_CHARACTERS_PER_WORD = 100
"""Longer words become `[UNK]`, as in BERT's WordPiece tokenizer."""
TOKENIZER_JSON = "tokenizer.json"
VOCABULARIES = (TOKENIZER_JSON, VOCABULARY_FILE, "vocab.json")
NEEDED_TOKENS = ("unk_token", "cls_token", "sep_token", "pad_token")
PROBE = ("质量 quality 𐎀", "物流")
"""A text and a hypothesis, with a letter that hardly any vocabulary has."""


def load_pretrained(folder: Path, snapshot: Snapshot) -> PreTrainedTokenizerBase:
    """The tokenizer that the model's pipeline uses; ModelScope's of StructBERT is slow unless `use_fast` is set.

    `folder`: a staged snapshot. `SnapshotError` if there is none, if it needs other packages, lacks a special
    token or fails on a text.
    """
    logging.getLogger("transformers").setLevel(logging.ERROR)
    sentencepiece = [path.name for path in sorted(folder.glob("*.model"))]
    if not snapshot.is_structbert and sentencepiece and not (folder / "tokenizer.json").exists():
        raise SnapshotError(
            f"tokenizer.json is missing, and {sentencepiece[0]} needs the package sentencepiece: where that is "
            "installed, `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)` writes tokenizer.json"
        )
    if snapshot.is_structbert:
        kind: Any = BertTokenizerFast if uses_fast(folder) else BertTokenizer
    else:
        kind = AutoTokenizer
    files = [name for name in (VOCABULARY_FILE, *TOKENIZER_FILES) if (folder / name).exists()]
    if not set(VOCABULARIES) & set(files):
        raise SnapshotError(
            f"the snapshot has no tokenizer: {', '.join(VOCABULARIES)} are missing; "
            "the tokenizer's save_pretrained(FOLDER) writes one of them"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(str(folder))
        if not snapshot.is_structbert and not tokenizer.is_fast:
            raise SnapshotError(
                f"{TOKENIZER_JSON} is missing, and cannot be made from the other files of the tokenizer"
            )
        _check_special_tokens(folder, tokenizer)
        tokenizer(*PROBE)
    except SnapshotError:
        raise
    except Exception as error:  # noqa: BLE001 - the tokenizers raise many kinds of errors for invalid files
        raise SnapshotError(
            f"the tokenizer cannot be made of {', '.join(files)}: {reason_of(error)}; "
            "correct them, or write them anew with the tokenizer's save_pretrained(FOLDER)"
        ) from None
    return tokenizer


def _check_special_tokens(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Of those that it names: transformers gives a token that no file has an id that the model never learnt."""
    named = tokenizer.special_tokens_map
    source, stored = _stored_tokens(folder, tokenizer)
    missing = {named[name] for name in NEEDED_TOKENS if name in named} - stored
    if missing:
        raise SnapshotError(
            f"{source} lacks {', '.join(sorted(missing))}; take the model's own {source}, "
            "or name its special tokens in special_tokens_map.json"
        )


def _stored_tokens(folder: Path, tokenizer: PreTrainedTokenizerBase) -> tuple[str, set[str]]:
    """The name of the file that holds the vocabulary, and all tokens that the files hold."""
    if isinstance(tokenizer, BertTokenizer):
        return VOCABULARY_FILE, set(tokenizer.vocab)
    if (folder / TOKENIZER_JSON).exists():
        return TOKENIZER_JSON, set(Tokenizer.from_file(str(folder / TOKENIZER_JSON)).get_vocab())
    added, config = (folder / name for name in ("added_tokens.json", "tokenizer_config.json"))
    tokens = set(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False))
    tokens |= set(read_json(added)) if added.exists() else set()
    declared = (read_json(config).get("added_tokens_decoder") if config.exists() else None) or {}
    source = next(name for name in VOCABULARIES if (folder / name).exists())
    return source, tokens | {token["content"] for token in declared.values()}


def uses_fast(folder: Path) -> bool:
    """Whether `tokenizer_config.json` asks ModelScope for the fast tokenizer."""
    path = folder / "tokenizer_config.json"
    return path.exists() and bool(read_json(path).get("use_fast"))


def served_tokenizer(pretrained: PreTrainedTokenizerBase, snapshot: Snapshot) -> Tokenizer:
    """For serving, with the ids of `pretrained`; `SnapshotError` for what the model or serving lacks."""
    if pretrained.truncation_side != "right":
        raise SnapshotError(
            f"the tokenizer cuts texts on the {pretrained.truncation_side}, and engines cut them on the right: "
            "if the model may be served so, remove truncation_side from tokenizer_config.json, "
            "and truncation from tokenizer.json"
        )
    if isinstance(pretrained, BertTokenizer):
        tokenizer = _wordpiece(pretrained, snapshot.config["vocab_size"])
    else:
        tokenizer = Tokenizer.from_str(pretrained.backend_tokenizer.to_str())
        tokenizer.no_padding()
        tokenizer.no_truncation()
    for token, number in tokenizer.get_vocab(with_added_tokens=True).items():
        if number >= snapshot.config["vocab_size"]:
            raise SnapshotError(
                f"the tokenizer's {token!r} has id {number}, "
                f"but the model has {snapshot.config['vocab_size']} tokens"
            )
    return tokenizer


def added_tokens_of(pretrained: PreTrainedTokenizerBase) -> list[str]:
    """The tokens that the tokenizer finds in a text before it splits it."""
    return [token.content for token in pretrained.added_tokens_decoder.values()]


def count_tokens_of(pretrained: PreTrainedTokenizerBase) -> Callable[[str], int]:
    """Counts the tokens of a text, special tokens not included."""
    return lambda text: len(pretrained(text, add_special_tokens=False, truncation=False)["input_ids"])


def _wordpiece(slow: BertTokenizer, vocabulary_size: int) -> Tokenizer:
    """A fast tokenizer with the results of the slow one.

    The slow one applies NFC before it splits at white space and lower-cases, which `BertNormalizer` does not.
    """
    if not slow.do_basic_tokenize:
        raise SnapshotError("tokenizer_config.json: do_basic_tokenize is false, which is not supported")
    basic = slow.basic_tokenizer
    if basic.never_split - set(slow.all_special_tokens):
        raise SnapshotError("tokenizer_config.json: never_split is not supported; use added_tokens.json")
    strip_accents = basic.do_lower_case if basic.strip_accents is None else basic.strip_accents
    normalizers: list[Normalizer] = [
        BertNormalizer(
            clean_text=True,
            handle_chinese_chars=bool(basic.tokenize_chinese_chars),
            strip_accents=False,
            lowercase=False,
        ),
        NFC(),
    ]
    if basic.do_lower_case:
        normalizers.append(Lowercase())
    if strip_accents:
        normalizers += [NFD(), StripAccents()]
    vocabulary = dict(slow.vocab)
    # The library numbers added tokens by the size of the vocabulary, so it gets tokens in place of missing ones:
    # of lines that occur twice, and of numbers below the first added token. No text has a NUL when it is split,
    # and no token begins with as many.
    added = [number for number in slow.added_tokens_decoder if vocabulary_size > number > max(vocabulary.values())]
    end = min(added, default=max(vocabulary.values()) + 1)
    nul = "\0"
    while any(token.startswith(nul) for token in vocabulary):
        nul += "\0"
    vocabulary |= {f"{nul}{number}": number for number in set(range(end)) - set(vocabulary.values())}
    tokenizer = Tokenizer(
        WordPiece(vocabulary, unk_token=slow.unk_token, max_input_chars_per_word=MAX_CHARACTERS_PER_WORD)
    )
    tokenizer.normalizer = NormalizerSequence(normalizers)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    cls, sep = slow.cls_token, slow.sep_token
    tokenizer.post_processor = TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
    _add_tokens(tokenizer, slow, vocabulary_size)
    return tokenizer


def _add_tokens(tokenizer: Tokenizer, slow: BertTokenizer, vocabulary_size: int) -> None:
    """The tokens that are found in a text before it is split, in the order of their ids."""
    special = set(slow.all_special_tokens)
    for number, token in sorted(slow.added_tokens_decoder.items()):
        if number >= vocabulary_size and token.content in special:
            # Absent from the vocabulary, such as `[MASK]`: the slow tokenizer makes one up that the model lacks.
            continue
        # The slow tokenizer lower-cases a text before it looks for tokens, but not those that are special or
        # `normalized`.
        is_kept = token.special or token.normalized or token.content in special
        if slow.do_lower_case and not is_kept and token.content != token.content.lower():
            _reserve(tokenizer, number)
            continue
        any_case = (
            slow.do_lower_case
            and not token.special
            and token.content == token.content.lower() != token.content.upper()
            and tokenizer.normalizer.normalize_str(token.content).replace(" ", "") == token.content
        )
        added = AddedToken(
            token.content,
            single_word=token.single_word,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            normalized=any_case,
            special=token.special,
        )
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([added])
        if tokenizer.token_to_id(token.content) != number:
            raise SnapshotError(
                f"the added token {token.content!r} has id {number}, expected "
                f"{tokenizer.token_to_id(token.content)}: added tokens follow one another without gaps"
            )


def _reserve(tokenizer: Tokenizer, number: int) -> None:
    """Take the id of a token that is found in no text, so that those of later ones stay as they are."""
    if tokenizer.id_to_token(number) is None:
        tokenizer.add_tokens([AddedToken(f"\0{number}\0", normalized=False)])
