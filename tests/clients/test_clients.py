"""Each client that other products publish gets from the gateway what `/v1/classify` answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import ROOT, Server, serving

PYTHON = ROOT / ".venv-clients" / "bin" / "python"
CALLS = Path(__file__).with_name("calls.py")
QUERY = "用户要退货"
DOCUMENTS = ["你们几点开门", "我要退货", "这个手机质量太差，要求退款"]
LABELS = ["投诉", "咨询", "建议"]
LABEL_SET, THRESHOLD = "clients", 0.3
UNKNOWN = "no label set 'nobody-has-this'; GET /v1/label-sets lists what there is"

if not PYTHON.exists():
    pytest.skip("make clients-env installs the clients", allow_module_level=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("clients"), None) as running:
        content = {"labels": LABELS, "threshold": THRESHOLD}
        put = httpx.put(
            f"{running.url}/v1/label-sets/{LABEL_SET}",
            json=content,
            headers={"If-None-Match": "*"},
            trust_env=False,
        )
        assert put.status_code == 201, put.text
        yield running


@pytest.fixture
def call(server: Server) -> Callable[[str], dict[str, Any]]:
    """What a client of calls.py made of its answers."""
    key = (server.state_dir / "local.key").read_text(encoding="utf-8").strip()
    task = {"url": server.url, "key": key, "query": QUERY, "documents": DOCUMENTS, "labels": LABELS}
    environment = dict(os.environ) | {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def ask(client: str) -> dict[str, Any]:
        done = subprocess.run(
            [PYTHON, CALLS, client],
            input=json.dumps(task | {"label_set": LABEL_SET}),
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answers

    return ask


def entailments(server: Server, text: str, labels: list[str]) -> dict[str, float]:
    """Each label's own probability of entailment, as `/v1/classify` has it."""
    answer = server.classify(text=text, labels=labels, entailment=True).json()
    return dict(zip(answer["labels"], answer["entailment"], strict=True))


def scores(server: Server, text: str, **options: Any) -> dict[str, float]:
    answer = server.classify(text=text, **({"labels": LABELS} | options)).json()
    return dict(zip(answer["labels"], answer["scores"], strict=True))


def reranked(server: Server) -> dict[str, float]:
    """By the positions of the documents, as JSON has them."""
    return {str(n): entailments(server, text, [QUERY])[QUERY] for n, text in enumerate(DOCUMENTS)}


def tokens(server: Server, *pairs: tuple[str, str]) -> int:
    """Of pairs of a text and a label."""
    counted = 0
    for text, label in pairs:
        body = {"text": text, "labels": [label]}
        counts = httpx.post(f"{server.url}/v1/tokenize", json=body, timeout=30, trust_env=False).json()
        counted += counts["labels"][0]["tokens"]
    return counted


def approx(expected: dict[str, float]) -> Any:
    return pytest.approx(expected, abs=1e-6)


def test_coheres_client_reranks(server: Server, call: Callable[[str], dict[str, Any]]) -> None:
    answers, expected = call("cohere"), reranked(server)
    assert answers["scores"] == approx(expected)
    assert answers["v1_scores"] == approx(expected)
    assert answers["best"] == [int(max(expected, key=expected.__getitem__))]
    assert answers["v1_documents"] == {str(n): text for n, text in enumerate(DOCUMENTS)}
    assert answers["tokens"] == tokens(server, *((text, QUERY) for text in DOCUMENTS))
    assert answers["billed"] == 1
    assert answers["refused"] == "max_tokens_per_doc: must be at least 512, or left out"


def test_litellm_reranks_as_each_of_its_providers(server: Server, call: Callable[[str], dict[str, Any]]) -> None:
    answers, expected = call("litellm"), reranked(server)
    assert set(answers) == {"cohere", "jina_ai", "hosted_vllm", "huggingface"}
    for provider, answer in answers.items():
        assert answer["scores"] == approx(expected), provider
        if provider != "huggingface":  # It counts by itself, for Text Embeddings Inference tells nothing.
            assert answer["tokens"] == tokens(server, *((text, QUERY) for text in DOCUMENTS)), provider


def test_openais_client_moderates_finds_models_and_runs_batches(
    server: Server, call: Callable[[str], dict[str, Any]]
) -> None:
    answers = call("openai")
    assert answers["model"].pop("contract")["logits"] == ["entailment", "neutral", "contradiction"]
    assert answers["model"] | {"created": 0} == {
        "id": "wanneng-embedded",
        "object": "model",
        "owned_by": "wanneng",
        "created": 0,
        "model_type": "flexible",
    }
    assert answers["label_set"] == LABEL_SET
    moderated = answers["moderated"]
    assert (moderated["model"], len(moderated["results"])) == (f"{LABEL_SET}@1", len(DOCUMENTS))
    for text, result in zip(DOCUMENTS, moderated["results"], strict=True):
        expected = entailments(server, text, LABELS)
        assert result["category_scores"] == approx(expected)
        assert result["categories"] == {label: score >= THRESHOLD for label, score in expected.items()}
        assert result["flagged"] == any(score >= THRESHOLD for score in expected.values())
    assert {result["flagged"] for result in moderated["results"]} == {True, False}, "texts that show both"
    pairs = [(text, label) for text in DOCUMENTS for label in LABELS]
    assert moderated["usage"]["prompt_tokens"] == moderated["usage"]["total_tokens"] == tokens(server, *pairs)
    scored = dict(zip(LABELS, (each["score"] for each in answers["scored"]["data"]), strict=True))
    assert scored == approx(entailments(server, DOCUMENTS[0], LABELS))
    assert answers["expiry_s"] == [3_600, 7_200]
    result = json.loads(answers["results"])["response"]["body"]
    assert dict(zip(result["labels"], result["scores"], strict=True)) == approx(scores(server, DOCUMENTS[0]))
    assert answers["unknown"] == ["not_found", "invalid_request_error", UNKNOWN]
    assert answers["refused"][0] == "invalid_request"
    assert answers["refused"][1].endswith("[1]")


def test_xinferences_client_classifies_and_reranks(server: Server, call: Callable[[str], dict[str, Any]]) -> None:
    answers = call("xinference")
    one, many = answers["one"], answers["many"]
    assert answers["models"] == {"wanneng-embedded": "flexible", "zero_shot": "flexible", "rerank": "rerank"}
    assert dict(zip(one["labels"], one["scores"], strict=True)) == approx(scores(server, DOCUMENTS[0]))
    assert [each["sequence"] for each in many] == DOCUMENTS
    for text, answer in zip(DOCUMENTS, many, strict=True):
        expected = scores(server, text, multi_label=True)
        assert dict(zip(answer["labels"], answer["scores"], strict=True)) == approx(expected)
    assert answers["of_the_set"]["scores"] == pytest.approx(one["scores"], abs=1e-6)
    ranked = {str(each["index"]): each["relevance_score"] for each in answers["reranked"]["results"]}
    assert ranked == approx(reranked(server))
    assert {each["document"]["text"] for each in answers["reranked"]["results"]} == set(DOCUMENTS)
    assert answers["unknown"].endswith(UNKNOWN)
    assert "documents[0]: empty" in answers["refused"]


def test_difys_plugins_rerank(server: Server, call: Callable[[str], dict[str, Any]]) -> None:
    """Dify scales the scores of an answer to 0 to 1; the order and the texts are as we say."""
    expected = reranked(server)
    best, second = sorted(expected, key=expected.__getitem__, reverse=True)[:2]
    assert call("dify")["docs"] == [
        [int(best), DOCUMENTS[int(best)], 1.0],
        [int(second), DOCUMENTS[int(second)], 0.0],
    ]
