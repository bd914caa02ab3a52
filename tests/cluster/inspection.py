"""What a Pod may do and gives away, as JSON. Run by a test in a Pod of the release, where it has no other module.

Secrets come on standard input: an argument would itself be found.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

KEPT_IN = {"tmpfs", "ext4", "xfs", "btrfs"}
"""Kinds of file systems that volumes are. The root is the image's, which has no secrets."""
WRITTEN = ("/", "/etc", "/opt/wanneng", "/opt/venv/bin", "/usr/local/bin", "/var", "/run")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io")
MAX_BYTES = 200_000_000


def main() -> None:
    """Prints the options of the root file system, the rights of the process, and files with secrets."""
    secrets = {name: value.encode() for name, value in json.load(sys.stdin).items()}
    mounts = [line.split()[1:4] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    status = dict(line.split(":\t", 1) for line in Path("/proc/1/status").read_text(encoding="utf-8").splitlines())
    folders = [Path(path) for path, kind, _ in mounts if kind in KEPT_IN and path != "/"]
    found = {str(path): contained(path, secrets) for path in [*processes(), *files(folders)]}
    json.dump(
        {
            "root": next(options.split(",") for path, _, options in mounts if path == "/"),
            "written": [folder for folder in WRITTEN if can_write(folder)],
            "token": SERVICE_ACCOUNT.exists(),
            "status": {name: value.strip() for name, value in status.items()},
            "found": {path: names for path, names in found.items() if names},
            "others": [path for path, names in found.items() if names and others_read(Path(path))],
        },
        sys.stdout,
    )


def processes() -> list[Path]:
    """Arguments and environments."""
    return [each / name for each in Path("/proc").glob("[0-9]*") for name in ("cmdline", "environ")]


def files(places: list[Path]) -> list[Path]:
    return [
        path
        for place in places
        for path in ([place] if place.is_file() else place.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]


def contained(path: Path, secrets: dict[str, bytes]) -> list[str]:
    """Names of the secrets in a file; none where even its owner cannot read it, or the process has ended."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
    except OSError:
        return []
    return [name for name, value in secrets.items() if value in content]


def others_read(path: Path) -> bool:
    """By the modes of the file and of the folders above it."""
    return bool(path.stat().st_mode & 0o004) and all(each.stat().st_mode & 0o001 for each in path.parents)


def can_write(folder: str) -> bool:
    file = Path(folder, f"written-{os.getpid()}")
    try:
        file.touch()
    except OSError:
        return False
    file.unlink()
    return True


if __name__ == "__main__":
    main()
