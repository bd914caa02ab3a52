"""Wordings of labels that may be easier to tell apart: by rule, and those that the caller wants to try."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from wanneng.errors import CommandError

CHINESE_RULES = ("{}类", "{}问题", "{}相关", "关于{}")
OTHER_RULES = ("{} issue", "about {}", "related to {}")
CATCH_ALL = frozenset(
    (
        "其他",
        "其它",
        "别的",
        "其余",
        "以上都不是",
        "都不是",
        "无",
        "other",
        "others",
        "else",
        "none",
        "misc",
        "rest",
    )
)
"""Labels for whatever no other label is for."""


def is_catch_all(label: str) -> bool:
    return normalized(label) in CATCH_ALL


def by_rule(label: str) -> list[str]:
    """For a label in Chinese, or else in another language."""
    chinese = any("\u4e00" <= character <= "\u9fff" for character in label)
    return [rule.format(label) for rule in (CHINESE_RULES if chinese else OTHER_RULES)]


def parse(given: Iterable[str], labels: Sequence[str]) -> dict[str, list[str]]:
    """`label=wording`, by label. `CommandError` for another form, an unknown label, or a wording that is taken."""
    wanted: dict[str, list[str]] = {}
    for option in given:
        label, separator, wording = (part.strip() for part in option.partition("="))
        if not (separator and label and wording):
            raise CommandError(f"--try {option!r} is not LABEL=WORDING, such as 退款=申请退款")
        if label not in labels:
            raise CommandError(f"--try {option!r}: {label!r} is none of the labels {', '.join(labels)}")
        if normalized(wording) in map(normalized, labels):
            raise CommandError(f"--try {option!r}: {wording!r} is a label already; try another wording")
        wanted.setdefault(label, []).append(wording)
    return wanted


def candidates(
    labels: Sequence[str], doubtful: Sequence[str], wanted: Mapping[str, Sequence[str]], most: int
) -> dict[str, str]:
    """By wording the label that it is for: those that are wanted, then those by rule for the doubtful labels.

    At most `most`, without wordings that the gateway takes for the same. `CommandError` if more are wanted.
    """
    given = [(wording, label) for label, wordings in wanted.items() for wording in wordings]
    if len({normalized(wording) for wording, _ in given}) > most:
        raise CommandError(f"--try names {len(given)} wordings, at most {most} with {len(labels)} labels")
    ruled = [(wording, label) for label in doubtful for wording in by_rule(label)]
    taken = set(map(normalized, labels))
    chosen: dict[str, str] = {}
    for wording, label in given + ruled:
        if normalized(wording) not in taken and len(chosen) < most:
            taken.add(normalized(wording))
            chosen[wording] = label
    return chosen


def normalized(wording: str) -> str:
    """The same for wordings that differ in blanks around, full-width letters or case."""
    return unicodedata.normalize("NFKC", wording).strip().casefold()
