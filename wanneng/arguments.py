"""Text that a command is given is UTF-8, or is refused by the name of its argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from wanneng.client.streams import has_surrogates
from wanneng.errors import CommandError

MAY_BE_PATH = "may be a path"
"""Annotates text that may name a folder, whose name need not be UTF-8."""


def check_texts(app: typer.Typer) -> None:
    """Let each command of `app` and of its groups refuse text that is not UTF-8, before it does anything."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            check_texts(group.typer_instance)
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _checked(command.callback)


def _checked(run: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run)
    def checked(**arguments: Any) -> Any:
        _check_utf8(run, arguments)
        return run(**arguments)

    return checked


def _check_utf8(run: Callable[..., Any], arguments: Mapping[str, object]) -> None:
    """`CommandError` names the argument that has bytes which are not UTF-8: Python reads them as surrogates."""
    for name, given in arguments.items():
        for value in given if isinstance(given, list | tuple) else [given]:
            if not isinstance(value, str) or not has_surrogates(value):
                continue
            metadata = getattr(get_type_hints(run, include_extras=True)[name], "__metadata__", ())
            if MAY_BE_PATH not in metadata:
                said = f"{_written(run, name, metadata)} is {value!r}, which is not valid UTF-8"
                raise CommandError(f"{said}; use a terminal in UTF-8")


def _written(run: Callable[..., Any], name: str, metadata: tuple[object, ...]) -> str:
    """As on the command line: the flag of an option, or the name of an argument as in the help."""
    described = next((each for each in metadata if isinstance(each, ParameterInfo)), None)
    is_required = inspect.signature(run).parameters[name].default is inspect.Parameter.empty
    if isinstance(described, ArgumentInfo) or (described is None and is_required):
        return name.upper()
    # Typer takes the first flag of an annotation for a default.
    flags = (described.default, *(described.param_decls or ())) if isinstance(described, OptionInfo) else ()
    declared = (flag for flag in flags if isinstance(flag, str) and flag.startswith("--"))
    return next(declared, f"--{name.replace('_', '-')}")
