"""Asks an engine's folder in process, with the code that Triton's Python models run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import TargetError
from engine.verification.reference import Answer, Case
from python_backend.engine import load_engine, run_requests
from python_backend.errors import BackendError
from python_backend.hypotheses import hypotheses
from python_backend.manifest import Manifest, load_manifest
from python_backend.rows import Rows, check_rows
from python_backend.scoring import rank
from python_backend.tokenization import PairEncoder, load_tokenizer

CASES_PER_RUN = 8
"""Requests whose rows are merged, as in Triton's batches."""


class ServedEngine:
    """The steps of Triton's ensemble on the files of an engine's folder: encode, run, rank."""

    def __init__(self, folder: Path) -> None:
        try:
            self._manifest = load_manifest(folder)
            self._encoder = encoder_of(folder, self._manifest)
            self._engine = load_engine(folder, self._manifest)
        except BackendError as error:
            raise TargetError(str(error)) from None

    def answers(self, cases: Sequence[Case]) -> list[Answer]:
        """In the order of the cases; `TargetError` where one is refused or the engine fails."""
        answers = []
        for start in range(0, len(cases), CASES_PER_RUN):
            answers += self._answers(cases[start : start + CASES_PER_RUN])
        return answers

    def _answers(self, cases: Sequence[Case]) -> list[Answer]:
        try:
            requests = [self._rows(case) for case in cases]
            logits = run_requests(self._engine, requests)
        except BackendError as error:
            raise TargetError(str(error)) from None
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has no common base class for its errors
            raise TargetError(f"the engine fails on the reference: {error}") from None
        return [
            answer_of(case, rows, case_logits)
            for case, rows, case_logits in zip(cases, requests, logits, strict=True)
        ]

    def _rows(self, case: Case) -> Rows:
        pairs = hypotheses(case.labels, case.template or self._manifest.default_template)
        encoded = self._encoder.encode(case.text, pairs, self._manifest.max_tokens)
        rows = {
            "input_ids": encoded.input_ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.token_type_ids,
        }
        check_rows(rows, self._manifest)
        return rows


def encoder_of(folder: Path, manifest: Manifest) -> PairEncoder:
    """The encoder of an engine's folder."""
    return PairEncoder(
        load_tokenizer(folder),
        truncation=manifest.truncation,
        token_types=manifest.token_types,
        cached_hypotheses=0,
    )


def answer_of(case: Case, rows: Rows, logits: NDArray[np.float32]) -> Answer:
    """The answer to a case, ranked as Triton's `rank` does."""
    ranking = rank(logits, multi_label=case.multi_label)
    ids = tuple(
        tuple(row[mask.astype(bool)].tolist())
        for row, mask in zip(rows["input_ids"], rows["attention_mask"], strict=True)
    )
    return Answer(
        tuple(case.labels[index] for index in ranking.order), tuple(map(float, ranking.scores)), ids, logits
    )
