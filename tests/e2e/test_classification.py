"""Real answers of the embedded model through the gateway, Triton and the engine."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as grpc

from gateway.triton.load_balancer import CERTAIN_S, CHECK_INTERVAL_S
from tests.e2e.server import Server

EVERYDAY = json.loads((Path(__file__).parents[1] / "data/everyday_examples.json").read_text(encoding="utf-8"))
CLIENTS, REQUESTS = 32, 6
FRESH = {"Cache-Control": "no-cache"}
"""Every pair is computed: what is merged must not come from the cache."""
WORDS = "这款手机电池不耐用客服态度很好物流太慢了希望改进请问什么时候发货今天的比赛非常精彩股市大涨ok5G"
LABELS = ("投诉", "咨询", "建议", "体育", "财经", "科技", "教育", "娱乐", "房产", "汽车")


def test_a_complaint_is_a_complaint(server: Server) -> None:
    answer = server.classify(text="这个手机质量太差，要求退款", labels="投诉,咨询,建议").json()
    assert answer["labels"][0] == "投诉"
    assert sum(answer["pairs"].values()) == 3


def test_at_least_eight_of_ten_everyday_examples_are_right(server: Server) -> None:
    wrong = [
        item["text"]
        for item in EVERYDAY
        if server.classify(text=item["text"], labels=item["labels"]).json()["labels"][0] != item["answer"]
    ]
    assert len(wrong) <= 2, wrong


def test_a_lower_token_limit_is_kept_and_what_was_cut_is_told(server: Server) -> None:
    answer = server.classify(text="手机" * 100, labels=["投诉", "咨询"], max_tokens=32).json()
    assert answer["truncated"]
    assert answer["cut"] == {"max_tokens": 32, "text_tokens": 200 - 27, "label_tokens": 0}


def test_more_labels_than_one_engine_batch_are_scored_together(server: Server) -> None:
    labels = [f"标签{i}" for i in range(150)]
    answer = server.classify(text="这个手机质量太差", labels=labels).json()
    assert sorted(answer["labels"]) == sorted(labels)
    assert sum(answer["scores"]) == pytest.approx(1, abs=1e-4)
    assert answer["pairs"]["computed"] == 150


@pytest.mark.parametrize("config", ["local", "local-padded"])
def test_a_special_token_in_a_text_moves_its_score_unless_it_is_text(
    config: str, request: pytest.FixtureRequest
) -> None:
    """Its tokens are then those of `[ MASK]`, for BERT's tokenizer splits at punctuation and drops blanks."""
    server: Server = request.getfixturevalue("server" if config == "local" else "padded_server")
    labels = ["体育", "财经", "娱乐"]

    def sport(text: str, special_tokens: str | None) -> float:
        answer = server.classify(text=text, labels=labels, special_tokens=special_tokens).json()
        return float(dict(zip(answer["labels"], answer["scores"], strict=True))["体育"])

    text = "国足昨晚赢了" + 6 * "[MASK]"
    as_model, as_text = (sport(text, special_tokens) for special_tokens in ("model", "text"))
    assert sport(text, None) == pytest.approx(as_model, abs=1e-4)
    assert abs(as_model - as_text) > 0.02
    assert as_text == pytest.approx(sport(text.replace("[", "[ "), None), abs=1e-4)


