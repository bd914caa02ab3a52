"""One record of a log: as a line of JSON for programs, or as text for people.

Whatever a message contains, a JSON record is one line, and only the first line of a text record begins in the
first column: logged input cannot forge a record.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

Record = Mapping[str, Any]
"""`time`, `level`, `logger`, `message`, `host`, then any other fields; `exception` holds a traceback."""
DEBUG, INFO, WARNING, ERROR, CRITICAL = "debug", "info", "warning", "error", "critical"
MAX_CHARACTERS = 32_000
"""The longest message or traceback; the middle of a longer one is left out."""
HIDDEN = "***"

_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What JSON need not escape, but ends a line, changes the text direction or cannot be encoded."""
_CONTROL = re.compile(r"[\x00-\x1f]")
_SECRETS = (
    # In a URL, an Authorization header, a key of ours, and a `name=value` setting.
    # Schemes are short: without a bound, a message of `a.a.a.` would be read once from each of its letters.
    (re.compile(r"(\b[a-z][a-z0-9+.-]{,30}://[^\s:/@]*):[^\s/]+@", re.IGNORECASE), rf"\1:{HIDDEN}@"),
    (re.compile(r"\b(bearer|basic) +[^\s'\",]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(wn_[A-Za-z0-9]+)_[A-Za-z0-9]+"), rf"\1_{HIDDEN}"),
    (re.compile(r"\b(password|passwd|secret)=[^\s&'\",]+", re.IGNORECASE), rf"\1={HIDDEN}"),
)


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds; `seconds` as from `time.time`."""
    milliseconds = int(seconds * 1_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1_000)) + f".{milliseconds % 1_000:03d}Z"


@cache
def host() -> str:
    """Where this process runs: in Kubernetes, the name of its Pod."""
    return socket.gethostname()


def record(seconds: float, level: str, logger: str, message: str, **more: Any) -> dict[str, Any]:
    """A record with secrets masked and each text limited to `MAX_CHARACTERS`."""
    return {
        "time": timestamp(seconds),
        "level": level,
        "logger": logger,
        "message": safe(message),
        "host": host(),
        **{name: safe(value) if isinstance(value, str) else value for name, value in more.items()},
    }


def safe(text: str) -> str:
    """`text` with passwords and keys masked, and shortened if it is too long."""
    if len(text) > MAX_CHARACTERS:
        half = MAX_CHARACTERS // 2
        text = f"{text[:half]}\n… {len(text) - MAX_CHARACTERS} characters …\n{text[-half:]}"
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def json_line(entry: Record) -> str:
    """Without a line break at its end."""
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), default=str)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def text_line(entry: Record) -> str:
    """The same for people, who know their machine: the message, then the other fields; a traceback is indented
    below.
    """
    rest = dict(entry)
    head = [str(rest.pop(name, "")) for name in ("time", "level", "logger")]
    message, exception = str(rest.pop("message", "")), rest.pop("exception", None)
    rest.pop("host", None)
    fields = "".join(
        f" {name}={json.dumps(value, ensure_ascii=False, default=str)}" for name, value in rest.items()
    )
    line = f"{head[0]} {head[1].upper():8} {head[2]}: {_on_one_line(message)}{_on_one_line(fields)}"
    if exception is None:
        return line
    return "\n".join([line, *(f"    {_on_one_line(part)}" for part in str(exception).split("\n"))])


def _on_one_line(text: str) -> str:
    escaped = _CONTROL.sub(lambda match: json.dumps(match[0])[1:-1], text)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)
