"""`helm test`: sends one real classification request, as a temporary tenant if the admin key is known."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
import uuid
from typing import Any

URL, KEY = os.environ["URL"], os.environ.get("KEY")
INTERNAL_URL, ADMIN_KEY = os.environ.get("INTERNAL_URL", ""), os.environ.get("ADMIN_KEY")

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Services of the cluster are not behind the proxy of a Pod's environment."""


def call(method: str, url: str, key: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with DIRECT.open(request, timeout=60) as response:
        return json.loads(response.read() or b"null")


def classify(key: str) -> None:
    body = {"text": "这个手机质量太差，要求退款", "labels": ["投诉", "咨询", "建议"]}
    response = call("POST", f"{URL}/v1/classify", key, body)
    print(json.dumps(response, ensure_ascii=False))
    if sorted(response["labels"]) != sorted(body["labels"]) or abs(sum(response["scores"]) - 1) > 1e-3:
        sys.exit("the response does not have one score per label, with a sum of 1")


def main() -> None:
    if ADMIN_KEY:
        tenants = f"{INTERNAL_URL}/v1/tenants"
        tenant = call("POST", tenants, ADMIN_KEY, {"name": f"helm-test-{uuid.uuid4().hex[:12]}"})
        try:
            keys = f"{tenants}/{tenant['id']}/keys"
            classify(call("POST", keys, ADMIN_KEY, {"scopes": ["classify"]})["key"])
        finally:
            call("DELETE", f"{tenants}/{tenant['id']}", ADMIN_KEY)
    elif KEY:
        classify(KEY)
    else:
        sys.exit("no API key is known; set testKeySecret")


try:
    main()
except urllib.error.HTTPError as error:
    sys.exit(f"{error.url} returned {error.code}: {error.read(1000).decode(errors='replace')}")
except OSError as error:
    sys.exit(f"{URL} or {INTERNAL_URL} does not respond: {error}")
