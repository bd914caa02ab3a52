"""The verification of an export of the audit log."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from msgspec import structs

from stores.audit import FIRST_HASH, AuditRecord, canonical, hash_of
from wanneng import AuditLogAltered, verify_chain


def chain(count: int = 9) -> list[str]:
    """Lines as the control plane writes them."""
    lines, previous = [], FIRST_HASH
    for sequence in range(1, count + 1):
        at, changed = f"2030-01-01T00:00:{sequence:02}.000000Z", {"name": f"名称 {sequence}\n"}
        values = AuditRecord(sequence, at, "local", "x.y", "z", None, None, None, changed, previous, "")
        record = structs.replace(values, hash=hash_of(structs.asdict(values)))
        assert record.is_intact
        lines.append(canonical(structs.asdict(record)))
        previous = record.hash
    return lines


def test_an_intact_export_is_verified() -> None:
    verified = verify_chain(f"{line}\n" for line in chain())
    assert (verified.records, verified.first, verified.last) == (9, 1, 9)
    assert verify_chain(chain(), verified.hash) == verified
    assert verify_chain([]).records == 0


def test_every_changed_byte_is_found() -> None:
    """Each byte of one record, changed in its lowest bit; what it becomes need not be text."""
    lines = chain(3)
    content = lines[1].encode()
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        line = changed.decode("utf-8", "surrogateescape")
        with pytest.raises(AuditLogAltered) as told:
            verify_chain([lines[0], line, lines[2]])
        # A number that is another one is told as the record that is missing.
        assert told.value.sequence == 2, (place, line)


@pytest.mark.parametrize(
    ("alter", "sequence"),
    [
        pytest.param(lambda lines: [*lines[:3], *lines[4:]], 4, id="a record is removed"),
        pytest.param(lambda lines: lines[2:], 2, id="the first ones are removed"),
        pytest.param(lambda lines: [*lines[:3], lines[2], *lines[3:]], 3, id="a record is repeated"),
        pytest.param(lambda lines: [lines[1], lines[0], *lines[2:]], 1, id="two are swapped"),
        pytest.param(lambda lines: [*lines[:3], "", *lines[3:]], 4, id="a line is empty"),
        pytest.param(lambda lines: [*lines[:3], "[" * 100_000, *lines[4:]], 4, id="a line is hostile"),
        pytest.param(lambda lines: [*lines[:3], "7", *lines[4:]], 4, id="a line is no object"),
        pytest.param(lambda lines: [*lines[:3], lines[3].replace(":", ": "), *lines[4:]], 4, id="other JSON"),
    ],
)
def test_the_altered_record_is_named(alter: Callable[[list[str]], list[str]], sequence: int) -> None:
    with pytest.raises(AuditLogAltered) as told:
        verify_chain(alter(chain()))
    assert told.value.sequence == sequence


def test_a_removed_end_is_found_by_a_hash_that_was_noted_before() -> None:
    noted = verify_chain(chain()).hash
    assert verify_chain(chain(8)).records == 8
    with pytest.raises(AuditLogAltered, match="the last ones were removed") as told:
        verify_chain(chain(8), noted)
    assert told.value.sequence == 9


def test_a_record_whose_hash_was_made_anew_is_found_at_the_next_one() -> None:
    lines = chain()
    forged = lines[3].replace('"actor":"local"', '"actor":"other"')
    assert forged != lines[3]
    content = forged[: forged.index(',"hash"')] + forged[forged.index(',"object"') :]
    hashed = hash_of(json.loads(content))
    forged = forged.replace(lines[3].split('"hash":"')[1][:64], hashed)
    with pytest.raises(AuditLogAltered, match="does not follow") as told:
        verify_chain([*lines[:3], forged, *lines[4:]])
    assert told.value.sequence == 5
