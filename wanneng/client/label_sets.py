"""A tenant's label sets: `client.label_sets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import httpx

from wanneng.client.transport import AsyncTransport, Listing, Request, Transport, json_object, nothing, quoted

PATH = "/v1/label-sets"


@dataclass(frozen=True, slots=True)
class SetLabel:
    """A label of a set; without a hypothesis of its own, the template makes it."""

    label: str
    hypothesis: str | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """Changes the model's logits for the labels of a set; made by `wanneng calibrate`."""

    biases: tuple[float, ...]
    """One for each label, in their order."""
    temperature: float = 1.0
    map: tuple[tuple[float, ...], ...] | None = None
    """A row for each label, of one weight for each label."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a version answered to sample texts before it was saved; its threshold does not apply to `correct`."""

    evaluated_at: datetime
    model_version: str | None
    """Of the engine that answered; None: not all answers are of one."""
    texts: int
    labelled: int = 0
    """Texts whose right label is known."""
    correct: int = 0
    """Of the labelled texts, those whose best label is the right one."""
    none_of_these: int = 0
    """Texts whose best label is below the threshold."""
    compared_with: int | None = None
    """The version whose answers to the same texts were compared."""
    changed: int | None = None
    """Texts whose answer differs from that of `compared_with`."""
    in_sample: bool = False
    """Whether the version's correction was learned from the same texts, which flatters it."""

    @property
    def accuracy(self) -> float | None:
        """Share of the labelled texts; None without any."""
        return self.correct / self.labelled if self.labelled else None


@dataclass(frozen=True, slots=True)
class LabelSet:
    """One version of a set; it never changes."""

    name: str
    version: int
    labels: tuple[SetLabel, ...]
    hypothesis_template: str
    multi_label: bool
    max_tokens: int | None
    threshold: float | None
    """Probability of entailment below which a text is none of these."""
    special_tokens: str | None
    """`model` or `text`: what `[SEP]` and its like are; None: as the tenant says."""
    correction: Correction | None
    """None: scores are the model's own."""
    created_at: datetime
    evaluation: Evaluation | None = None
    """None: nobody has counted."""

    @property
    def reference(self) -> str:
        """What pins this version: `tickets@3`."""
        return f"{self.name}@{self.version}"


class LabelSets:
    """Every change names the version that the writer has seen, None where there was no set.

    When that is not the newest it is refused with `precondition_failed`, and nobody's change is lost.
    """

    def __init__(self, transport: Transport) -> None:
        self._send, self._each = transport.send, transport.each

    def list(self) -> Sequence[LabelSet]:
        """The newest version of each."""
        return [*self._each(_all(PATH))]

    def get(self, reference: str) -> LabelSet:
        """`tickets` is the newest version, `tickets@3` that one."""
        return self._send(_get(reference))

    def versions(self, name: str) -> Sequence[LabelSet]:
        """Newest first."""
        return [*self._each(_all(f"{_path(name)}/versions"))]

    def put(
        self,
        name: str,
        labels: Sequence[str | SetLabel],
        *,
        hypothesis_template: str = "{}",
        multi_label: bool = False,
        max_tokens: int | None = None,
        threshold: float | None = None,
        special_tokens: str | None = None,
        correction: Correction | None = None,
        evaluation: Evaluation | None = None,
        replaces: int | None = None,
    ) -> LabelSet:
        """Make a version; `replaces` is the newest one."""
        body = _body(labels, hypothesis_template, multi_label, max_tokens, threshold, special_tokens)
        body |= _learned(correction, evaluation)
        return self._send(_change("PUT", _path(name), body, replaces))

    def rollback(self, name: str, version: int, *, replaces: int) -> LabelSet:
        """Make a version that says what `version` says; `replaces` is the newest one."""
        return self._send(_change("POST", f"{_path(name)}/rollback", {"version": version}, replaces))

    def delete(self, name: str) -> None:
        """All versions of it."""
        self._send(Request("DELETE", _path(name), nothing))


