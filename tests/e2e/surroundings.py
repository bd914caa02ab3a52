"""What a machine can be like, made on this one: mounts of a process's own, limits, locales, other users."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.server import ROOT, Server

GOLDEN_ENGINE = ROOT / "tests/golden/small"
BODY = {"text": "这个手机质量太差，要求退款", "labels": "投诉,咨询,建议"}
REFUSAL_TIMEOUT_S = 30


@dataclass(frozen=True)
class Surroundings:
    """`name` is what the matrix shows; `emulated`, how it is made here."""

    name: str
    setup: str = ""
    """Shell, run as root in a mount namespace of the server's own; `$FOLDER` is the test's."""
    settings: dict[str, str] = field(default_factory=dict)
    """Variables of the server; `$FOLDER` as above."""
    without: frozenset[str] = frozenset()
    state: str = "$FOLDER/state"
    engine: str = str(GOLDEN_ENGINE)
    refusal: str = ""
    """What it says where it cannot work: a regular expression."""
    emulated: str = ""
    user: int = 0
    network: bool = False
    """In a network of its own, in which nothing is up."""
    short: bool = False
    """Whether it is part of `make check`."""

    @property
    def line(self) -> str:
        return f"{self.name} (emulated: {self.emulated})" if self.emulated else self.name


def server_in(surroundings: Surroundings, folder: Path) -> Server:
    """Not started yet."""

    def place(text: str) -> str:
        return text.replace("$FOLDER", str(folder))

    script = f'{place(surroundings.setup) or "true"}; exec "$@"'
    unshare = ["unshare", "--mount", *(["--net"] if surroundings.network else [])]
    if os.geteuid() != 0:
        unshare.append("--map-root-user")
    prefix = [*unshare, "sh", "-ec", script, "sh"]
    if surroundings.user:
        user = str(surroundings.user)
        prefix += ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs"]
    return Server(
        Path(place(surroundings.state)),
        Path(place(surroundings.engine)),
        settings={name: place(value) for name, value in surroundings.settings.items()},
        without=surroundings.without,
        prefix=tuple(prefix),
    )


def outcome(surroundings: Surroundings, folder: Path) -> str:
    """What happened, in a few words; `AssertionError` unless it answers, or says what it lacks."""
    server, began = server_in(surroundings, folder), time.monotonic()
    server.start()
    if surroundings.refusal:
        printed, _ = server.process.communicate(timeout=REFUSAL_TIMEOUT_S)
        seconds = time.monotonic() - began
        said: str = json.loads(printed.splitlines()[-1])["message"]
        assert server.process.returncode == 1, printed
        assert "Traceback" not in printed, printed
        assert "starting Triton" not in printed, "it was noticed too late"
        assert re.search(surroundings.refusal, said), said
        said = said.replace(str(ROOT), "CHECKOUT").replace(str(folder), "FOLDER")
        return f"refused after {seconds:.1f} s: {said}"
    try:
        server.wait_until_ready()
        seconds = time.monotonic() - began
        answer = server.classify(**BODY)
        assert answer.status_code == 200, answer.text
        code, _ = server.stop()
        assert code == 0
    finally:
        if server.process.poll() is None:
            server.stop()
    return f"answers; ready after {seconds:.0f} s"


MOUNTS = "mounts of its own"
READ_ONLY_CHECKOUT = f"mount --bind '{ROOT}' '{ROOT}' && mount -o remount,ro,bind '{ROOT}'"
OTHER_LETTERS = "$FOLDER/状态 'a' $(b)"
COPIED_ENGINE = f"cp -r '{GOLDEN_ENGINE}' \"$FOLDER/引擎 1\""
PROXY = "http://127.0.0.1:1"
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), PROXY)
GBK = {"LOCPATH": "$FOLDER", "LC_ALL": "zh_CN.GBK", "PYTHONUTF8": "0"}
MAKE_GBK = "localedef -i zh_CN -f GBK $FOLDER/zh_CN.GBK"
C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
FULL = "mount -t tmpfs -o size=64m tmpfs /dev/shm && head -c 64M /dev/zero"
ANYBODY = 65_532
"""The user of the images, whom this machine does not know."""

MATRIX = [
    Surroundings("nothing unusual"),
    Surroundings(
        "locale GBK; state and engine under names with Chinese letters, blanks and quotes",
        f"{MAKE_GBK} && {COPIED_ENGINE}",
        GBK,
        state=OTHER_LETTERS,
        engine="$FOLDER/引擎 1",
        short=True,
    ),
    Surroundings(
        "locale C; state and engine under names with Chinese letters, blanks and quotes",
        COPIED_ENGINE,
        C,
        state=OTHER_LETTERS,
        engine="$FOLDER/引擎 1",
    ),
    Surroundings("locale UTF-8", settings={"LC_ALL": "C.UTF-8"}),
    Surroundings(
        "the compose file: a read-only root, /tmp of Docker's options with the state, an unknown user, no HOME",
        f"mount -t tmpfs -o noexec,nosuid,nodev tmpfs /tmp && {READ_ONLY_CHECKOUT} && "
        "mount -t tmpfs -o size=64m tmpfs /dev/shm",
        {"TMPDIR": "/tmp"},
        frozenset({"HOME"}),
        state="/tmp/wanneng",
        user=ANYBODY,
        emulated=f"{MOUNTS}, setpriv",
        short=True,
    ),
    Surroundings("/tmp noexec", "mount -t tmpfs -o noexec,nosuid tmpfs /tmp", emulated=MOUNTS),
    Surroundings(
        "/tmp read-only",
        "mount -t tmpfs tmpfs /tmp && mount -o remount,ro /tmp",
        refusal=r"Triton needs /tmp, which cannot be written to: Read-only file system; .*--tmpfs /tmp",
        emulated=MOUNTS,
        short=True,
    ),
    Surroundings(
        "/tmp full",
        "mount -t tmpfs -o size=1m,nr_inodes=1 tmpfs /tmp",
        refusal=r"Triton needs /tmp, which cannot be written to: No space left on device",
        emulated=MOUNTS,
    ),
    Surroundings("/dev/shm of 8 MB", "mount -t tmpfs -o size=8m tmpfs /dev/shm", emulated=MOUNTS),
    Surroundings(
        "/dev/shm of 2 MB",
        "mount -t tmpfs -o size=2m tmpfs /dev/shm",
        refusal=r"Triton needs 6 MiB of /dev/shm, where 2 MiB of 2 MiB are free; .*--shm-size=512m",
        emulated=MOUNTS,
    ),
    Surroundings(
        "/dev/shm left full by a server that was killed",
        f"{FULL} > /dev/shm/wanneng_1_0123abcd_segment || true",
        emulated=MOUNTS,
        short=True,
    ),
    Surroundings(
        "/dev/shm full of what others left",
        f"{FULL} > /dev/shm/psm_others || true",
        refusal=r"Triton needs 6 MiB of /dev/shm, where 0 MiB of 64 MiB are free; remove what other programs left",
        emulated=MOUNTS,
        short=True,
    ),
    Surroundings(
        "/dev/shm read-only",
        "mount -t tmpfs -o ro tmpfs /dev/shm",
        refusal=r"Triton needs /dev/shm, which cannot be written to; ",
        emulated=MOUNTS,
    ),
    Surroundings("a proxy in the environment", settings=PROXIES, short=True),
    Surroundings("the checkout read-only", READ_ONLY_CHECKOUT, emulated=MOUNTS),
    Surroundings(
        "the state folder read-only",
        READ_ONLY_CHECKOUT,
        state=str(ROOT / "build/state"),
        refusal=r"the state folder .* cannot be written to: (Read-only file system|No such).*--state-dir",
        emulated=MOUNTS,
    ),
    Surroundings(
        "the state folder on a full disk",
        "mkdir $FOLDER/full && mount -t tmpfs -o size=4k tmpfs $FOLDER/full && "
        "(head -c 1M /dev/zero > $FOLDER/full/other || true)",
        state="$FOLDER/full/state",
        refusal=r"the state folder .* cannot be written to: No space left on device",
        emulated=MOUNTS,
    ),
    Surroundings("HOME unset", without=frozenset({"HOME"})),
    Surroundings("HOME of somebody else", settings={"HOME": "/nonexistent"}, user=ANYBODY, emulated="setpriv"),
    Surroundings("umask 077", "umask 077"),
    Surroundings(
        "a parent that ignores SIGCHLD and blocks SIGTERM",
        'set -- env --ignore-signal=CHLD --block-signal=TERM,INT,CHLD "$@"',
    ),
    Surroundings(
        "no PATH; certificates of nowhere",
        settings={"SSL_CERT_FILE": "/nonexistent"},
        without=frozenset({"PATH"}),
        short=True,
    ),
    Surroundings("TMPDIR elsewhere", settings={"TMPDIR": "/nonexistent"}),
    Surroundings("a time zone that does not exist", settings={"TZ": "Nowhere/Land"}),
    Surroundings(
        "PYTHONPATH of another Python",
        "mkdir -p $FOLDER/p && echo 1/0 > $FOLDER/p/numpy.py",
        {"PYTHONPATH": "$FOLDER/p"},
    ),
    Surroundings("no /proc", "mount -t tmpfs tmpfs /proc", emulated=MOUNTS),
    Surroundings("one CPU of several", "taskset -p -c 0 $$ > /dev/null"),
    Surroundings("256 open files at first", "ulimit -S -n 256"),
    Surroundings(
        "64 open files",
        "ulimit -n 64",
        refusal=r"this process may open 64 files, and 512 are needed; .*ulimit -n",
        short=True,
    ),
    Surroundings(
        "files of 1 MB",
        "ulimit -f 2048",
        refusal=r"this process may write files of 1 MiB, and 64 MiB are needed; .*ulimit -f",
    ),
    Surroundings(
        "no loopback",
        network=True,
        refusal=r"talk over 127\.0\.0\.1, which cannot be used: .*ip link set lo up",
        emulated="a network of its own",
        short=True,
    ),
    Surroundings(
        "an IPv6 address where there is no IPv6",
        "ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
        {"WANNENG_HOST": "::1"},
        network=True,
        refusal=r"the gateway cannot listen on ::1:\d+: Cannot assign requested address",
        emulated="a network of its own",
    ),
    Surroundings("a state folder of 400 characters", state=f"$FOLDER/{'x' * 200}/{'y' * 200}"),
    Surroundings(
        "a key that no header can have",
        settings={"WANNENG_ADMIN_KEY": "…" * 40},
        refusal=r"WANNENG_ADMIN_KEY has a character that no header can have; .*openssl rand -hex 32",
    ),
    Surroundings("secrets that end in CRLF", settings={"WANNENG_ADMIN_KEY": "a" * 40 + "\r\n"}),
]
