"""An engine's folder, asked in process with the code that serves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wanneng.checkout import needing
from wanneng.errors import CommandError
from wanneng.evaluation.targets import Answers, Progress, Question, Scored
from wanneng.text_io import shown_name

MAX_RUN_PAIRS = 64
"""Pairs that are tokenized together, at least those of one text."""


class EngineTarget:
    """`CommandError` if the folder has no engine."""

    def __init__(self, folder: Path) -> None:
        self.name = shown_name(folder.resolve())
        with needing("serve.txt"):
            from engine.verification.served_engine import ServedEngine  # noqa: PLC0415
            from python_backend.manifest import load_manifest  # noqa: PLC0415

            self._engine = ServedEngine(folder)
            self._engine_id = load_manifest(folder).engine_id

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "engine", "name": self.name}

    def ask(self, question: Question, texts: Sequence[str], progress: Progress) -> Answers:
        answers = self._answers(question, texts, progress)
        return Answers([question.prediction(labels, scores) for labels, scores in answers], self._engine_id)

    def score(self, question: Question, texts: Sequence[str], progress: Progress) -> Scored:
        answers = self._answers(question, texts, progress)
        return Scored([question.scores(labels, scores) for labels, scores in answers], self._engine_id)

    def _answers(
        self, question: Question, texts: Sequence[str], progress: Progress
    ) -> Iterator[tuple[Sequence[str], Sequence[float]]]:
        """The labels and scores of each text, best first."""
        if question.label_set is not None:
            raise CommandError(
                f"{self.name} is an engine's folder and has no label sets; use --url with --label-set"
            )
        wordings = tuple(question.wordings.values())
        run_texts = max(MAX_RUN_PAIRS // len(wordings), 1)
        with needing("serve.txt"):
            from engine.verification.reference import Case  # noqa: PLC0415

            for start in range(0, len(texts), run_texts):
                cases = [
                    Case(text, wordings, question.template or "", question.multi_label)
                    for text in texts[start : start + run_texts]
                ]
                for answer in self._engine.answers(cases):
                    yield answer.labels, answer.scores
                    progress()
