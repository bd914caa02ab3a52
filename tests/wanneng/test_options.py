"""What options with numbers take, of every command."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from wanneng.__main__ import app

CHECKED_ELSEWHERE = {"serve": "by its settings", "quota": "by the control plane", "budget": "by the control plane"}


def commands(of: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Callable[..., Any]]]:
    for command in of.registered_commands:
        assert command.callback is not None
        yield (*path, command.name or command.callback.__name__), command.callback
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, (*path, str(group.name)))


def numbers() -> Iterator[tuple[str, type, Any]]:
    """Each option that takes a number: its command and name, its type, and what it is declared as."""
    for path, callback in commands(app):
        if path[-1] in CHECKED_ELSEWHERE:
            continue
        hints = typing.get_type_hints(callback, include_extras=True)
        for name in inspect.signature(callback).parameters:
            annotated, *declared = typing.get_args(hints[name]) or (hints[name],)
            kinds = {annotated, *typing.get_args(annotated)} & {int, float}
            if kinds and declared:
                yield f"{' '.join(path)} --{name.replace('_', '-')}", kinds.pop(), declared[0]


def test_every_option_with_a_number_has_a_least_one_and_refuses_nan() -> None:
    found = {name: (kind, option) for name, kind, option in numbers()}
    assert len(found) > 25
    assert [name for name, (_, option) in found.items() if option.min is None] == []
    assert [name for name, (kind, option) in found.items() if kind is float and option.callback is None] == []


@pytest.mark.parametrize("value", ["nan", "-1", "inf"])
@pytest.mark.parametrize(
    "command",
    [
        ("classify", "x", "--wait-s"),
        ("engine", "wait", "/nowhere", "--timeout-s"),
        ("key", "rotate", "k", "--overlap-s"),
    ],
)
def test_a_time_is_a_finite_number(command: tuple[str, ...], value: str) -> None:
    done = CliRunner().invoke(app, [*command, value])
    assert (done.exit_code, command[-1] in done.output) == (2, True)
