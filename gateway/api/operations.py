"""Every operation of the gateway, in one table. The OpenAPI document is made of it; a test compares the routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from gateway.api import shapes
from gateway.api.huggingface import LabelScore, PipelineAnswer, ZeroShotBody
from gateway.api.tei import PredictBody, Ranked, RerankBody
from gateway.schema import ClassifyAnswer, ClassifyAnswers, ClassifyBody, TokenizeAnswer, TokenizeBody
from gateway.tenants import CLASSIFY, READ_LABEL_SETS, READ_USAGE, WRITE_LABEL_SETS

OPERATOR = "operator"
"""The scope of the admin key."""
TEXT = "这个手机质量太差，要求退款"
EXAMPLES: dict[type[Struct], Any] = {
    ClassifyBody: {"text": TEXT, "labels": "投诉,咨询,建议"},
    TokenizeBody: {"text": TEXT, "labels": ["投诉", "咨询"]},
    shapes.LabelSetBody: {
        "labels": ["投诉", {"label": "咨询", "hypothesis": "用户在咨询问题"}, "建议"],
        "threshold": 0.3,
    },
    ZeroShotBody: {"inputs": TEXT, "parameters": {"candidate_labels": ["投诉", "咨询"]}},
    PredictBody: {"inputs": [TEXT, "投诉"]},
    RerankBody: {"query": "投诉", "texts": [TEXT, "你们几点开门"]},
    shapes.TenantBody: {"name": "acme"},
    shapes.QuotaBody: {"pairs_per_minute": 60_000},
    shapes.KeyBody: {"scopes": [CLASSIFY]},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    scope: str | None = None
    body: type[Struct] | None = None
    answers: Sequence[Any] = ()
    """Structs, or lists of them."""
    status: int = 200
    parameters: Sequence[dict[str, Any]] = field(default=())
    media_type: str = "application/json"


def _header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"} | schema}


def _query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string"} | schema}


IF_MATCH = _header("If-Match", "The ETag of the version that the writer has seen; none for a new set.")
WAIT = _header("X-Request-Timeout", "Seconds that the caller waits.", type="number", minimum=1, maximum=3_600)
FRESH = _header("Cache-Control", "`no-cache`: compute every pair anew.")
ONCE = _header("Idempotency-Key", "The same key again gives the same batch.", maxLength=200)
PAGE = (
    _query("limit", "How many.", type="integer", minimum=1, maximum=100),
    _query("after", "The id after which the list goes on."),
)
DAYS = (
    _query("from", "First day.", format="date"),
    _query("to", "Last day; today by default.", format="date"),
)
TENANT, KEYS, SET = "/v1/tenants/{tenant_id}", "/v1/tenants/{tenant_id}/keys", "/v1/label-sets/{name}"
FILE, BATCH = "/v1/files/{file_id}", "/v1/batches/{batch_id}"

OPERATIONS = (
    Operation(
        "POST",
        "/v1/classify",
        "Score labels for one text or several",
        CLASSIFY,
        ClassifyBody,
        (ClassifyAnswer, ClassifyAnswers),
        parameters=(WAIT, FRESH),
    ),
    Operation("POST", "/v1/tokenize", "Count tokens", CLASSIFY, TokenizeBody, (TokenizeAnswer,)),
    Operation("GET", "/v1/label-sets", "List label sets", READ_LABEL_SETS, None, (shapes.LabelSetList,)),
    Operation("GET", SET, "The newest, or `name@3` that one", READ_LABEL_SETS, None, (shapes.LabelSetAnswer,)),
    Operation(
        "PUT",
        SET,
        "Make a version; 201 for a new set",
        WRITE_LABEL_SETS,
        shapes.LabelSetBody,
        (shapes.LabelSetAnswer,),
        parameters=(IF_MATCH,),
    ),
    Operation("DELETE", SET, "Delete a set", WRITE_LABEL_SETS, status=204),
    Operation("GET", SET + "/versions", "Every version", READ_LABEL_SETS, None, (shapes.LabelSetList,)),
    Operation(
        "POST",
        SET + "/rollback",
        "Make an old version the newest",
        WRITE_LABEL_SETS,
        shapes.RollbackBody,
        (shapes.LabelSetAnswer,),
        parameters=(IF_MATCH,),
    ),
    Operation("GET", "/v1/usage", "What was used", READ_USAGE, None, (shapes.UsageAnswer,), parameters=DAYS),
    Operation("POST", "/v1/files", "Upload lines for a batch", CLASSIFY, None, (shapes.FileAnswer,)),
    Operation("GET", "/v1/files", "List files", CLASSIFY, None, (shapes.Page,), parameters=PAGE),
    Operation("GET", FILE, "A file", CLASSIFY, None, (shapes.FileAnswer,)),
    Operation("GET", FILE + "/content", "What is in it", CLASSIFY, media_type="application/jsonl"),
    Operation("DELETE", FILE, "Delete a file", CLASSIFY, None, (shapes.Deleted,)),
    Operation(
        "POST",
        "/v1/batches",
        "Answer the lines of a file",
        CLASSIFY,
        shapes.BatchBody,
        (shapes.BatchAnswer,),
        parameters=(ONCE,),
    ),
    Operation("GET", "/v1/batches", "List batches", CLASSIFY, None, (shapes.Page,), parameters=PAGE),
    Operation("GET", BATCH, "How far a batch is", CLASSIFY, None, (shapes.BatchAnswer,)),
    Operation("POST", BATCH + "/cancel", "End it with what is answered", CLASSIFY, None, (shapes.BatchAnswer,)),
    Operation("POST", "/v1/tenants", "Create a tenant", OPERATOR, shapes.TenantBody, (shapes.TenantAnswer,), 201),
    Operation("GET", "/v1/tenants", "List tenants", OPERATOR, None, (shapes.TenantList,)),
    Operation("GET", TENANT, "A tenant", OPERATOR, None, (shapes.TenantAnswer,)),
    Operation("PATCH", TENANT, "Rename, suspend, resume", OPERATOR, shapes.TenantChange, (shapes.TenantAnswer,)),
    Operation("DELETE", TENANT, "Delete with all that is the tenant's", OPERATOR, status=204),
    Operation("PUT", TENANT + "/quota", "Set its quota", OPERATOR, shapes.QuotaBody, (shapes.TenantAnswer,)),
    Operation(
        "GET", TENANT + "/usage", "What it used, by day", OPERATOR, None, (shapes.UsageAnswer,), parameters=DAYS
    ),
    Operation("POST", KEYS, "Make a key, shown this once", OPERATOR, shapes.KeyBody, (shapes.KeyAnswer,), 201),
    Operation("GET", KEYS, "List its keys", OPERATOR, None, (shapes.KeyList,)),
    Operation("DELETE", KEYS + "/{key_id}", "Revoke a key", OPERATOR, status=204),
    Operation(
        "POST",
        KEYS + "/{key_id}/rotate",
        "Replace a key; the old one works a while longer",
        OPERATOR,
        shapes.RotateBody,
        (shapes.KeyAnswer,),
        201,
    ),
    Operation(
        "POST",
        "/hf/inference",
        "Hugging Face's zero-shot body, answered as its Inference API",
        CLASSIFY,
        ZeroShotBody,
        (list[LabelScore], list[list[LabelScore]]),
    ),
    Operation(
        "POST",
        "/hf/pipeline",
        "The same, answered as a transformers pipeline",
        CLASSIFY,
        ZeroShotBody,
        (PipelineAnswer, list[PipelineAnswer]),
    ),
    Operation(
        "POST",
        "/predict",
        "Relations of texts to hypotheses, as TEI",
        CLASSIFY,
        PredictBody,
        (list[LabelScore], list[list[LabelScore]]),
    ),
    Operation(
        "POST",
        "/rerank",
        "Texts by what they entail, as TEI",
        CLASSIFY,
        RerankBody,
        (list[Ranked],),
    ),
    Operation("GET", "/v2", "KServe v2: the server"),
    Operation("GET", "/v2/health/live", "KServe v2: whether the process lives"),
    Operation("GET", "/v2/health/ready", "KServe v2: whether it can answer"),
    Operation("GET", "/v2/models/{model}", "KServe v2: the model `zero_shot`"),
    Operation("GET", "/v2/models/{model}/ready", "KServe v2: whether it can answer"),
    Operation("POST", "/v2/models/{model}/infer", "KServe v2: classify one text, JSON or binary", CLASSIFY),
    Operation("GET", "/livez", "Whether the process lives"),
    Operation("GET", "/readyz", "Whether it can answer"),
    Operation("GET", "/metrics", "For Prometheus", media_type="text/plain"),
    Operation("GET", "/openapi.json", "This document"),
    Operation("GET", "/", "The page to try it", media_type="text/html"),
    Operation("GET", "/docs", "This document for people", media_type="text/html"),
    Operation("GET", "/ui/app.css", "Of the pages", media_type="text/css"),
    Operation("GET", "/ui/app.js", "Of the pages", media_type="text/javascript"),
)
