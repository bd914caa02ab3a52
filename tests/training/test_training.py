"""The training script on a corpus of a few lines: it learns, stops and goes on where it was."""

from __future__ import annotations

import itertools
import json
import lzma
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from engine.snapshot import network_of, read_snapshot, write_snapshot
from tests.engine.snapshots import snapshot
from training.calibration import Asked, apply_temperature, best_temperature
from training.data.batches import LengthSorted, TokenBatcher
from training.data.corpus import Corpus, Labelled, SentencePair
from training.data.derived import derived_tasks, words_out_of
from training.data.hypotheses import FIELDS, draw_name, draw_template, hypothesis, say
from training.data.vocabulary import learn_vocabulary, load_tokenizer
from training.loop import Stage, run_stage
from training.network import SEGMENT, Rows, build_network, empty_network, keep_segments, mean_of_tokens
from training.stages.bi_encoder import add_inference, match_loss
from training.stages.comparison_layer import comparing
from training.stages.cross_encoder import Teacher, entail_loss
from training.stages.distillation import distil_loss
from training.stages.grids import IMITATE, RANK, grid_logits, grid_loss, last_layer_alone

ROOT = Path(__file__).parents[2]
TOPICS = {"球类": "球队比赛进球联赛冠军", "钱财": "股市银行利率投资债券", "饭菜": "菜谱火锅面条烧烤甜点"}
"""Labels without other names, since the vocabulary of so few lines knows no others."""
TASKS = (
    "tnews", "nlpcc2017", "shopping_sentiment", "book_sentiment", "shopping_category", "emotion",
    "ecommerce_intent", "iflytek", "csldcp", "csl_category", "csl_keyword", "cold_topic", "offensive",
)  # fmt: skip


def sentence(rng: random.Random, topic: str) -> str:
    return "".join(rng.choice(TOPICS[topic]) for _ in range(rng.randint(8, 16)))


def write_lines(path: Path, lines: list[str]) -> None:
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the real corpus with invented lines."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(1)
    labelled = [
        {"task": task, "text": sentence(rng, topic), "label": topic}
        for task in TASKS for topic in TOPICS for _ in range(12)
    ]  # fmt: skip
    labelled += [{"task": "shopping_sentiment", "text": "建议" + sentence(rng, "饭菜"), "label": "负面"}] * 3
    remarks = ["快递走了五天才到手里呢", "味道和以前吃过的不同", "快递慢，味道也不好呢", "一般般没有什么可说的"]
    labelled += [{"task": "shopping_sentiment", "text": text, "label": "负面"} for text in remarks * 10]
    pairs = [(sentence(rng, t), sentence(rng, t)) for t in TOPICS for _ in range(10)]
    relations = ["entailment", "neutral", "contradiction"]
    nli = [
        {"source": "x", "premise": a, "hypothesis": b, "label": relations[i % 3]} for i, (a, b) in enumerate(pairs)
    ]
    same = [{"source": "x", "a": a, "b": b, "same": i % 2} for i, (a, b) in enumerate(pairs)]
    for name, records in (
        ("classification_train.jsonl", labelled), ("classification_dev.jsonl", labelled[:9]),
        ("nli_train.jsonl", nli), ("nli_dev.jsonl", nli), ("paraphrase_train.jsonl", same),
    ):  # fmt: skip
        write_lines(folder / f"{name}.xz", [json.dumps(r, ensure_ascii=False) for r in records])
    write_lines(folder / "lexicon.tsv.xz", [f"{sentence(rng, t)[:3]}\t{t}\t5" for t in TOPICS for _ in range(5)])
    passages = [f"{t}{sentence(rng, t)}。{sentence(rng, t)}{t}。" for t in TOPICS for _ in range(200)]
    for name in ("text_weibo_rumor_reposts.txt", "text_zhihu_hot.txt"):
        write_lines(folder / f"{name}.xz", [*passages, "建议增加一些面条"])
    return folder