@pytest.mark.parametrize("config", ["local", "local-padded"])
async def test_merged_requests_answer_as_they_do_alone(
    config: str,
    server: Server,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    """32 clients at once; Triton's statistics tell how many pairs one execution carried.

    `local-padded` has length buckets, as TensorRT has; its answers must be those of `local`.
    """
    asked = server if config == "local" else request.getfixturevalue("padded_server")
    plan = [requests(seed) for seed in range(CLIENTS)]
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as one_at_a_time,
        httpx.AsyncClient(base_url=asked.url, timeout=60, trust_env=False) as client,
    ):
        alone = [await answers(one_at_a_time, bodies) for bodies in plan]
        before = asked.pairs_and_executions()
        together = await asyncio.gather(*(answers(client, bodies) for bodies in plan))
        after = asked.pairs_and_executions()
    for expected, got in zip(chain(*alone), chain(*together), strict=True):
        assert got == pytest.approx(expected, abs=1e-4)
    pairs, executions = after[0] - before[0], after[1] - before[1]
    asked_for = sum(len(body["labels"]) for bodies in plan for body in bodies)
    # A call that waits for longer than a second has its Triton probed, with a pair.
    assert asked_for <= pairs <= asked_for + 5
    # A call to a slow engine holds few requests of this size, and its two instances take calls as they come.
    sent = sum(len(bodies) for bodies in plan)
    assert executions < sent, f"{executions} executions for {sent} requests"
    record_property("pairs_per_execution", round(pairs / executions, 1))


def requests(seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "text": "".join(rng.choice(WORDS) for _ in range(rng.randint(5, 60))),
            "labels": rng.sample(LABELS, rng.randint(2, 4)),
        }
        for _ in range(REQUESTS)
    ]


async def answers(client: httpx.AsyncClient, bodies: list[dict[str, Any]]) -> list[dict[str, float]]:
    given = []
    for body in bodies:
        answer = (await client.post("/v1/classify", json=body, headers=FRESH)).json()
        given.append(dict(zip(answer["labels"], answer["scores"], strict=True)))
    return given


def rows(ids: list[list[int]], **changed: list[list[int]]) -> list[grpc.InferInput]:
    values = np.array(ids, dtype=np.int64)
    tensors = {
        "input_ids": values,
        "attention_mask": np.ones_like(values),
        "token_type_ids": np.zeros_like(values),
    }
    tensors |= {name: np.array(other, dtype=np.int64).reshape(len(other), -1) for name, other in changed.items()}
    inputs = []
    for name, tensor in tensors.items():
        inputs.append(grpc.InferInput(name, list(tensor.shape), "INT64"))
        inputs[-1].set_data_from_numpy(tensor)
    return inputs


BAD_ROWS: list[dict[str, Any]] = [
    {"ids": [[2, 10_000_000, 3]]},
    {"ids": [[2, -1, 3]]},
    {"ids": [[5] * 600]},
    {"ids": [[2, 9, 3]], "attention_mask": [[1, 1]]},
    {"ids": [[2, 9, 3]], "token_type_ids": [[0, 0, 0, 1]]},
    {"ids": [[2, 9, 3]], "token_type_ids": [[0, 2, 0]]},
    {"ids": [[2, 9, 3]], "attention_mask": [[0, 0, 0]]},
    {"ids": [[]]},
    {"ids": [[2, 9, 3]] * 65},
]
"""Unknown ids, too many tokens, unequal shapes, unknown token types, no tokens, more rows than a batch."""


@pytest.mark.parametrize(("name", "model"), [("server", "structbert"), ("padded_server", "structbert_s32")])
async def test_a_bad_request_fails_alone_in_its_batch(
    name: str, model: str, request: pytest.FixtureRequest
) -> None:
    """Bad and good rows are sent to the engine's model at once, so that they share executions."""
    server: Server = request.getfixturevalue(name)

    def ask(**given: Any) -> Any:
        with grpc.InferenceServerClient(server.triton_grpc) as client:
            return client.infer(model, rows(**given)).as_numpy("logits")

    # In a bucket all rows have one length.
    good = [{"ids": [[2, 9 + i, 20, 3] * (1 + i % 5 if model == "structbert" else 8)]} for i in range(27)]
    alone = [ask(**given) for given in good]
    calls = [asyncio.to_thread(ask, **given) for pair in zip(good, BAD_ROWS * 3, strict=True) for given in pair]
    results = await asyncio.gather(*calls, return_exceptions=True)
    for expected, got in zip(alone, results[0::2], strict=True):
        assert not isinstance(got, BaseException)
        np.testing.assert_allclose(got, expected, atol=1e-4)
    for refusal, given in zip(results[1::2], BAD_ROWS * 3, strict=True):
        assert isinstance(refusal, grpc.InferenceServerException), given
        assert "Traceback" not in str(refusal)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"text": [""], "labels": ["a"]}, "text: empty"),
        ({"text": ["a"], "labels": ["a", "a"]}, "labels: a label is given twice"),
        ({"text": ["a"], "labels": ["a"], "hypothesis_template": ["none"]}, "hypothesis_template: exactly one"),
        ({"text": ["a"], "labels": [str(i) for i in range(65)]}, "at most 64"),
    ],
)
def test_triton_itself_refuses_with_the_reason(server: Server, body: dict[str, list[str]], words: str) -> None:
    with (
        grpc.InferenceServerClient(server.triton_grpc) as client,
        pytest.raises(Exception, match=words) as refusal,
    ):
        client.infer("zero_shot", strings(body))
    assert "Traceback" not in str(refusal.value)


