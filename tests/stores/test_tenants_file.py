"""Tenants and label sets from a file: validated as a whole, read again when it changes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stores.api_keys import generate_key, matches
from stores.batches import VALIDATING, Batch, BatchBounds
from stores.budgets import NO_BUDGET, Budget
from stores.correction import Correction
from stores.errors import NotAvailable
from stores.evaluation import Evaluation
from stores.factory import Stores, file_stores
from stores.files import BATCH_PURPOSE, File, UploadBounds
from stores.label_sets import (
    MAX_VERSION,
    LabelLimits,
    LabelSet,
    LabelSetBounds,
    LabelSetContent,
    SetLabel,
    find_label_set,
)
from stores.paging import PageRequest
from stores.tenants import ACTIVE, CLASSIFY, READ_USAGE, SCOPES, ApiKey, Quota, Tenant
from stores.tenants_file.parser import TenantsFileContent, TenantsFileError
from stores.tenants_file.stores import TenantsFile
from tests.fakes.chunks import chunks_of

ROOT = Path(__file__).parents[2]
NEW = generate_key()
GOOD = f"""
tenants:
  - id: acme
    name: Acme 公司
    quota: {{pairs_per_minute: 4}}
    budget: {{pairs_per_month: 1000, enforcement: soft}}
    special_tokens: text
    keys:
      - id: "{NEW.id}"
        sha256: "{NEW.digest}"
        scopes: [classify, "usage:read"]
        budget: {{tokens_per_month: 5}}
    label_sets:
      - {{name: tickets, version: 1, labels: [投诉, {{label: 咨询, hypothesis: 用户在咨询}}]}}
      - {{name: tickets, version: 2, labels: [a, b, c], threshold: 0.5, special_tokens: model}}
      - {{name: mood, labels: [好, 坏], correction: {{biases: [1, -1.5]}},
         evaluation: {{evaluated_at: 2030-01-01T00:00:00Z, texts: 9, labelled: 8, correct: 6}}}}
  - id: other
