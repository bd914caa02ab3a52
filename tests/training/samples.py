"""Small tasks and untrained networks for the tests of training."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor
from transformers import BertConfig, BertModel

from engine.split_bert import SplitBertForSequenceClassification
from tests.training.corpus import TOPICS, random_sentence
from training.data.batches import LengthSortedTask, TokenBatcher
from training.data.corpus import Corpus, SentencePair
from training.data.vocabulary import load_tokenizer, write_vocabulary
from training.network import HEAD_SIZE, build_network
from training.pretrained import GRAPH, TOKENIZER, Encoder

MAX_TOKENS = 96
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class SmallTask:
    """The task tnews of the small corpus, with a tokenizer of its characters."""

    batcher: TokenBatcher
    tnews: LengthSortedTask
    tokens: tuple[str, ...]
    """The vocabulary."""

    @property
    def rows(self) -> list[list[int]]:
        """Token ids of the texts."""
        return [tokens.tolist() for tokens in self.tnews.tokens]


def small_task(data: Path, vocabulary_file: Path) -> SmallTask:
    corpus = Corpus(data)
    characters = sorted({character for passage in corpus.passages() for character in passage})
    tokens = (*SPECIAL_TOKENS, *characters)
    write_vocabulary(tokens, vocabulary_file)
    batcher = TokenBatcher(load_tokenizer(vocabulary_file))
    examples = corpus.tasks()["tnews"]
    tnews = LengthSortedTask(examples, batcher.encode_all([example.text for example in examples]))
    return SmallTask(batcher, tnews, tokens)


def small_encoder(tokens: tuple[str, ...], seed: int = 5) -> Encoder:
    """With one layer, one head, and random weights in place of pretrained ones."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=HEAD_SIZE,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=64,
        max_position_embeddings=256,
        initializer_range=0.1,
    )
    return Encoder(dict(BertModel(config, add_pooling_layer=False).state_dict()), tokens)


def small_network(tokens: tuple[str, ...], seed: int = 5) -> SplitBertForSequenceClassification:
    """Untrained, in evaluation mode, with the logits of a bi-encoder."""
    return build_network(small_encoder(tokens, seed)).eval()


def numbered_tokens(count: int) -> tuple[str, ...]:
    return (*SPECIAL_TOKENS, *(chr(0x4E00 + index) for index in range(count - len(SPECIAL_TOKENS))))


def write_artifact(encoder: Encoder, path: Path) -> None:
    """Store the encoder as the pretrained one is stored: products have nameless, transposed weights."""
    initializers: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for name, value in encoder.weights.items():
        if name.endswith(".weight") and value.ndim == 2 and "embeddings" not in name:
            stored = f"onnx::MatMul_{len(nodes)}"
            node_name = "/" + name.removesuffix(".weight").replace(".", "/") + "/MatMul"
            nodes.append(helper.make_node("MatMul", ["x", stored], [f"y{len(nodes)}"], name=node_name))
            initializers.append(numpy_helper.from_array(value.numpy().T.copy(), stored))
        else:
            initializers.append(numpy_helper.from_array(value.numpy(), name))
    graph = helper.make_graph(nodes, "encoder", [], [], initializers)
    rows = {token: row for row, token in enumerate(encoder.tokens)}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(GRAPH, onnx.helper.make_model(graph).SerializeToString())
        archive.writestr(TOKENIZER, json.dumps({"model": {"vocab": rows}}))


def nli_task(batcher: TokenBatcher) -> LengthSortedTask:
    """Pairs of the same topic are entailments, pairs of different topics contradictions."""
    rng = random.Random(6)
    pairs = []
    for topic, other in itertools.product(TOPICS, repeat=2):
        relation, count = ("entailment", 40) if topic == other else ("contradiction", 20)
        pairs += [
            SentencePair(random_sentence(rng, topic), random_sentence(rng, other), relation) for _ in range(count)
        ]
    return LengthSortedTask(pairs, batcher.encode_all([pair.premise for pair in pairs]))


def state_of(network: SplitBertForSequenceClassification) -> dict[str, Tensor]:
    """Copies of the network's weights."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def recording(loss_of_step: Callable[[int], Tensor]) -> tuple[Callable[[int], Tensor], list[float]]:
    """The same loss, and the list to which the value of each step is appended."""
    losses: list[float] = []

    def recorded(step: int) -> Tensor:
        loss = loss_of_step(step)
        losses.append(loss.item())
        return loss

    return recorded, losses


def no_log(_line: str) -> None:
    pass


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
