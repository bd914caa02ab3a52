from __future__ import annotations

from typing import Any

import pytest

Line = dict[str, Any]


@pytest.fixture
def good_line() -> Line:
    return {"custom_id": "a", "method": "POST", "url": "/v1/classify", "body": {"text": "x", "labels": "y"}}