"""
THEN = datetime(2030, 1, 1, tzinfo=UTC)
ALL = PageRequest(100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.fixture
def declared(path: Path) -> Stores:
    return file_stores(path, LabelLimits())


async def test_what_the_file_declares_is_in_the_stores(declared: Stores) -> None:
    acme, other = (await declared.tenants.page(ALL)).items
    assert (acme.id, acme.name, acme.status, acme.quota) == ("acme", "Acme 公司", ACTIVE, Quota(None, 4))
    assert (acme.budget, other.budget) == (Budget(1000, None, "soft"), NO_BUDGET)
    assert (other.id, other.name, other.quota) == ("other", "other", Quota())
    assert (acme.special_tokens, other.special_tokens) == ("text", "model")
    assert await declared.tenants.get("acme") == acme
    assert await declared.tenants.get("nobody") is None
    record = await declared.api_keys.find(NEW.id)
    assert record is not None
    assert (record[1], record[0].scopes) == (acme, (CLASSIFY, READ_USAGE))
    assert matches(NEW.key, record[0].digest)
    assert await declared.api_keys.find(generate_key().id) is None
    assert [key.id for key in (await declared.api_keys.page("acme", ALL)).items] == [NEW.id]


async def test_label_sets_of_the_file_have_versions(declared: Stores) -> None:
    sets = declared.label_sets
    newest = await find_label_set(sets, "acme", "tickets")
    first = await find_label_set(sets, "acme", "tickets@1")
    assert newest is not None
    assert first is not None
    assert (newest.version, newest.content.threshold) == (2, 0.5)
    mood = await find_label_set(sets, "acme", "mood")
    assert mood is not None
    assert (mood.content.correction, first.content.correction) == (Correction((1.0, -1.5)), None)
    numbers = Evaluation(evaluated_at=THEN, texts=9, labelled=8, correct=6)
    assert (mood.evaluation, first.evaluation) == (numbers, None)
    assert (newest.content.special_tokens, first.content.special_tokens) == ("model", None)
    assert (first.reference, first.content.hypotheses) == ("tickets@1", ("投诉", "用户在咨询"))
    assert await find_label_set(sets, "other", "tickets") is None
    assert [(version.name, version.version) for version in (await sets.page("acme", ALL)).items] == [
        ("mood", 1),
        ("tickets", 2),
    ]
    assert [version.version for version in (await sets.page("acme", ALL, "tickets")).items] == [2, 1]


async def test_the_highest_version_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "tenants.yaml"
    path.write_text(f"tenants: [{{id: a, label_sets: [{{name: n, version: {MAX_VERSION}, labels: [x]}}]}}]")
    label_sets = file_stores(path, LabelLimits()).label_sets
    newest = await find_label_set(label_sets, "a", "n")
    assert newest is not None
    assert await find_label_set(label_sets, "a", newest.reference) == newest


def test_an_unchanged_file_is_not_parsed_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = TenantsFile(path, LabelLimits())
    before = file.current
    file.reload()
    assert file.current is before
    assert "is in force" not in caplog.text


def test_a_refused_content_is_not_parsed_again_and_the_good_one_may_come_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []

    def parse(content: bytes, limits: LabelLimits) -> TenantsFileContent:
        parsed.append(content)
        return TenantsFileContent(content, limits)

    monkeypatch.setattr("stores.tenants_file.stores.TenantsFileContent", parse)
    file = TenantsFile(path, LabelLimits())
    for text, results in (
        (GOOD, [True, False]),
        ("tenants: {", [False, False]),
        ("tenants: [", [False, False]),
        (GOOD, [True, False]),
    ):
        path.write_text(text, encoding="utf-8")
        assert [file.reload() for _ in results] == results
        assert file.valid is results[0]
    assert len(parsed) == 4


def test_what_is_refused_at_the_first_use_is_still_reported(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("tenants: {", encoding="utf-8")
    file = TenantsFile(path, LabelLimits())
    with pytest.raises(TenantsFileError):
        _ = file.current
    file.reload()
    assert not file.valid
    assert "cannot be used" in caplog.text


def test_the_first_content_has_not_changed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert TenantsFile(path, LabelLimits()).reload()
    assert [record.message for record in caplog.records] == [f"{path} is in force"]


async def test_every_change_is_refused_with_the_way_out(declared: Stores) -> None:
    acme = Tenant("acme", "new", ACTIVE, THEN)
    content = LabelSetContent((SetLabel("a"),))
    batch = Batch("batch_1", "acme", "file-1", VALIDATING, THEN, THEN)
    for refused in (
        declared.tenants.add(acme),
        declared.tenants.change("acme", name="new"),
        declared.tenants.remove("acme"),
        declared.api_keys.add(ApiKey(NEW.id, "acme", NEW.digest, SCOPES, THEN, None), 9),
        declared.api_keys.remove("acme", NEW.id),
        declared.label_sets.add(LabelSet("acme", "new", 1, content, THEN), 0, LabelSetBounds(9, 9, 9, 9)),
        declared.label_sets.remove("acme", "tickets"),
        declared.usage.of("acme", THEN.date(), THEN.date()),
        declared.files.add(
            File("file-1", "acme", "a", BATCH_PURPOSE, 0, THEN), chunks_of(b"x", 1), UploadBounds(9, 9, 9, THEN)
        ),
        declared.files.get("acme", "file-1"),
        declared.files.page("acme", ALL),
        declared.files.chunk("file-1", 0),
        declared.files.remove("acme", "file-1"),
        declared.batches.add(batch, None, "d", BatchBounds(9, 9)),
        declared.batches.get("acme", "batch_1"),
        declared.batches.page("acme", ALL),
        declared.batches.cancel("acme", "batch_1", THEN),
    ):
        with pytest.raises(NotAvailable, match="WANNENG_TENANTS_FILE"):
            await refused


async def test_the_last_use_of_a_key_and_usage_are_not_kept(declared: Stores) -> None:
    """Neither is refused: requests go on."""
    await declared.api_keys.mark_used(NEW.id, THEN)
    await declared.usage.add([])
    (key,) = (await declared.api_keys.page("acme", ALL)).items
    assert key.last_used_at is None


async def test_a_changed_file_takes_effect_and_an_invalid_one_does_not(
    path: Path, declared: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    file = declared.tenants_file
    assert file is not None

    async def labels() -> int:
        label_set = await find_label_set(declared.label_sets, "acme", "tickets")
        assert label_set is not None
        return len(label_set.content.labels)

    assert (await labels(), file.valid) == (3, True)
    path.write_text(GOOD.replace("[a, b, c]", "[a, b]").replace("4}", "9}"), encoding="utf-8")
    file.reload()
    assert (await labels(), file.valid) == (2, True)
    for broken in ("tenants: {", "tenants:\n  - id: acme\n    colour: red", None, "tenants: {"):
        if broken is None:
            path.unlink()
        else:
            path.write_text(broken, encoding="utf-8")
        caplog.clear()
        for _ in range(3):
            assert not file.reload()
            assert (await labels(), file.valid) == (2, False)
        assert [record.levelname for record in caplog.records] == ["ERROR"], "each mistake is logged once"
    path.write_text(GOOD, encoding="utf-8")
    file.reload()
    assert (await labels(), file.valid) == (3, True)


@pytest.mark.parametrize(
    ("content", "position"),
    [
        (b"\xff", ""),
        (b"[]", "Expected `object`"),
        (b"tenants: [{id: A}]", "tenants[0].id"),
        (b"tenants: [{id: a}, {id: a}]", "tenants[1].id"),
        (b"tenants: [{id: a}, {id: b, name: a}]", "tenants: two"),
        (b"tenants: [{id: a, status: gone}]", "tenants[0].status"),
        (b"tenants: [{id: a, quota: {pairs_per_minute: 0}}]", "tenants[0].quota"),
        (b"tenants: [{id: a, keys: [{id: k, sha256: s}]}]", "tenants[0].keys[0].id"),
        (b"tenants: [{id: a, keys: [{id: 00000000000a, sha256: s}]}]", "tenants[0].keys[0].sha256"),
        (
            b"tenants: [{id: a, keys: [{id: 00000000000a, sha256: %s, scopes: [all]}]}]" % (b"a" * 64),
            "tenants[0].keys[0].scopes",
        ),
        (
            b"tenants: [{id: a, keys: [{id: 00000000000a, sha256: %s, expires_at: '2030-01-01T00:00:00'}]}]"
            % (b"a" * 64),
            "tenants[0].keys[0].expires_at",
        ),
        (b"tenants: [{id: a, label_sets: [{name: N, labels: [x]}]}]", "tenants[0].label_sets[0].name"),
        (b"tenants: [{id: a, label_sets: [{name: n, labels: [x, x]}]}]", "tenants[0].label_sets[0].labels[1]"),
        (
            b"tenants: [{id: a, label_sets: [{name: n, version: 0, labels: [x]}]}]",
            "version: must be between 1 and",
        ),
        (
            b"tenants: [{id: a, label_sets: [{name: n, version: 1000000000, labels: [x]}]}]",
            "label_sets[0].version",
        ),
        (b"tenants: [{id: a, label_sets: [{name: n, labels: []}]}]", "tenants[0].label_sets[0].labels"),
        (
            b"tenants: [{id: a, label_sets: [{name: n, labels: [x]}, {name: n, labels: [y]}]}]",
            "tenants[0].label_sets[1].version",
        ),
    ],
)
def test_a_mistake_is_named_by_its_position(content: bytes, position: str) -> None:
    with pytest.raises(TenantsFileError) as refusal:
        TenantsFileContent(content, LabelLimits())
    assert position in str(refusal.value)


KEY = f"tenants: [{{id: a, keys: [{{id: '{NEW.id}', sha256: '{NEW.digest}',\n expires_at: %s}}]}}]"


@pytest.mark.parametrize(
    "value",
    [
        "2027-02-29T00:00:00Z",
        "2030-02-30",
        "2030-01-01T25:00:00Z",
        "2030-01-01T00:00:00+99:00",
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!timestamp x",
        "9" * 5_000,
    ],
)
def test_a_value_that_does_not_exist_is_refused_by_its_line(value: str) -> None:
    with pytest.raises(TenantsFileError, match=r"^'.{1,40}' is not a valid \w+ in .*, line 2, column 14$"):
        TenantsFileContent((KEY % value).encode(), LabelLimits())


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("tenants: []\ntenants: []", "'tenants' is used twice in .*, line 2, column 1$"),
        ("tenants:\n- id: a\n  status: suspended\n  'status': active", "'status' .*, line 4, column 3$"),
        ("tenants:\n- {id: a, label_sets: [{name: a, labels: [{label: x, label: y}]}]}", "'label' .*, line 2"),
        ("tenants: [&a {id: a, <<: {<<: *a, name: b, name: c}}]", "'name'"),
    ],
)
def test_a_key_that_a_mapping_has_twice_is_refused_by_its_name(content: str, key: str) -> None:
    with pytest.raises(TenantsFileError, match=key):
        TenantsFileContent(content.encode(), LabelLimits())


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deeper_nesting_than_any_file_needs_is_refused_by_its_line(opening: str) -> None:
    with pytest.raises(TenantsFileError, match=r"^lists and mappings are nested more than 100 deep in .*, line 2"):
        TenantsFileContent(f"#\n{opening * 101}".encode(), LabelLimits())
    with pytest.raises(TenantsFileError) as refusal:
        TenantsFileContent(f"{opening * 100}x".encode(), LabelLimits())
    assert "nested" not in str(refusal.value)


def test_a_hundred_thousand_levels_end_no_process() -> None:
    """PyYAML with libyaml composes them on the C stack, which was too small."""
    code = (
        "from stores.tenants_file.yaml_loader import load_yaml\n"
        "try: load_yaml(b'[' * 100_000)\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "nested" in done.stdout) == (0, True), done


def test_merged_keys_may_be_overridden() -> None:
    content = """
