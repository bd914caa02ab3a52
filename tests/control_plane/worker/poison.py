"""Lines that something on the way might choke on, by what is wrong with each; line 0 of a batch has `c0`."""

from __future__ import annotations

POISON = {
    "nothing but a brace": b"{",
    "invalid UTF-8": b'{"custom_id": "\xff", "url": "/v1/classify", "body": {}}',
    "a raw NUL": b'{"custom_id": "a\x00b", "url": "/v1/classify", "body": {}}',
    "a lone surrogate": rb'{"custom_id": "\ud800", "url": "/v1/classify", "body": {}}',
    "a deep list": b'{"custom_id": "x", "url": "/v1/classify", "body": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a deep list, not closed": b"[" * 1_000_000,
    "no JSON number": b'{"custom_id": "x", "url": "/v1/classify", "body": {"n": NaN}}',
    "a byte order mark": b'\xef\xbb\xbf{"custom_id": "x", "url": "/v1/classify", "body": {}}',
    "a list": b"[]",
    "a huge number": b"9" * 1_000_000,
    "more than a line may have": b'{"custom_id": "x", "url": "/v1/classify", "body": "'
    + b"x" * 16_000_000
    + b'"}',
    "no custom_id": b'{"url": "/v1/classify", "body": {}}',
    "an empty custom_id": b'{"custom_id": "", "url": "/v1/classify", "body": {}}',
    "a long custom_id": b'{"custom_id": "' + b"x" * 257 + b'", "url": "/v1/classify", "body": {}}',
    "no body": b'{"custom_id": "x", "url": "/v1/classify"}',
    "another path": b'{"custom_id": "x", "url": "/v1/tenants", "body": {}}',
    "another method": b'{"custom_id": "x", "method": "DELETE", "url": "/v1/classify", "body": {}}',
    "an unknown field": b'{"custom_id": "x", "url": "/v1/classify", "body": {}, "more": 1}',
    "a custom_id that another line has": b'{"custom_id": "c0", "url": "/v1/classify", "body": {}}',
    "a body that the gateway refuses": rb'{"custom_id": "\u0000", "url": "/v1/classify", "body": {"n": 1e999}}',
}
