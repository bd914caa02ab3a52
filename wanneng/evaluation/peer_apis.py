"""The APIs of other servers that classify a text with given labels in one call: requests and answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wanneng.evaluation.targets import PLACEHOLDER, Question

Scores = Mapping[str, float]
"""Each wording's."""


@dataclass(frozen=True, slots=True)
class Api:
    """How a text is asked about, at `path` below the server's address."""

    path: str
    request: Callable[[str, Question], Any]
    parse: Callable[[Any, Question], Scores]
    """Of the answer's JSON. `ValueError`, `KeyError` or `TypeError` for another than the API's."""


def _wordings(question: Question) -> list[str]:
    return list(question.wordings.values())


def _huggingface_request(text: str, question: Question) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "candidate_labels": _wordings(question),
        "multi_label": question.multi_label,
    }
    if question.template is not None:
        parameters["hypothesis_template"] = question.template
    return {"inputs": text, "parameters": parameters}


def _huggingface_scores(answer: Any, question: Question) -> Scores:
    """`[{label, score}]`, as the Inference API answers; or `{labels, scores}`, as the `transformers` pipeline."""
    if isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], (list, dict)):
        (answer,) = answer if isinstance(answer[0], list) or "labels" in answer[0] else (answer,)
    if isinstance(answer, dict):
        return dict(zip(answer["labels"], answer["scores"], strict=True))
    return {item["label"]: item["score"] for item in answer}


def _tei_request(text: str, question: Question) -> dict[str, Any]:
    template = question.template or PLACEHOLDER
    pairs = [[text, template.replace(PLACEHOLDER, wording)] for wording in _wordings(question)]
    return {"inputs": pairs, "raw_scores": True, "truncate": True}


def _tei_scores(answer: Any, question: Question) -> Scores:
    """As the pipelines score logits: softmax of entailment over the labels, or of each label by itself."""
    entailment, contradiction = [], []
    for relations in answer:
        logits = {item["label"].lower(): item["score"] for item in relations}
        (only,) = logits if len(logits) == 1 else ("entailment",)
        entailment.append(logits[only])
        contradiction.append(logits.get("contradiction", 0.0))
    if question.multi_label or len(entailment) == 1:
        scores = [1 / (1 + math.exp(no - yes)) for yes, no in zip(entailment, contradiction, strict=True)]
    else:
        highest = max(entailment)
        powers = [math.exp(logit - highest) for logit in entailment]
        scores = [power / math.fsum(powers) for power in powers]
    return dict(zip(_wordings(question), scores, strict=True))


def _kserve_request(text: str, question: Question) -> dict[str, Any]:
    wordings = _wordings(question)
    inputs = [_tensor("text", "BYTES", [text]), _tensor("labels", "BYTES", wordings)]
    if question.template is not None:
        inputs.append(_tensor("hypothesis_template", "BYTES", [question.template]))
    inputs.append(_tensor("multi_label", "BOOL", [question.multi_label]))
    return {"inputs": inputs, "outputs": [{"name": "ranked_labels"}, {"name": "scores"}]}


def _tensor(name: str, datatype: str, data: Sequence[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": list(data)}


def _kserve_scores(answer: Any, question: Question) -> Scores:
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    return dict(zip(outputs["ranked_labels"], outputs["scores"], strict=True))


APIS = {
    "huggingface": Api("", _huggingface_request, _huggingface_scores),
    "tei": Api("/predict", _tei_request, _tei_scores),
    "kserve": Api("/v2/models/zero_shot/infer", _kserve_request, _kserve_scores),
}
"""By name: Hugging Face's Inference API, whose whole address is given; Text Embeddings Inference; KServe v2 with
the model `zero_shot`, as Triton itself serves it."""
