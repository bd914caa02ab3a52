"""Writes the vocabulary of the pretrained encoder, and loads WordPiece tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import BertWordPieceTokenizer, Tokenizer


def write_vocabulary(tokens: Sequence[str], path: Path) -> None:
    """Write a `vocab.txt` to `path`: one token per line, in the order of the embeddings."""
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")


def load_tokenizer(path: Path, *, lower_case: bool = True) -> Tokenizer:
    """The WordPiece tokenizer of the `vocab.txt` at `path`."""
    # Some tokens are separators of lines other than \n, at which `splitlines` would split.
    tokens = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    vocabulary = {token: row for row, token in enumerate(tokens)}
    tokenizer: Tokenizer = BertWordPieceTokenizer(vocabulary, lowercase=lower_case)._tokenizer  # noqa: SLF001 - there is no public accessor
    return tokenizer
