"""`python -m engine`: builds an engine from a snapshot, or a snapshot from an engine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.build import build_engine, restore_snapshot
from engine.errors import BuildError


def main() -> None:
    """Exit code 1 and one sentence when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="a ModelScope snapshot becomes an engine folder")
    build.add_argument("source", type=Path)
    build.add_argument("--output", type=Path, required=True)
    build.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    build.add_argument("--name", default=None, help="what answers call the model; the source's name by default")
    snapshot = commands.add_parser("snapshot", help="an engine folder becomes a ModelScope snapshot")
    snapshot.add_argument("source", type=Path)
    snapshot.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    try:
        if options.command == "build":
            name = options.name or options.source.resolve().name
            build_engine(options.source, options.output, name=name, precision=options.precision)
        else:
            restore_snapshot(options.source, options.output)
    except BuildError as error:
        sys.exit(f"engine: {error}")


if __name__ == "__main__":
    main()
