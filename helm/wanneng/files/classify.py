"""What `helm test` runs: one real classification, by a tenant of its own where the operator's key is known."""

import json
import os
import sys
import urllib.error
import urllib.request
import uuid

URL, KEY, ADMIN_KEY = os.environ["URL"], os.environ.get("KEY"), os.environ.get("ADMIN_KEY")


def call(method, path, key, body=None):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def classify(key):
    body = {"text": "这个手机质量太差，要求退款", "labels": ["投诉", "咨询", "建议"]}
    answer = call("POST", "/v1/classify", key, body)
    print(json.dumps(answer, ensure_ascii=False))
    if sorted(answer["labels"]) != sorted(body["labels"]) or abs(sum(answer["scores"]) - 1) > 1e-3:
        sys.exit("the answer is not one score for each label")


def main():
    if ADMIN_KEY:
        tenant = call("POST", "/v1/tenants", ADMIN_KEY, {"name": f"helm-test-{uuid.uuid4().hex[:12]}"})
        try:
            classify(call("POST", f"/v1/tenants/{tenant['id']}/keys", ADMIN_KEY, {"scopes": ["classify"]})["key"])
        finally:
            call("DELETE", f"/v1/tenants/{tenant['id']}", ADMIN_KEY)
    elif KEY:
        classify(KEY)
    else:
        sys.exit("no key is known here: name one in testKeySecret")


try:
    main()
except urllib.error.HTTPError as error:
    sys.exit(f"{error.url} answered {error.code}: {error.read(1000).decode(errors='replace')}")
except OSError as error:
    sys.exit(f"{URL} does not answer: {error}")
