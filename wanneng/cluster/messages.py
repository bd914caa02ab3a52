"""What a container or Kubernetes said last, as one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

MAX_CHARACTERS = 300
FAILURES = ("error", "critical")
TRITON_STATE = re.compile(r"(?:UNAVAILABLE|UNLOADING): (.*)", re.DOTALL)


def shortened(message: str) -> str:
    """On one line, without the full stop."""
    return " ".join(message.split())[:MAX_CHARACTERS].rstrip(".")


def last_words(log: str) -> str:
    """The sentence for which a container ended, from the end of its log; empty where there is none.

    Of several records the last one of a failure counts. Of Triton's tables only the reason of a model is kept.
    """
    records = [_record(line) for line in log.strip().splitlines()]
    failures = [message for level, message in filter(None, records) if level in FAILURES]
    messages = failures or [message for _, message in filter(None, records)]
    # A cut record is no sentence.
    text = messages[-1] if messages else "\n".join(line for line in log.splitlines() if not line.startswith('{"'))
    return shortened(_without_tables(text))


def _record(line: str) -> tuple[str, str] | None:
    try:
        record = json.loads(line)
        return str(record.get("level", "")), str(record["message"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _without_tables(text: str) -> str:
    lines = text.splitlines()
    reasons = list(_models_that_failed([line.strip() for line in lines if line.lstrip().startswith("|")]))
    sentences = [line for line in lines if line.strip() and not line.lstrip().startswith(("|", "+"))]
    return "; ".join(reasons) if reasons else "\n".join(sentences)


def _models_that_failed(rows: list[str]) -> Iterator[str]:
    """Of Triton's table of models. A long reason goes on in rows whose other cells are empty."""
    name, reason = "", ""
    for row in [*rows, "| end | | |"]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if cells[0]:
            found = TRITON_STATE.match(reason)
            if found:
                yield f"the model {name} cannot be loaded: {shortened(found[1])}"
            name, reason = cells[0], cells[-1]
        else:
            reason += f" {cells[-1]}"