def strings(body: dict[str, list[str]]) -> list[grpc.InferInput]:
    inputs = []
    for name, values in body.items():
        inputs.append(grpc.InferInput(name, [len(values)], "BYTES"))
        inputs[-1].set_data_from_numpy(np.array([value.encode() for value in values], dtype=object))
    return inputs


def test_the_admin_interfaces_of_triton_are_locked(server: Server) -> None:
    response = httpx.post(f"http://{server.triton_http}/v2/repository/index", trust_env=False)
    assert "restricted" in response.text


def test_metrics_and_health_answer(server: Server) -> None:
    assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200
    assert "wanneng_pairs_total" in httpx.get(f"{server.url}/metrics", trust_env=False).text


def test_what_the_model_cannot_read_is_told(server: Server) -> None:
    known = server.classify(text="要求退款", labels="投诉,咨询").json()
    assert "unknown_share" not in known
    assert known["usage"]["total_tokens"] > 0
    half = server.classify(text="退款🦤🦤", labels=["投诉", "🦤"]).json()
    assert (half["unknown_share"], half["unknown_labels"]) == (pytest.approx(1 / 3, abs=0.2), ["🦤"])
    for body, field in (
        ({"text": "\u200b", "labels": ["投诉"]}, "text"),
        ({"texts": ["退款", "\ufeff"], "labels": ["投诉"]}, "texts[1]"),
        ({"text": "退款", "labels": ["投诉", "\u200b"]}, "labels[1]"),
        ({"text": "退款", "labels": ["投诉", "\u200b"], "hypothesis_template": "这是{}"}, "labels[1]"),
    ):
        refused = server.classify(**body)
        assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (
            422,
            "nothing_to_read",
            field,
        )


def test_truncation_is_refused_where_asked(server: Server) -> None:
    long = {"texts": ["短", "长" * 600], "labels": ["投诉"], "truncate": False}
    refused = server.classify(**long)
    assert (refused.status_code, refused.json()["field"]) == (422, "texts[1]")
    assert server.classify(**(long | {"texts": ["短", "长" * 400]})).status_code == 200


def test_the_health_checks_of_a_quiet_server_succeed(server: Server) -> None:
    """A replica whose checks fail has no engine between them: nothing is cached, and no flight is joined."""

    def ejections() -> int:
        return (server.state_dir / "gateway.log").read_text(encoding="utf-8").count("is ejected")

    before = ejections()
    time.sleep(3 * CHECK_INTERVAL_S + CERTAIN_S)
    assert ejections() == before
    models = httpx.get(f"{server.url}/v1/models", timeout=10, trust_env=False).json()["data"]
    assert models[0]["contract"]["logits"]


def test_a_label_set_and_its_labels_share_what_is_known(server: Server) -> None:
    """The engine's own default template is the one that is written out."""
    body = {"text": "标签集与标签共享缓存", "labels": ["投诉", "咨询"]}
    assert server.classify(**body).json()["pairs"] == {"computed": 2, "cached": 0}
    again = server.classify(**body, hypothesis_template="{}").json()
    assert again["pairs"] == {"computed": 0, "cached": 2}
