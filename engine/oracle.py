"""Asks the model's own pipeline, ModelScope's or transformers', for what an engine must answer."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase, pipeline

from engine.errors import SnapshotError, reason_of
from engine.labels import CONTRADICTION, ENTAILMENT
from engine.recipe import ABSENT_LOGITS, LABEL_ORDER
from engine.snapshot import TASK, Snapshot
from engine.verification.reference import Answer, Case


class Oracle(Protocol):
    """The real pipeline of a model."""

    def answer(self, case: Case) -> Answer:
        """Of a case, whose template is not empty."""
        ...


def canonical(logits: NDArray[np.float32], order: Sequence[str]) -> NDArray[np.float32]:
    """`[n, 3]` in `LABEL_ORDER` from the model's own `[n, k]`; what it lacks is the constant of the graph."""
    columns = [
        logits[:, order.index(name)] if name in order else np.full(len(logits), ABSENT_LOGITS[name])
        for name in LABEL_ORDER
    ]
    stacked: NDArray[np.float32] = np.stack(columns, axis=1).astype(np.float32)
    return stacked


class ModelScopeOracle:
    """ModelScope's zero-shot pipeline on a staged snapshot of StructBERT."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        # Imported here, because ModelScope takes seconds and prints.
        from modelscope.models.nlp.structbert import SbertForSequenceClassification  # noqa: PLC0415
        from modelscope.pipelines import pipeline as modelscope_pipeline  # noqa: PLC0415
        from modelscope.preprocessors import Preprocessor  # noqa: PLC0415
        from modelscope.utils.logger import get_logger  # noqa: PLC0415

        get_logger(log_level=logging.ERROR).setLevel(logging.ERROR)
        # ModelScope keeps the prefix of one model for all that it loads afterwards.
        if "base_model_prefix" in vars(SbertForSequenceClassification):
            del SbertForSequenceClassification.base_model_prefix
        try:
            with redirect_stdout(io.StringIO()):
                self._preprocess = Preprocessor.from_pretrained(str(folder), sequence_length=max_tokens)
                self._pipeline = modelscope_pipeline(
                    TASK, model=str(folder), preprocessor=self._preprocess, device="cpu"
                )
        except Exception as error:  # noqa: BLE001 - ModelScope raises what its parts raise
            raise SnapshotError(f"ModelScope cannot load the snapshot: {reason_of(error)}") from None

    def answer(self, case: Case) -> Answer:
        options = {"candidate_labels": list(case.labels), "hypothesis_template": case.template}
        answer = self._pipeline(case.text, multi_label=case.multi_label, **options)
        rows = self._preprocess(case.text, **options)
        with torch.inference_mode():
            logits = self._pipeline.model(**rows)["logits"].numpy()
        return Answer(tuple(answer["labels"]), tuple(answer["scores"]), _ids(rows), logits)


class TransformersOracle:
    """The pipeline of transformers for zero-shot classification or, for a single logit, for pairs of texts."""

    def __init__(
        self, snapshot: Snapshot, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int
    ) -> None:
        self._order = snapshot.logits
        self._network = network
        self._tokenizer = tokenizer
        tokenizer.model_max_length = max_tokens
        network.config.label2id = {name: index for index, name in enumerate(snapshot.logits)}
        network.config.id2label = dict(enumerate(snapshot.logits))
        logging.getLogger("transformers").setLevel(logging.ERROR)
        task = "text-classification" if len(self._order) == 1 else TASK
        self._pipeline: Any = pipeline(task, model=network, tokenizer=tokenizer, device="cpu")

    def answer(self, case: Case) -> Answer:
        hypotheses = [case.template.replace("{}", label) for label in case.labels]
        strategy = "longest_first" if len(self._order) == 1 else "only_first"
        rows = [
            self._tokenizer(case.text, hypothesis, truncation=strategy, return_tensors="pt")
            for hypothesis in hypotheses
        ]
        with torch.inference_mode():
            logits = np.concatenate([self._network(**row).logits.float().numpy() for row in rows])
        labels, scores = self._scores(case, hypotheses, canonical(logits, self._order))
        return Answer(labels, scores, tuple(_ids(row)[0] for row in rows), canonical(logits, self._order))

    def _scores(
        self, case: Case, hypotheses: list[str], logits: NDArray[np.float32]
    ) -> tuple[tuple[str, ...], tuple[float, ...]]:
        each = case.multi_label or len(case.labels) == 1
        if len(self._order) > 1 and (not each or self._pipeline_finds_contradiction()):
            answer = self._pipeline(
                case.text,
                candidate_labels=list(case.labels),
                hypothesis_template=case.template,
                multi_label=case.multi_label,
            )
            return tuple(answer["labels"]), tuple(answer["scores"])
        if len(self._order) == 1 and each:
            pairs = [{"text": case.text, "text_pair": hypothesis} for hypothesis in hypotheses]
            answers = self._pipeline(pairs, truncation=True, function_to_apply="sigmoid", batch_size=1)
            scores = np.array([answer["score"] for answer in answers])
        elif each:
            scores = _softmax(logits[:, [LABEL_ORDER.index(CONTRADICTION), LABEL_ORDER.index(ENTAILMENT)]])[:, 1]
        else:
            scores = _softmax(logits[:, LABEL_ORDER.index(ENTAILMENT)])
        order = scores.argsort()[::-1]
        return tuple(case.labels[index] for index in order), tuple(float(scores[index]) for index in order)

    def _pipeline_finds_contradiction(self) -> bool:
        """The pipeline takes the first row for contradiction, or the last where entailment is first."""
        row = -1 if self._order[0] == ENTAILMENT else 0
        return self._order[row] == CONTRADICTION


def _ids(rows: Any) -> tuple[tuple[int, ...], ...]:
    """Token ids of each row without padding."""
    return tuple(
        tuple(ids[mask.astype(bool)].tolist())
        for ids, mask in zip(rows["input_ids"].numpy(), rows["attention_mask"].numpy(), strict=True)
    )


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    odds = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))
