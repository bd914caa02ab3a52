"""Makes references: tokenizes samples as ModelScope does, and runs PyTorch for their FP32 logits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BertForSequenceClassification, BertTokenizer
from transformers.utils import logging

from engine.errors import BuildError
from engine.manifest import digest_of
from engine.samples import TextSample
from engine.snapshot import Snapshot, arrays_of, network_of, read_snapshot
from engine.verification.reference import Reference, TokenRow, pad_rows


def make_reference(
    snapshot: Snapshot, network: BertForSequenceClassification, samples: Sequence[TextSample], weights_sha256: str
) -> Reference:
    """The rows of the samples, truncated as ModelScope truncates them, and the logits of each row run by itself.

    `weights_sha256`: digest of the network's weights, recorded in the reference.
    """
    rows, texts, logits = [], [], []
    for text, (sample, sample_rows) in enumerate(zip(samples, encode_samples(snapshot, samples), strict=True)):
        for row in sample_rows:
            rows.append(row)
            texts.append(text)
            logits.append(_logits(network, row))
        assert len(sample_rows) == len(sample.labels)
    return Reference(rows, np.array(texts), np.concatenate(logits), weights_sha256)


def encode_samples(snapshot: Snapshot, samples: Sequence[TextSample]) -> Iterator[list[TokenRow]]:
    """The token rows of each sample, one per label, truncated longest first to the model's maximum."""
    logging.set_verbosity_error()  # The tokenizer warns of every truncated pair.
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text(snapshot.vocabulary, encoding="utf-8")
        tokenizer = BertTokenizer(str(vocabulary), do_lower_case=snapshot.lower_case)
    for sample in samples:
        rows = []
        for label in sample.labels:
            encoded = tokenizer(
                sample.text,
                label,
                truncation="longest_first",
                max_length=snapshot.config["max_position_embeddings"],
            )
            rows.append(TokenRow(np.array(encoded["input_ids"]), np.array(encoded["token_type_ids"])))
        yield rows


def _logits(network: BertForSequenceClassification, row: TokenRow) -> NDArray[np.float32]:
    tensors = {name: torch.from_numpy(values) for name, values in pad_rows([row]).items()}
    with torch.inference_mode():
        logits: NDArray[np.float32] = network(**tensors).logits.numpy()
    return logits


def write_reference(source: Path, samples: Sequence[TextSample], target: Path) -> int:
    """Write the reference of the snapshot `source` for `samples` to the file `target`; return its pair count."""
    snapshot = read_snapshot(source)
    network = network_of(snapshot)
    reference = make_reference(snapshot, network, samples, digest_of(arrays_of(network)))
    try:
        reference.save(target)
    except OSError as error:
        raise BuildError(f"{target} cannot be written: {error.strerror}") from None
    return len(reference.rows)
