"""Learns the WordPiece vocabulary from the passages, and loads its tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import BertWordPieceTokenizer, Tokenizer

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY_SIZE = 12_000
"""About 7,000 characters of everyday Chinese, and parts of Latin words; 3 MB of INT8 embeddings."""


def learn_vocabulary(passages: Iterable[str], path: Path) -> None:
    """Write a `vocab.txt` to `path`: one token per line, the special tokens first."""
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(
        passages,
        vocab_size=VOCABULARY_SIZE,
        min_frequency=20,
        limit_alphabet=8_500,
        special_tokens=SPECIAL_TOKENS,
        show_progress=False,
    )
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    path.write_text("\n".join(token for token, _ in tokens) + "\n", encoding="utf-8")


def load_tokenizer(path: Path, *, lower_case: bool = True) -> Tokenizer:
    """The WordPiece tokenizer of the `vocab.txt` at `path`."""
    tokens = path.read_text(encoding="utf-8").splitlines()
    vocabulary = {token: row for row, token in enumerate(tokens)}
    tokenizer: Tokenizer = BertWordPieceTokenizer(vocabulary, lowercase=lower_case)._tokenizer  # noqa: SLF001 - there is no public accessor
    return tokenizer