tenants:
  - {id: a, quota: &small {pairs_per_minute: 4, requests_per_minute: 1}}
  - {id: b, quota: &large {<<: *small, pairs_per_minute: 9}}
  - {id: c, quota: {<<: *large, requests_per_minute: 2}}
  - {id: d, quota: {<<: *large, <<: {requests_per_minute: 3}}}
"""
    tenants = TenantsFileContent(content.encode(), LabelLimits()).tenants
    assert [tenants[name].quota for name in "abc"] == [Quota(1, 4), Quota(1, 9), Quota(2, 9)]
    assert tenants["d"].quota.pairs_per_minute == 9


def test_a_date_that_does_not_exist_leaves_the_previous_content_in_force(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = TenantsFile(path, LabelLimits())
    before = file.current
    path.write_text(KEY % "2027-02-29T00:00:00Z", encoding="utf-8")
    assert not file.reload()
    assert (file.valid, file.current) == (False, before)
    assert "'2027-02-29T00:00:00Z' is not a valid timestamp" in caplog.text


def test_a_file_that_cannot_be_used_at_the_start_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tenants.yaml"
    path.write_text("tenants: [{id: A}]", encoding="utf-8")
    with pytest.raises(TenantsFileError) as refusal:
        _ = TenantsFile(path, LabelLimits()).current
    assert str(refusal.value) == f"{path}: tenants[0].id: only a-z, 0-9, _ and - are allowed"
    with pytest.raises(TenantsFileError, match=r"none\.yaml cannot be read: No such file"):
        _ = TenantsFile(tmp_path / "none.yaml", LabelLimits()).current


def test_the_example_in_the_documentation_can_be_used() -> None:
    page = (ROOT / "docs/tenants.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    assert list(TenantsFileContent(example.encode(), LabelLimits()).tenants) == ["acme"]
