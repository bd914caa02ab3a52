"""Calls the gateway with the clients of other products, in an environment of theirs (requirements/clients.txt).

`calls.py CLIENT` reads a `Task` from standard input, and prints what the client's own parser made of each answer.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BATCH_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Task:
    url: str
    key: str
    query: str
    documents: list[str]
    labels: list[str]
    label_set: str


def cohere(task: Task) -> dict[str, Any]:
    from cohere import Client, ClientV2
    from cohere.errors import UnprocessableEntityError

    ask: dict[str, Any] = {"model": "rerank-v3.5", "query": task.query, "documents": task.documents}
    client = ClientV2(api_key=task.key, base_url=task.url)
    second = client.rerank(**ask)
    best = client.rerank(**ask, top_n=1, max_tokens_per_doc=4_096)
    first = Client(api_key=task.key, base_url=task.url).rerank(**ask, return_documents=True)
    try:
        client.rerank(**ask, max_tokens_per_doc=100)
    except UnprocessableEntityError as error:
        refused = error.body["message"]
    return {
        "scores": {each.index: each.relevance_score for each in second.results},
        "best": [each.index for each in best.results],
        "tokens": second.meta.tokens.input_tokens,
        "billed": second.meta.billed_units.search_units,
        "v1_scores": {each.index: each.relevance_score for each in first.results},
        "v1_documents": {each.index: each.document.text for each in first.results},
        "refused": refused,
    }


def litellm(task: Task) -> dict[str, Any]:
    import litellm as library

    answers: dict[str, Any] = {}
    for provider in ("cohere", "jina_ai", "hosted_vllm", "huggingface"):
        answer = library.rerank(
            f"{provider}/rerank",
            query=task.query,
            documents=task.documents,
            api_base=f"{task.url}/v2/rerank" if provider == "cohere" else task.url,
            api_key=task.key,
            return_documents=True,
        )
        billed, tokens = answer.meta.get("billed_units") or {}, answer.meta.get("tokens") or {}
        answers[provider] = {
            "scores": {each["index"]: each["relevance_score"] for each in answer.results},
            "tokens": tokens.get("input_tokens", billed.get("total_tokens")),
        }
    return answers


def openai(task: Task) -> dict[str, Any]:
    from openai import NotFoundError, OpenAI, UnprocessableEntityError

    client = OpenAI(base_url=f"{task.url}/v1", api_key=task.key, max_retries=0)
    (model, *_) = client.models.list()
    moderated = client.moderations.create(model=task.label_set, input=task.documents)
    ask: dict[str, Any] = {"text_1": task.documents[0], "text_2": task.labels}
    scored = client.post("/score", body=ask, cast_to=dict[str, Any])
    try:
        client.moderations.create(model="nobody-has-this", input="x")
    except NotFoundError as error:
        unknown = (error.code, error.type, error.body["message"])
    try:
        client.moderations.create(model=task.label_set, input=["x", " "])
    except UnprocessableEntityError as error:
        refused = (error.code, error.param)
    batch_file = client.files.create(
        file=("lines.jsonl", _line(task)),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    batch = client.batches.create(
        input_file_id=batch_file.id,
        endpoint="/v1/classify",
        completion_window="24h",
        output_expires_after={"anchor": "created_at", "seconds": 7_200},
    )
    deadline = time.monotonic() + BATCH_TIMEOUT_S
    while batch.status != "completed" and time.monotonic() < deadline:
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id)
    output = client.files.retrieve(batch.output_file_id)
    return {
        "expiry_s": [each.expires_at - each.created_at for each in (batch_file, output)],
        "results": client.files.content(output.id).text,
        "model": client.models.retrieve(model.id).to_dict(),
        "label_set": client.models.retrieve(task.label_set).id,
        "moderated": moderated.to_dict(),
        "scored": scored,
        "unknown": unknown,
        "refused": refused,
    }


def _line(task: Task) -> bytes:
    body = {"text": task.documents[0], "labels": task.labels}
    return json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/classify", "body": body}).encode()


def xinference(task: Task) -> dict[str, Any]:
    from xinference_client import RESTfulClient

    client = RESTfulClient(task.url, api_key=task.key)
    model = client.get_model("zero_shot")
    try:
        client.get_model("nobody-has-this")
    except RuntimeError as error:
        unknown = str(error)
    try:
        client.get_model("rerank").rerank([" "], task.query)
    except RuntimeError as error:
        refused = str(error)
    return {
        "models": {uid: model["model_type"] for uid, model in client.list_models().items()},
        "one": model.infer(task.documents[0], candidate_labels=task.labels),
        "many": model.infer(task.documents, task.labels, multi_label=True),
        "of_the_set": client.get_model(task.label_set).infer(task.documents[0]),
        "reranked": client.get_model("rerank").rerank(task.documents, task.query, return_documents=True),
        "unknown": unknown,
        "refused": refused,
    }


def dify(task: Task) -> dict[str, Any]:
    """The model class on which plugins of OpenAI-compatible providers are built."""
    from dify_plugin import OAICompatRerankModel

    model = OAICompatRerankModel([])
    credentials = {"endpoint_url": f"{task.url}/v1", "api_key": task.key}
    model.validate_credentials("rerank", credentials)
    answer = model.invoke("rerank", credentials, task.query, task.documents, top_n=2)
    return {"docs": [[each.index, each.text, each.score] for each in answer.docs]}


CLIENTS: dict[str, Callable[[Task], dict[str, Any]]] = {
    call.__name__: call for call in (cohere, litellm, openai, xinference, dify)
}

if __name__ == "__main__":
    result = CLIENTS[sys.argv[1]](Task(**json.load(sys.stdin)))
    sys.stdout.write(f"{json.dumps(result)}\n")
