from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.samples import numbered_tokens, sha256_of, small_encoder, write_artifact
from training.pretrained import WORD_EMBEDDINGS, PretrainedError, read_encoder


def test_the_encoder_is_read_without_tokens_that_no_text_has(tmp_path: Path) -> None:
    tokens = (*numbered_tokens(9), "[unused3]", "##万", "##ing", "a")
    encoder = small_encoder(tokens)
    write_artifact(encoder, tmp_path / "encoder.jar")

    read = read_encoder(tmp_path / "encoder.jar", sha256_of(tmp_path / "encoder.jar"))
    assert read.tokens == (*tokens[:9], "##ing", "a")
    assert read.weights.keys() == encoder.weights.keys()
    for name, value in encoder.weights.items():
        kept = value[[*range(9), 11, 12]] if name == WORD_EMBEDDINGS else value
        torch.testing.assert_close(read.weights[name], kept, rtol=0, atol=0)


def test_another_file_is_refused_by_its_digest(tmp_path: Path) -> None:
    write_artifact(small_encoder(numbered_tokens(9)), tmp_path / "encoder.jar")
    with pytest.raises(PretrainedError, match="make pretrained"):
        read_encoder(tmp_path / "encoder.jar")
