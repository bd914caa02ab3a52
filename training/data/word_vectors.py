"""Learns token vectors (word2vec) from the passages, which initialize the token embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from gensim.models import Word2Vec
from numpy.typing import NDArray
from tokenizers import Tokenizer

PASSAGES_PER_BATCH = 8192


def write_token_file(tokenizer: Tokenizer, passages: Iterable[str], path: Path) -> None:
    """Write the token ids of each passage as a line, separated by spaces: the format that gensim reads fastest."""
    with path.open("w", encoding="ascii") as file:
        for batch in _batches(passages):
            for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                if len(encoding.ids) > 3:
                    file.write(" ".join(map(str, encoding.ids)) + "\n")


def learn_vectors(
    token_file: Path, tokens: int, *, dimensions: int, epochs: int, seed: int
) -> NDArray[np.float32]:
    """CBOW vectors `[tokens, dimensions]`, float32, centred and of length 1; of unseen tokens small noise."""
    model = Word2Vec(
        corpus_file=str(token_file),
        vector_size=dimensions,
        window=6,
        min_count=5,
        sample=1e-4,
        negative=8,
        epochs=epochs,
        workers=2,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, 0.02, (tokens, dimensions)).astype(np.float32)
    mean = model.wv.vectors.mean(axis=0)
    for token, row in model.wv.key_to_index.items():
        vector = model.wv.vectors[row] - mean
        vectors[int(token)] = vector / np.linalg.norm(vector)
    return vectors


def _batches(passages: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(passages)
    while batch := list(islice(iterator, PASSAGES_PER_BATCH)):
        yield batch
