"""What the client sees of a gateway with a control plane: tenants, keys, label sets, usage, files and batches."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, Awaitable, Iterable
from typing import Any, TypeVar

import httpx

from wanneng import AsyncClient, Client

PAGE_ITEMS = 2
NOW = "2026-11-21T10:00:00.5Z"
T = TypeVar("T")

ME = {"tenant_id": "t1", "tenant_name": "a", "key_id": "k0", "subject": None, "scopes": ["classify"]}


COUNTS = dict.fromkeys(("requests_answered", "requests_refused", "requests_invalid", "requests_failed"), 1)
FIGURES = COUNTS | dict.fromkeys(
    ("pairs_computed", "pairs_from_cache", "pairs_refused", "cache_hits", "cache_bytes", "budgets_exceeded"), 2
)
FIGURES |= {"pairs_in_flight": 9, "pairs_at_triton": 5, "cached_pairs": 7}
ANSWERED = {"url": "http://a:8090", "error": None, "ready": True, "workers": 2, "redis_up": False}
SILENT = dict.fromkeys(ANSWERED) | {"url": "http://b:8090", "error": "it does not answer within 2 s"}
STATUS = {
    "gateways": [ANSWERED | {"figures": FIGURES}, SILENT | {"figures": None}],
    "total": FIGURES,
    "pools": [{"pool": "default", "answering": 3, "ejected": 1, "engines": {"e1": 2, "e2": 1}}],
    "tenants": [{"tenant_id": "t_1", "pairs": 8, "answered": 4, "refused": 3, "invalid": 2, "failed": 1}],
}


class FakeGateway:
    """Checks keys and preconditions, as the control plane does; nothing else. One label set, `tickets`."""

    def __init__(self, key: str = "admin") -> None:
        self.key = key
        self.tenants: dict[str, dict[str, Any]] = {}
        self.keys: dict[str | None, list[dict[str, Any]]] = {None: []}
        """By tenant; None: the caller's own."""
        self.budgets: dict[str | None, dict[str, Any]] = {}
        """By key; None: the tenant's."""
        self.versions: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.running = 0
        """How often a batch is still asked for before it is done."""
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def client(self) -> Client:
        return Client("http://gateway", self.key, transport=httpx.MockTransport(self), sleep=self.pauses.append)

    def async_client(self) -> AsyncClient:
        return AsyncClient("http://gateway", self.key, transport=httpx.MockTransport(self), sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return problem(401, "unauthorized")
        for pattern, method, answer in (
            (r"/v1/tenants", "POST", self._create_tenant),
            (r"/v1/tenants", "GET", lambda asked: paged(asked, "tenants", list(self.tenants.values()))),
            (r"/v1/tenants/(\w+)", "GET", lambda _, tenant: self.tenants.get(tenant)),
            (r"/v1/tenants/(\w+)", "PATCH", self._update_tenant),
            (r"/v1/tenants/(\w+)", "DELETE", self._delete_tenant),
            (r"/v1/tenants/(\w+)/quota", "PUT", self._update_tenant),
            (r"/v1/tenants/(\w+)/usage", "GET", self._usage),
            (r"/v1(?:/tenants/(\w+))?/keys", "GET", self._list_keys),
            (r"/v1(?:/tenants/(\w+))?/keys", "POST", self._create_key),
            (r"/v1(?:/tenants/(\w+))?/keys/(\w+)", "DELETE", self._revoke_key),
            (r"/v1(?:/tenants/(\w+))?/keys/(\w+)/rotate", "POST", self._rotate_key),
            (r"/v1/tenants/(\w+)(?:/keys/(\w+))?/budget", "PUT", self._set_budget),
            (r"/v1/tenants/(\w+)(?:/keys/(\w+))?/budget", "GET", self._get_budget),
            (r"/v1/budget", "GET", self._own_budgets),
            (r"/v1/me", "GET", lambda _: ME),
            (r"/v1/usage", "GET", self._usage),
            (r"/v1/admin/status", "GET", lambda _: STATUS),
            (r"/v1/label-sets", "GET", lambda asked: paged(asked, "label_sets", self.versions[-1:], "name")),
            (r"/v1/label-sets/tickets/versions", "GET", self._list_versions),
            (r"/v1/label-sets/tickets(?:@([0-9]+))?", "GET", self._get_label_set),
            (r"/v1/label-sets/tickets", "PUT", self._put_label_set),
            (r"/v1/label-sets/tickets/rollback", "POST", self._roll_back),
            (r"/v1/label-sets/tickets", "DELETE", self._delete_label_set),
            (r"/v1/files", "POST", self._upload),
            (r"/v1/files/([\w-]+)/content", "GET", lambda _, file: httpx.Response(200, content=self.files[file])),
            (r"/v1/files", "GET", lambda asked: paged(asked, "data", [*map(self._file, self.files)])),
            (r"/v1/files/([\w-]+)", "GET", lambda _, file: self._file(file)),
            (r"/v1/files/([\w-]+)", "DELETE", self._delete_file),
            (r"/v1/batches", "POST", self._create_batch),
            (r"/v1/batches", "GET", lambda asked: paged(asked, "data", list(self.batches.values()))),
            (r"/v1/batches/([\w-]+)", "GET", self._get_batch),
            (r"/v1/batches/([\w-]+)/cancel", "POST", self._cancel_batch),
        ):
            path = re.fullmatch(pattern, request.url.path)
            if path is not None and request.method == method:
                content: Any = answer(request, *path.groups())
                if content is None:
                    return problem(404, "not_found")
                return content if isinstance(content, httpx.Response) else httpx.Response(200, json=content)
        return problem(404, "http_error")

    def _create_tenant(self, request: httpx.Request) -> Any:
        tenant_id = f"t{len(self.tenants)}"
        quota = {"requests_per_minute": None, "pairs_per_minute": None, "pairs_in_flight": None}
        quota["tokens_per_minute"] = None
        named = {"id": tenant_id, "name": body(request)["name"], "status": "active", "created_at": NOW}
        named["special_tokens"] = "model"
        self.tenants[tenant_id], self.keys[tenant_id] = named | quota, []
        return self.tenants[tenant_id]

    def _update_tenant(self, request: httpx.Request, tenant: str) -> Any:
        self.tenants[tenant] |= body(request)
        return self.tenants[tenant]

    def _delete_tenant(self, request: httpx.Request, tenant: str) -> Any:
        del self.tenants[tenant]
        return httpx.Response(204)

    def _usage(self, request: httpx.Request, tenant: str = "") -> Any:
        day = request.url.params.get("from", "2026-11-21")
        counts = {"requests": 3, "pairs_computed": 6, "pairs_cached": 1, "tokens": 90}
        price = {"cost": "0.00018", "price_per_million_tokens": "2", "currency": "CNY"}
        named = request.url.params.get("label_set", "tickets")
        return {
            "days": [{"day": day, **counts}],
            "total": counts | price,
            "label_sets": [{"label_set": named, **counts}],
        }

    def _set_budget(self, request: httpx.Request, tenant: str, key: str | None) -> Any:
        used = {"pairs_used": 6, "tokens_used": 90, "renewed_at": "2026-12-01T00:00:00Z"}
        self.budgets[key] = {"key_id": key, **body(request), **used}
        return self.budgets[key]

    def _get_budget(self, request: httpx.Request, tenant: str, key: str | None) -> Any:
        return self.budgets.get(key)

    def _own_budgets(self, request: httpx.Request) -> Any:
        return {"tenant": self.budgets[None], "key": next((b for key, b in self.budgets.items() if key), None)}

    def _list_keys(self, request: httpx.Request, tenant: str | None) -> Any:
        keys = [{name: value for name, value in key.items() if name != "key"} for key in self.keys[tenant]]
        return paged(request, "keys", keys)

    def _create_key(self, request: httpx.Request, tenant: str | None) -> Any:
        key_id = f"k{len(self.keys[tenant])}"
        wanted = {"name": "", "scopes": ["classify"], "expires_at": None} | body(request)
        key = {"id": key_id, "created_at": NOW, "last_used_at": None, "key": f"wn_{key_id}_secret", **wanted}
        self.keys[tenant].append(key)
        return key

    def _rotate_key(self, request: httpx.Request, tenant: str | None, key: str) -> Any:
        (old,) = [known for known in self.keys[tenant] if known["id"] == key]
        new = old | {"id": "new", "key": "wn_new_secret"}
        self.keys[tenant].append(new)
        old["expires_at"] = f"2026-11-21T10:00:{body(request)['overlap_s']:02.0f}Z"
        return new

    def _revoke_key(self, request: httpx.Request, tenant: str | None, key: str) -> Any:
        self.keys[tenant] = [known for known in self.keys[tenant] if known["id"] != key]
        return httpx.Response(204)

    def _list_versions(self, request: httpx.Request) -> Any:
        return paged(request, "label_sets", self.versions[::-1], "version")

    def _get_label_set(self, request: httpx.Request, version: str | None) -> Any:
        if not self.versions:
            return None
        return self.versions[int(version) - 1] if version else self.versions[-1]

    def _put_label_set(self, request: httpx.Request, content: dict[str, Any] | None = None) -> Any:
        expected = f'"{len(self.versions)}"' if self.versions else None
        if request.headers.get("If-Match") != expected:
            return problem(412, "precondition_failed")
        content = content or body(request)
        labels = [
            one if isinstance(one, dict) else {"label": one, "hypothesis": None} for one in content["labels"]
        ]
        own = {"name": "tickets", "version": len(self.versions) + 1, "labels": labels, "created_at": NOW}
        self.versions.append(content | own)
        return self.versions[-1]

    def _roll_back(self, request: httpx.Request) -> Any:
        return self._put_label_set(request, self.versions[body(request)["version"] - 1])

    def _delete_label_set(self, request: httpx.Request) -> Any:
        self.versions.clear()
        return httpx.Response(204)

    def _upload(self, request: httpx.Request) -> Any:
        (content,) = re.findall(
            rb'name="file"; filename="batch.jsonl".*?\r\n\r\n(.*?)\r\n--', request.content, re.DOTALL
        )
        assert b'name="purpose"\r\n\r\nbatch\r\n' in request.content
        self.files["file-1"] = content
        return {"id": "file-1", "object": "file"}

    def _file(self, file: str) -> Any:
        return {"id": file, "filename": "batch.jsonl", "bytes": len(self.files[file])}

    def _delete_file(self, request: httpx.Request, file: str) -> Any:
        del self.files[file]
        return {"id": file, "deleted": True}

    def _get_batch(self, request: httpx.Request, batch: str) -> Any:
        self.running = max(self.running - 1, -1)
        return self.batches[batch] | ({"status": "in_progress"} if self.running >= 0 else {})

    def _create_batch(self, request: httpx.Request) -> Any:
        batch = {"id": "batch-1", "status": "completed", "errors": None, "error_file_id": None}
        batch |= {"input_file_id": body(request)["input_file_id"], "output_file_id": "file-1"}
        batch["metadata"] = body(request).get("metadata", {})
        self.batches["batch-1"] = batch | {"request_counts": {"total": 2, "completed": 2, "failed": 0}}
        return self.batches["batch-1"]

    def _cancel_batch(self, request: httpx.Request, batch: str) -> Any:
        errors = {"data": [{"code": "invalid", "message": "line 1", "line": 1}]}
        self.batches[batch] |= {"status": "cancelling", "errors": errors}
        return self.batches[batch]


def paged(request: httpx.Request, field: str, items: list[dict[str, Any]], item_id: str = "id") -> dict[str, Any]:
    """A page of `PAGE_ITEMS`, whatever the client asks for: it may be smaller."""
    assert request.url.params["limit"] == "100"
    ids = [str(item.get(item_id)) for item in items]
    after = request.url.params.get("after")
    start = 0 if after is None else ids.index(after) + 1
    page, end = items[start : start + PAGE_ITEMS], start + PAGE_ITEMS
    return {field: page, "has_more": end < len(items), "last_id": ids[:end][-1] if page else None}


def problem(status: int, code: str = "overloaded", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": f"it is {code}"}, headers=headers)


def body(request: httpx.Request) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(request.content)
    return decoded


def jsonl(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def collected(items: Iterable[T] | AsyncIterable[T]) -> list[T]:
    """The items of either client's iterator."""
    return [item async for item in items] if isinstance(items, AsyncIterable) else list(items)


async def resolved(answer: T | Awaitable[T]) -> T:
    """The answer of either client."""
    return await answer if isinstance(answer, Awaitable) else answer
