"""Where the admin key of a load test comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.settings import ADMIN_KEY, admin_key

ROOT = Path(__file__).parents[2]


def test_a_file_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "admin.key"
    file.write_text("from-the-file\r\n", encoding="utf-8")
    monkeypatch.setenv(ADMIN_KEY, "from-the-variable\n")
    assert admin_key(str(file)) == "from-the-file"
    assert admin_key("") == "from-the-variable"
    monkeypatch.delenv(ADMIN_KEY)
    assert admin_key("") is None


def test_no_flag_takes_the_key_itself() -> None:
    text = (ROOT / "loadtest/locustfile.py").read_text(encoding="utf-8")
    assert '"--admin-key-file"' in text
    assert '"--admin-key"' not in text