def test_the_whole_script_runs_and_resumes(data: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "training", "--data", str(data), "--work", str(tmp_path), "--layers", "2",
        "--match-steps", "3", "--imitate-steps", "2", "--rank-steps", "3", "--entail-steps", "3",
        "--dev-texts", "6",
    ]  # fmt: skip
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-2_000:]
    assert "learning the vocabulary" not in done.stderr
    assert network_of(read_snapshot(tmp_path / "snapshot")).config.num_hidden_layers == 2
    figures = json.loads((tmp_path / "dev.json").read_text(encoding="utf-8"))
    for name in ("accuracy", "calibration_error_before", "calibration_error"):
        assert 0 <= figures[name]["tnews"] <= 1
    assert 0 <= figures["inference_accuracy"] <= 1
    assert 0.25 <= figures["temperature"] <= 4


def test_the_script_learns_from_a_structbert_of_ones_own(data: Path, tmp_path: Path) -> None:
    """The teacher has another vocabulary, another size, and random weights."""
    write_snapshot(snapshot(max_position_embeddings=512), tmp_path / "teacher")
    command = [
        sys.executable, "-m", "training", "--data", str(data), "--work", str(tmp_path), "--layers", "2",
        "--match-steps", "2", "--distil-steps", "3", "--dev-texts", "6", "--teacher", str(tmp_path / "teacher"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert (tmp_path / "distil.pt").exists()
    assert not (tmp_path / "entail.pt").exists()
    assert network_of(read_snapshot(tmp_path / "snapshot")).config.num_hidden_layers == 2


def test_a_broken_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights after a run that broke at step 4 of 6 equal those of a run that did not."""
    # Two runs may find another precision the faster one.
    monkeypatch.setattr("training.loop._fastest", lambda *_: torch.float32)

    def train(folder: Path, breaks_at: int | None) -> dict[str, Tensor]:
        network = build_network(np.eye(20, 16, dtype=np.float32), layers=1, heads=2)
        stage = Stage("stage", 6, learning_rate=1e-3, warmup_steps=1, checkpoint_every_steps=2)

        def loss(step: int) -> Tensor:
            if step == breaks_at:
                raise KeyboardInterrupt
            ids = torch.randint(0, 20, (4, 6), generator=torch.Generator().manual_seed(step))
            return network(input_ids=ids, labels=ids[:, 0] % 3).loss

        folder.mkdir(exist_ok=True)
        run_stage(stage, network, loss, folder, report=lambda line: None)
        return network.state_dict()

    whole = train(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", 4)
    resumed = train(tmp_path / "broken", None)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value)


def test_a_stages_rate_rises_and_falls(tmp_path: Path) -> None:
    """What a step moves: little at first, then much, at last nearly nothing."""
    network = build_network(np.eye(20, 16, dtype=np.float32), layers=1, heads=2)
    seen: list[Tensor] = []

    def loss(step: int) -> Tensor:
        seen.append(network.classifier.weight.detach().clone())
        ids = torch.randint(0, 20, (4, 6), generator=torch.Generator().manual_seed(step))
        return network(input_ids=ids, labels=ids[:, 0] % 3).loss

    steps = 40
    run_stage(Stage("stage", steps, 1e-2, warmup_steps=10), network, loss, tmp_path, report=lambda line: None)

    before = [*seen[-steps:], network.classifier.weight.detach()]
    moved = [float((then - now).norm()) for now, then in itertools.pairwise(before)]
    assert moved[0] < 0.5 * max(moved)
    assert max(moved[-3:]) < 0.1 * max(moved)
    assert 5 < np.argmax(moved) < 25


def test_a_resumed_run_keeps_the_precision_that_it_began_with(tmp_path: Path) -> None:
    """Measured anew it might be the other one, and the run would be no longer that of an unbroken one."""
    mixed: list[bool] = []

    def train(steps: int) -> None:
        network = build_network(np.eye(20, 16, dtype=np.float32), layers=1, heads=2)

        def loss(step: int) -> Tensor:
            mixed.append(torch.is_autocast_enabled("cpu"))
            ids = torch.full((2, 3), step + 1)
            return network(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids[:, 0] % 3).loss

        run_stage(Stage("stage", steps, learning_rate=1e-3), network, loss, tmp_path, report=lambda line: None)

    train(2)
    assert set(mixed) == {True, False}, "both are measured"
    checkpoint = torch.load(tmp_path / "stage.pt", weights_only=True)
    for kept in (torch.bfloat16, torch.float32):
        torch.save(checkpoint | {"precision": kept}, tmp_path / "stage.pt")
        mixed.clear()
        train(4)
        assert mixed == [kept == torch.bfloat16] * 2


def alike(seed: int) -> tuple[BertForSequenceClassification, Rows, Rows, Rows]:
    """An untrained bi-encoder of small size; 200 texts and hypotheses, apart and together, half of them alike."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, 1, (400, 64)).astype(np.float32)
    network = build_network(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), layers=2).eval()
    texts, said = (torch.from_numpy(rng.integers(5, 400, (200, n))) for n in (20, 4))
    said[:100] = texts[:100, 3:7]
    first, second = (
        (ids, torch.full_like(ids, which), torch.ones_like(ids)) for which, ids in ((0, texts), (1, said))
    )
    together = tuple(torch.cat([a, b], dim=1) for a, b in zip(first, second, strict=True))
    return network, first, second, (together[0], together[1], together[2])


@torch.no_grad()
def vary_lengths(network: BertForSequenceClassification, spread: float) -> None:
    tokens = network.bert.embeddings.word_embeddings.weight
    lengths = spread * np.random.default_rng(2).normal(size=(len(tokens), 1))
    tokens *= torch.from_numpy(np.exp(lengths).astype(np.float32))


@torch.no_grad()
def test_at_first_a_token_sees_others_of_its_segment_and_no_other_segment() -> None:
    vectors = np.random.default_rng(4).normal(0, 1, (400, 256)).astype(np.float32)
    network = build_network(vectors, layers=3).eval()
    network.set_attn_implementation("eager")
    ids = torch.arange(5, 29).repeat(2, 1)
    types = (torch.arange(24) >= 18).long().repeat(2, 1)
    own = types[:, None, :, None] == types[:, None, None, :]
    for seen in network.bert(input_ids=ids, token_type_ids=types, output_attentions=True).attentions:
        assert seen.max(dim=-1).values.mean() < 0.9
        assert (seen * ~own).sum(-1).max() < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_what_stands_beside_a_text_does_not_change_its_states(spread: float) -> None:
    """Also where some tokens say more of their segment than others, as after long training."""
    network, texts, said, (ids, types, mask) = alike(1)
    vary_lengths(network, spread)
    together = comparing(network, texts, said, (ids, types, mask)).bert
    others = torch.cat([ids[:, :20], ids[:, 20:].roll(1, dims=0)], dim=1)
    beside, elsewhere = (
        together(
            input_ids=rows, token_type_ids=types, attention_mask=mask, output_hidden_states=True
        ).hidden_states
        for rows in (ids, others)
    )
    for depth in range(3):
        torch.testing.assert_close(beside[depth][:, :20], elsewhere[depth][:, :20], rtol=0, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("spread", "least"), [(0.0, 0.9), (1.0, 0.75)])
def test_a_cross_encoder_begins_as_the_bi_encoder(spread: float, least: float) -> None:
    """Also where some tokens say more of their segment than others, as after long training."""
    network, texts, said, pairs = alike(2)
    vary_lengths(network, spread)
    ids, types, mask = pairs
    logits = comparing(network, texts, said, pairs)(
        input_ids=ids, token_type_ids=types, attention_mask=mask
    ).logits
    cosines = (mean_of_tokens(network, *texts) * mean_of_tokens(network, *said)).sum(1)
    for column, sign in ((0, 1), (2, -1)):
        assert sign * torch.corrcoef(torch.stack([cosines, logits[:, column]]))[0, 1] > least


@torch.no_grad()
def test_a_grid_has_the_logits_of_its_pairs() -> None:
    """Every text with every hypothesis, some of them shorter than the others."""
    network, texts, said, pairs = alike(4)
    deeper = comparing(network, texts, said, pairs).eval()
    few = 5
    some_texts, some_said = (tuple(part[:few].clone() for part in rows) for rows in (texts, said))
    some_said[2][0, 3:] = 0
    ids, types, mask = (
        torch.cat([a.repeat_interleave(few, dim=0), b.repeat(few, 1)], dim=1)
        for a, b in zip(some_texts, some_said, strict=True)
    )
    together = deeper(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
    ids, types, mask = some_texts
    grid = grid_logits(deeper, (ids, types, mask), (some_said[0], some_said[1], some_said[2]))
    torch.testing.assert_close(grid, together.view(few, few, 3), rtol=0, atol=2e-3)
    assert grid.std(dim=1).max() > 0.1


def test_the_computed_layer_learns_what_the_bi_encoder_says_and_the_others_nothing(
    data: Path, tmp_path: Path
) -> None:
    batcher, tasks, count = world(data, tmp_path)
    network, deeper, rows = begun(batcher, tasks, count)
    before = {name: value.clone() for name, value in deeper.state_dict().items()}
    asked = {"tnews": tasks["tnews"], "words": LengthSorted([], [])}
    teacher = Teacher(network, batcher)
    noted, losses = noting(grid_loss(IMITATE, deeper, teacher, batcher, asked, {"tnews": 1.0}))

    with last_layer_alone(deeper):
        run_stage(Stage("imitate", 100, 3e-3, warmup_steps=5), deeper, noted, tmp_path, report=lambda line: None)
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    names = list(TOPICS)
    grid = grid_logits(deeper, batcher.texts(rows, 72), batcher.hypotheses([batcher.ids(n) for n in names], 72))
    compared = torch.stack([grid[..., 0], teacher.scores(teacher.vectors(rows), names)])
    compared = compared - compared.mean(2, keepdim=True)
    assert torch.corrcoef(compared.flatten(1))[0, 1] > 0.8
    for name, value in deeper.state_dict().items():
        last = any(part in name for part in ("layer.1.", "pooler", "classifier"))
        assert torch.equal(value, before[name]) != last or name.endswith("key.bias"), name
    assert all(parameter.requires_grad for parameter in deeper.parameters())


def test_the_computed_layer_learns_how_one_sentence_follows_from_another(data: Path, tmp_path: Path) -> None:
    batcher, tasks, count = world(data, tmp_path)
    network, deeper, _ = begun(batcher, tasks, count)
    before = {name: value.clone() for name, value in deeper.state_dict().items()}
    asked = {"nli": inferences(batcher), "words": LengthSorted([], [])}
    noted, losses = noting(grid_loss(IMITATE, deeper, Teacher(network, batcher), batcher, asked, {"nli": 1.0}))

    with last_layer_alone(deeper):
        run_stage(Stage("imitate", 100, 3e-3, warmup_steps=5), deeper, noted, tmp_path, report=lambda line: None)
    assert np.mean(losses[-10:]) < 0.5 * np.log(2)
    for name in network.state_dict():
        if name.startswith(("bert.embeddings", "bert.encoder")):
            assert torch.equal(before[name], deeper.state_dict()[name]), name


def test_all_layers_learn_on_grids_which_label_is_right(data: Path, tmp_path: Path) -> None:
    """A teacher that cannot tell only softens them."""
    batcher, tasks, count = world(data, tmp_path)
    network, deeper, rows = begun(batcher, tasks, count)
    keep_segments(deeper, 1)
    before = {name: value.clone() for name, value in deeper.state_dict().items()}
    asked = {"tnews": tasks["tnews"], "words": LengthSorted([], [])}
    loss = grid_loss(RANK, deeper, Undecided(network, batcher), batcher, asked, {"tnews": 1.0})

    run_stage(Stage("rank", 180, 3e-3, warmup_steps=5), deeper, loss, tmp_path, report=lambda line: None)
    names = list(TOPICS)
    wanted = [names.index(e.label) for e in tasks["tnews"].examples if isinstance(e, Labelled)]
    hypotheses = batcher.hypotheses([batcher.ids(name) for name in names], 72)
    grid = grid_logits(deeper, batcher.texts(rows, 72), hypotheses)
    assert np.mean(grid[..., 0].argmax(1).numpy(force=True) == wanted) > 0.9
    for part in ("attention.self.query", "attention.output.dense", "output.dense"):
        name = f"bert.encoder.layer.0.{part}.weight"
        assert not torch.equal(deeper.state_dict()[name], before[name]), name
    marks = "bert.encoder.layer.0.output.LayerNorm.weight"
    assert deeper.state_dict()[marks][SEGMENT] == before[marks][SEGMENT]


class Undecided(Teacher):
    def scores(self, texts: Tensor, said: list[str]) -> Tensor:
        return torch.zeros(len(texts), len(said))


def test_a_grid_learns_which_sentence_is_the_other_half_of_a_pair(data: Path, tmp_path: Path) -> None:
    batcher, tasks, count = world(data, tmp_path)
    network, deeper, _ = begun(batcher, tasks, count)
    rng = random.Random(8)
    wholes = ["".join(rng.sample("".join(TOPICS.values()), 10)) for _ in range(60)]
    pairs = LengthSorted(
        [SentencePair(whole[:5], whole[3:], "entailment") for whole in wholes],
        batcher.encode_all([whole[:5] for whole in wholes]),
    )
    asked = {"paraphrases": pairs, "words": LengthSorted([], [])}
    teacher = Teacher(network, batcher)
    noted, losses = noting(grid_loss(RANK, deeper, teacher, batcher, asked, {"paraphrases": 1.0}))

    run_stage(Stage("rank", 60, 3e-3, warmup_steps=5), deeper, noted, tmp_path, report=lambda line: None)
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def begun(
    batcher: TokenBatcher, tasks: dict[str, LengthSorted], count: int
) -> tuple[BertForSequenceClassification, BertForSequenceClassification, list[list[int]]]:
    """A bi-encoder of `count` tokens, the cross-encoder computed of it, and the texts that it was computed by."""
    vectors = np.random.default_rng(5).normal(size=(count, 32)).astype(np.float32)
    network = build_network(vectors, layers=1, heads=2).eval()
    rows = [tokens.tolist() for tokens in tasks["tnews"].tokens]
    said = [batcher.ids(random.Random(i).choice(list(TOPICS))) for i in range(len(rows))]
    together = batcher.pairs(rows, said, 72)
    return network, comparing(network, batcher.texts(rows, 72), batcher.hypotheses(said, 72), together), rows


def inferences(batcher: TokenBatcher) -> LengthSorted:
    """What is about the same follows, what is about another thing contradicts."""
    rng = random.Random(6)
    pairs = []
    for topic, other in itertools.product(TOPICS, repeat=2):
        relation, count = ("entailment", 40) if topic == other else ("contradiction", 20)
        pairs += [SentencePair(sentence(rng, topic), sentence(rng, other), relation) for _ in range(count)]
    return LengthSorted(pairs, batcher.encode_all([pair.premise for pair in pairs]))


def test_training_leaves_alone_what_says_which_segment_a_token_is_of(tmp_path: Path) -> None:
    network, texts, said, _ = alike(3)
    keep_segments(network, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def loss(step: int) -> Tensor:
        return -(mean_of_tokens(network, *texts) * mean_of_tokens(network, *said)).sum(1).mean()

    run_stage(Stage("stage", 5, 1e-2, warmup_steps=1), network, loss, tmp_path, report=lambda line: None)
    after = network.state_dict()
    for name, value in before.items():
        if "embeddings.weight" in name:
            torch.testing.assert_close(after[name][:, SEGMENT], value[:, SEGMENT], rtol=1e-3, atol=0)
            assert not torch.equal(after[name], value)
        elif "output" in name:
            torch.testing.assert_close(after[name][SEGMENT], value[SEGMENT])
        elif "query" in name or "key" in name:
            torch.testing.assert_close(after[name][::16], value[::16], rtol=1e-3, atol=0)


def test_matching_learns_which_label_a_text_has(data: Path, tmp_path: Path) -> None:
    corpus = Corpus(data)
    learn_vocabulary(corpus.passages(), tmp_path / "vocab.txt")
    batcher = TokenBatcher(load_tokenizer(tmp_path / "vocab.txt"))
    examples = corpus.tasks()["tnews"]
    tasks = {"tnews": LengthSorted(examples, batcher.encode_all([e.text for e in examples]))}
    vectors = np.random.default_rng(0).normal(0, 1, (batcher.tokenizer.get_vocab_size(), 32)).astype(np.float32)
    network = build_network(vectors, layers=1, heads=2)
    noted, losses = noting(match_loss(network, batcher, tasks, {"tnews": 1.0}))

    run_stage(Stage("match", 60, 3e-4, warmup_steps=5), network, noted, tmp_path, report=lambda line: None)
    assert np.mean(losses[-10:]) < 0.5 * np.log(len(TOPICS))


def test_matching_learns_how_one_sentence_follows_from_another(data: Path, tmp_path: Path) -> None:
    batcher, _, count = world(data, tmp_path)
    vectors = np.random.default_rng(7).normal(size=(count, 32)).astype(np.float32)
    network = build_network(vectors, layers=1, heads=2)
    add_inference(network)
    noted, losses = noting(match_loss(network, batcher, {"nli": inferences(batcher)}, {"nli": 1.0}))

    run_stage(Stage("match", 80, 1e-3, warmup_steps=5), network, noted, tmp_path, report=lambda line: None)
    assert np.mean(losses[-10:]) < 0.5 * np.log(2)


def derived(data: Path) -> dict[str, list[Labelled]]:
    corpus = Corpus(data)
    return derived_tasks(corpus, corpus.tasks(), random.Random(4), words=500)


def test_a_word_is_asked_for_by_the_passages_that_it_was_taken_out_of() -> None:
    passages = [
        "昨天晚上的比赛真的让人高兴",
        "周末大家一起去吃了火锅",
        "医生说这种药要在饭后吃",
        "银行的利率又要往下降了",
    ]
    words = words_out_of(
        [f"{passage}呀呀呀呀" for passage in [*passages * 20, "沙漠里有一头骆驼走过"]], random.Random(5), 1_000
    )
    assert {"比赛", "火锅", "医生", "利率"} <= {example.label for example in words}
    assert not {"昨天", "真的", "骆驼"} & {example.label for example in words}, "say nothing, or too seldom"
    removed = sum(example.label not in example.text for example in words)
    assert 0.6 < removed / len(words) < 0.9


def test_wording_names_the_label_and_is_half_of_the_time_taken_out(data: Path) -> None:
    aspects = derived(data)["review_aspect"]
    assert {example.label for example in aspects} == {"物流", "口味"}, "two aspects in one remark are none"
    shipping = [example.text for example in aspects if example.label == "物流"]
    assert {"快递" in text for text in shipping} == {True, False}
    assert all("五天才到" in text for text in shipping)


def test_a_customers_suggestion_is_a_suggestion(data: Path) -> None:
    intents = derived(data)["service_intent"]
    assert {e.label for e in intents if e.text.startswith("建议")} == {"建议"}
    assert {"投诉", "咨询", "表扬"} & {e.label for e in intents}


def test_a_draw_takes_distinct_neighbours_by_length() -> None:
    examples = [Labelled("x" * n, "a") for n in range(1, 400)]
    data = LengthSorted(examples, [np.zeros(len(e.text), dtype=np.uint16) for e in examples])
    for seed in range(20):
        rows = data.draw(random.Random(seed), token_budget=600, longest=72)
        assert len(set(rows)) == len(rows) >= 8


def test_labels_are_said_in_many_ways_and_always_whole() -> None:
    rng = random.Random(2)
    said = {hypothesis(draw_template("service_intent", rng), draw_name("投诉", rng)) for _ in range(300)}
    assert "投诉" in said
    assert len(said) > 15
    assert not any("{}" in one for one in said)
    assert draw_name("没有别名的标签", rng) == "没有别名的标签"


def test_labels_are_said_in_one_template_and_of_one_field() -> None:
    rng = random.Random(3)
    seen = set()
    for _ in range(200):
        first, second = (one.split("别名") for one in say("question_intent", ["别名", "别名"], rng))
        assert first[1] == second[1], "one template"
        of = [field for field in FIELDS if first[0].endswith(field) and second[0].endswith(field)]
        assert of or first == second
        seen |= set(of)
    assert seen == set(FIELDS)
    assert {one for _ in range(200) for one in say("tnews", ["别名"], rng) if one.startswith("疾病")} == set()


def noting(loss_of_step: Callable[[int], Tensor]) -> tuple[Callable[[int], Tensor], list[float]]:
    """The same, and what it comes to, step after step."""
    losses: list[float] = []

    def noted(step: int) -> Tensor:
        loss = loss_of_step(step)
        losses.append(loss.item())
        return loss

    return noted, losses


def world(data: Path, folder: Path) -> tuple[TokenBatcher, dict[str, LengthSorted], int]:
    """Tokens of the invented corpus, its tnews, and how many tokens there are."""
    corpus = Corpus(data)
    learn_vocabulary(corpus.passages(), folder / "vocab.txt")
    batcher = TokenBatcher(load_tokenizer(folder / "vocab.txt"))
    examples = corpus.tasks()["tnews"]
    tasks = {"tnews": LengthSorted(examples, batcher.encode_all([e.text for e in examples]))}
    return batcher, tasks, batcher.tokenizer.get_vocab_size()


def test_a_student_comes_to_say_what_its_teacher_says(data: Path, tmp_path: Path) -> None:
    """Not what the labels say: the teacher's weights are random."""
    batcher, tasks, tokens = world(data, tmp_path)
    teacher = empty_network(tokens, 32, layers=1, heads=2)
    _, student, _ = begun(batcher, tasks, tokens)
    teacher.classifier.weight.data *= 50
    noted, losses = noting(distil_loss(student, teacher.eval(), batcher, batcher, tasks, {"tnews": 1.0}))
    as_the_teacher = distil_loss(teacher, teacher, batcher, batcher, tasks, {"tnews": 1.0})
    least = np.mean([as_the_teacher(step).item() for step in range(60)])

    run_stage(Stage("distil", 60, 1e-3, warmup_steps=5), student, noted, tmp_path, report=lambda line: None)
    assert np.mean(losses[-10:]) - least < 0.5 * (np.mean(losses[:10]) - least)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_teacher_alone_answers_for_names_of_anywhere(
    share: float, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the texts' own labels are counts elsewhere, and nothing there."""
    monkeypatch.setattr("training.stages.cross_encoder.STRANGERS_SHARE", share)
    batcher, tasks, count = world(data, tmp_path)
    network, deeper, _ = begun(batcher, tasks, count)
    task = tasks["tnews"]
    others = {"球类": "钱财", "钱财": "饭菜", "饭菜": "球类"}
    wrong = [Labelled(e.text, others[e.label]) for e in task.examples if isinstance(e, Labelled)]
    losses = []
    for examples in (task.examples, wrong):
        asked = {"tnews": LengthSorted(examples, task.tokens), "words": LengthSorted([], [])}
        loss = entail_loss(deeper, Teacher(network, batcher), batcher, asked, {"tnews": 1.0})
        losses.append(float(loss(0).detach()))
    assert (losses[0] == losses[1]) == (share == 1.0)


def test_the_calibration_error_is_the_gap_between_score_and_accuracy() -> None:
    """Of ten answers each said with 0.8, six are right."""
    scores = np.tile(np.log([0.8, 0.2]), (10, 1))
    asked = Asked(scores, np.array([0] * 6 + [1] * 4))
    assert asked.accuracy == 0.6
    assert asked.calibration_error() == pytest.approx(0.2)


def test_the_temperature_undoes_what_was_overdone() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 1.5, (4_000, 5))
    chances = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
    answers = np.array([rng.choice(5, p=row) for row in chances])
    loud = Asked(2.5 * truth, answers)
    temperature = best_temperature([loud])
    assert temperature == pytest.approx(2.5, rel=0.1)
    assert loud.calibration_error(temperature) < 0.03 < loud.calibration_error()


def test_a_temperature_is_part_of_the_weights(tmp_path: Path) -> None:
    network = build_network(np.eye(20, 16, dtype=np.float32), layers=1, heads=2).eval()
    ids = torch.arange(6).unsqueeze(0)
    before = network(input_ids=ids).logits
    apply_temperature(network, 2.0)
    torch.testing.assert_close(network(input_ids=ids).logits, before / 2)
