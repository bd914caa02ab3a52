"""Cases with the answers of the model's own pipeline, in a JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import TargetError

FILE_NAME = "reference.json"


@dataclass(frozen=True, slots=True)
class Case:
    """A request."""

    text: str
    labels: tuple[str, ...]
    template: str = ""
    """Empty: the engine's default."""
    multi_label: bool = False
    foreign: bool = False
    """In a language that the model is not for: its best label counts only where it leads clearly."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to a case."""

    labels: tuple[str, ...]
    """Best first."""
    scores: tuple[float, ...]
    """In the order of `labels`."""
    ids: tuple[tuple[int, ...], ...]
    """Token ids of each pair, in the order of the case's labels, without padding."""
    logits: NDArray[np.float32]
    """`[labels, 3]` float32, in the order of the case's labels: entailment, neutral, contradiction."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Cases, and the answers of the model's own pipeline."""

    cases: Sequence[Case]
    answers: Sequence[Answer]
    pipeline: str
    """What answered, such as `modelscope 1.40.2`."""
    weights_sha256: str
    """Digest of the weights that answered."""

    @property
    def pairs(self) -> int:
        return sum(len(case.labels) for case in self.cases)

    def save(self, path: Path) -> None:
        """Write the reference, one case on each line."""
        lines = [
            json.dumps(
                asdict(case)
                | {
                    "ranked_labels": answer.labels,
                    "scores": [round(score, 9) for score in answer.scores],
                    "ids": answer.ids,
                    "logits": [[round(float(value), 7) for value in row] for row in answer.logits],
                },
                ensure_ascii=False,
            )
            for case, answer in zip(self.cases, self.answers, strict=True)
        ]
        head = json.dumps({"pipeline": self.pipeline, "weights_sha256": self.weights_sha256})
        text = f'{head.removesuffix("}")}, "cases": [\n' + ",\n".join(lines) + "\n]}\n"
        path.write_text(text, encoding="utf-8")


def load_reference(path: Path) -> Reference:
    """Read a file of `Reference.save`; `TargetError` if it is missing or of another kind."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cases, answers = [], []
        for item in content["cases"]:
            labels = tuple(map(str, item["labels"]))
            logits = np.array(item["logits"], dtype=np.float32).reshape(len(labels), 3)
            options = bool(item["multi_label"]), bool(item.get("foreign"))
            cases.append(Case(str(item["text"]), labels, str(item["template"]), *options))
            ids = tuple(tuple(map(int, row)) for row in item["ids"])
            answer = Answer(tuple(item["ranked_labels"]), tuple(map(float, item["scores"])), ids, logits)
            if sorted(answer.labels) != sorted(labels) or len(answer.scores) != len(labels) != len(ids):
                raise ValueError("a case has another number of labels than its answer")
            answers.append(answer)
        if not cases:
            raise ValueError("it has no cases")
        return Reference(cases, answers, str(content["pipeline"]), str(content["weights_sha256"]))
    except FileNotFoundError:
        raise TargetError(f"{path} is missing: `wanneng engine reference` writes it") from None
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise TargetError(f"{path} is not a file of `wanneng engine reference`: {error}") from None