class AsyncLabelSets:
    """As `LabelSets`, to be awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._send, self._each = transport.send, transport.each

    async def list(self) -> Sequence[LabelSet]:
        return [label_set async for label_set in self._each(_all(PATH))]

    async def get(self, reference: str) -> LabelSet:
        return await self._send(_get(reference))

    async def versions(self, name: str) -> Sequence[LabelSet]:
        return [version async for version in self._each(_all(f"{_path(name)}/versions"))]

    async def put(
        self,
        name: str,
        labels: Sequence[str | SetLabel],
        *,
        hypothesis_template: str = "{}",
        multi_label: bool = False,
        max_tokens: int | None = None,
        threshold: float | None = None,
        special_tokens: str | None = None,
        correction: Correction | None = None,
        evaluation: Evaluation | None = None,
        replaces: int | None = None,
    ) -> LabelSet:
        body = _body(labels, hypothesis_template, multi_label, max_tokens, threshold, special_tokens)
        body |= _learned(correction, evaluation)
        return await self._send(_change("PUT", _path(name), body, replaces))

    async def rollback(self, name: str, version: int, *, replaces: int) -> LabelSet:
        return await self._send(_change("POST", f"{_path(name)}/rollback", {"version": version}, replaces))

    async def delete(self, name: str) -> None:
        await self._send(Request("DELETE", _path(name), nothing))


def _all(path: str) -> Listing[LabelSet]:
    return Listing(path, "label_sets", _label_set)


def _get(reference: str) -> Request[LabelSet]:
    return Request("GET", _path(reference), _parsed, changes=False)


def _change(method: str, path: str, body: dict[str, Any], replaces: int | None) -> Request[LabelSet]:
    headers = {} if replaces is None else {"If-Match": f'"{replaces}"'}
    return Request(method, path, _parsed, {"json": body, "headers": headers})


def _path(reference: str) -> str:
    return f"{PATH}/{quoted(reference, safe='@')}"


def _body(
    labels: Sequence[str | SetLabel],
    hypothesis_template: str,
    multi_label: bool,
    max_tokens: int | None,
    threshold: float | None,
    special_tokens: str | None,
) -> dict[str, Any]:
    return {
        "labels": [
            label if isinstance(label, str) else {"label": label.label, "hypothesis": label.hypothesis}
            for label in labels
        ],
        "hypothesis_template": hypothesis_template,
        "multi_label": multi_label,
        "max_tokens": max_tokens,
        "threshold": threshold,
        "special_tokens": special_tokens,
    }


def _learned(correction: Correction | None, evaluation: Evaluation | None) -> dict[str, Any]:
    return {
        "correction": None if correction is None else asdict(correction),
        "evaluation": evaluation
        and asdict(evaluation) | {"evaluated_at": evaluation.evaluated_at.astimezone(UTC).isoformat()},
    }


def _parsed(response: httpx.Response) -> LabelSet:
    return _label_set(json_object(response))


def _label_set(item: dict[str, Any]) -> LabelSet:
    return LabelSet(
        item["name"],
        item["version"],
        tuple(SetLabel(label["label"], label.get("hypothesis")) for label in item["labels"]),
        item["hypothesis_template"],
        item["multi_label"],
        item["max_tokens"],
        item["threshold"],
        item["special_tokens"],
        _correction(item["correction"]),
        datetime.fromisoformat(item["created_at"]),
        _evaluation(item["evaluation"]),
    )


def _correction(item: dict[str, Any] | None) -> Correction | None:
    if item is None:
        return None
    rows = item["map"]
    return Correction(
        tuple(item["biases"]), item["temperature"], None if rows is None else tuple(map(tuple, rows))
    )


def _evaluation(item: dict[str, Any] | None) -> Evaluation | None:
    if item is None:
        return None
    known = {field.name: item[field.name] for field in fields(Evaluation)}
    return Evaluation(**known | {"evaluated_at": datetime.fromisoformat(item["evaluated_at"])})
