"""What a key may do with files and batches."""

from __future__ import annotations

import pytest

from stores.tenants import READ_BATCHES, SCOPES, WRITE_BATCHES
from tests.fakes.control_plane_app import control_plane, new_caller
from tests.problems import assert_problem

OPERATIONS = [
    ("GET", "/v1/files", READ_BATCHES),
    ("GET", "/v1/files/file-1", READ_BATCHES),
    ("GET", "/v1/files/file-1/content", READ_BATCHES),
    ("GET", "/v1/batches", READ_BATCHES),
    ("GET", "/v1/batches/batch_1", READ_BATCHES),
    ("POST", "/v1/files", WRITE_BATCHES),
    ("DELETE", "/v1/files/file-1", WRITE_BATCHES),
    ("POST", "/v1/batches", WRITE_BATCHES),
    ("POST", "/v1/batches/batch_1/cancel", WRITE_BATCHES),
]


@pytest.mark.parametrize(("method", "path", "scope"), OPERATIONS)
async def test_files_and_batches_need_a_scope_of_their_own(method: str, path: str, scope: str) -> None:
    async with control_plane() as client:
        without = await new_caller(client, "without", scopes=[other for other in SCOPES if other != scope])
        refused = await client.request(method, path, headers=without)
        assert scope in assert_problem(refused, 403, "missing_scope")["detail"]
        with_scope = await new_caller(client, "with", scopes=[scope])
        assert (await client.request(method, path, headers=with_scope)).status_code != 403
