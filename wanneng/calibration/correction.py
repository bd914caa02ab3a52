"""Learns a label set's correction from examples, and keeps it only where cross-validation says that it helps.

Everything works on `[texts, labels]` logits: of entailment, known up to a constant for each text, where one label
is chosen; of entailment less contradiction where labels are scored one by one. Needs NumPy, which
`wanneng[calibration]` installs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wanneng.client import Correction

Logits = NDArray[np.float64]
Applies = NDArray[np.bool_]
"""`[texts, labels]`: whether the label is the text's."""

MIN_EXAMPLES = 4
"""Of each label."""
MAX_MAP_LABELS = 64
"""Of a correction with a map; the control plane accepts no more."""
FOLDS, REPEATS, SEED = 4, 2, 0
STANDARD_ERRORS = 3.0
"""By which a candidate must lower the loss; with fewer, some are kept that cost accuracy (decision 60)."""
ITERATIONS = 80
MAX_VALUE, MAX_SCALE = 100.0, 20.0
DECIMALS = 4
SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of correction; penalties are in units of one example's loss."""

    name: str
    equal_means: bool = False
    """Begin with biases that make the labels' mean logits equal (contextual calibration, Zhao et al. 2021)."""
    bias_penalty: float | None = None
    """Of squared biases; None: they stay where they begin."""
    map_penalty: float | None = None
    """Of squared weights; None: no map."""


MEAN_SHARE = 0.5
"""By which means without labels become equal; with all of it, a task loses up to 13 points (decision 60)."""
TEMPERATURE = Candidate("a temperature alone")
"""Changes scores and no best label, so it is kept wherever it lowers the loss."""
CANDIDATES = (
    Candidate("equal means", equal_means=True),
    Candidate("biases", bias_penalty=3.0),
    Candidate("equal means and biases", equal_means=True, bias_penalty=10.0),
    Candidate("a weak map", equal_means=True, bias_penalty=3.0, map_penalty=30.0),
    Candidate("a strong map", equal_means=True, bias_penalty=3.0, map_penalty=10.0),
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What cross-validation says of a candidate, on texts that it was not fitted to."""

    candidate: Candidate
    accuracy: float
    """Share of texts whose best label is theirs; of labels judged rightly where they are scored one by one."""
    gain: float
    """By how much the mean log-loss is below that of the model with a temperature alone."""
    standard_error: float
    """Of `gain`."""
    kept: bool


class Examples:
    """Logits of labelled texts, and of unlabelled ones if there are any."""

    def __init__(self, logits: Logits, applies: Applies, *, one_by_one: bool, texts: Logits | None = None) -> None:
        self.logits, self.applies, self.one_by_one, self.texts = logits, applies, one_by_one, texts

    def some(self, chosen: Applies) -> Examples:
        return Examples(self.logits[chosen], self.applies[chosen], one_by_one=self.one_by_one, texts=self.texts)

    @property
    def accuracy(self) -> float:
        """Of the model without a correction."""
        return self.hits(self.probabilities(self.logits))

    def candidates(self) -> Sequence[Candidate]:
        if self.one_by_one:
            return [candidate for candidate in CANDIDATES if candidate.name == "biases"]
        few = self.logits.shape[1] <= MAX_MAP_LABELS
        return [candidate for candidate in CANDIDATES if candidate.map_penalty is None or few]

    def probabilities(self, logits: Logits) -> Logits:
        if self.one_by_one:
            return np.asarray(1 / (1 + np.exp(-np.clip(logits, -MAX_VALUE, MAX_VALUE))))
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))

    def losses(self, probabilities: Logits) -> Logits:
        """`[texts]`: log-losses."""
        of_right = np.log(np.where(self.applies, probabilities, 1 - probabilities) + SMALLEST)
        return np.asarray(-of_right.mean(1) if self.one_by_one else -of_right[self.applies])

    def hits(self, probabilities: Logits) -> float:
        """The accuracy of these."""
        if self.one_by_one:
            return float(((probabilities >= 0.5) == self.applies).mean())
        return float((probabilities.argmax(1) == self.applies.argmax(1)).mean())


def judge(examples: Examples) -> list[Judgement]:
    """Every candidate; a kept one lowers the loss beyond chance, and loses no accuracy."""
    folds = _folds(examples)
    reference = examples.losses(_cross_validated(TEMPERATURE, examples, folds))
    before = examples.accuracy
    lowers = reference.mean() < examples.losses(examples.probabilities(examples.logits)).mean()
    judgements = [Judgement(TEMPERATURE, before, 0.0, 0.0, bool(lowers))]
    for candidate in examples.candidates():
        predicted = _cross_validated(candidate, examples, folds)
        gains = reference - examples.losses(predicted)
        gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
        accuracy = examples.hits(predicted)
        kept = gain > STANDARD_ERRORS * error and accuracy >= before
        judgements.append(Judgement(candidate, accuracy, gain, error, kept))
    return judgements


def learn(examples: Examples) -> tuple[Correction | None, list[Judgement]]:
    """The correction that helps most on texts that it has not seen; None where none does."""
    judgements = judge(examples)
    chosen = best(judgements)
    return None if chosen is None else fit(chosen.candidate, examples), judgements


def best(judgements: Sequence[Judgement]) -> Judgement | None:
    """Of those that are kept the one with the lowest loss."""
    kept = (judgement for judgement in judgements if judgement.kept)
    return max(kept, key=lambda judgement: judgement.gain, default=None)


def halved_means(texts: Logits) -> Correction:
    """From unlabelled texts alone: biases that halve the differences between the labels' mean logits."""
    return Correction(_rounded(-MEAN_SHARE * _centred(texts).mean(0)))


def fit(candidate: Candidate, examples: Examples) -> Correction:
    """The least penalized log-loss, by accelerated gradient steps (Nesterov 1983).

    A bound of the Hessian (Böhning 1992) scales the steps, so that none is too long.
    """
    offsets = examples.logits if examples.one_by_one else _centred(examples.logits)
    count, labels = offsets.shape
    texts = offsets if examples.texts is None else _centred(examples.texts)
    start = -texts.mean(0) if candidate.equal_means else np.zeros(labels)
    moved = offsets + start
    bias_step = 0.0 if candidate.bias_penalty is None else 1 / (count / 2 + candidate.bias_penalty)
    map_step = np.zeros((labels, labels))
    if candidate.map_penalty is not None:
        map_step = np.linalg.inv(offsets.T @ offsets / 2 + candidate.map_penalty * np.eye(labels))
    parts = [np.ones(1), np.zeros(labels), np.zeros((labels, labels))]
    previous, pace = parts, 1.0
    for _ in range(ITERATIONS):
        next_pace = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        scale, biases, weights = (
            part + (pace - 1) / next_pace * (part - before) for part, before in zip(parts, previous, strict=True)
        )
        previous, pace = parts, next_pace
        errors = examples.probabilities(scale * moved + biases + offsets @ weights.T) - examples.applies
        # A third of each step: the three are taken together.
        parts = [
            scale - ((errors * moved).sum() + scale - 1) / ((moved**2).sum() + 1) / 3,
            biases - bias_step / 3 * (errors.sum(0) + (candidate.bias_penalty or 0) * biases),
            weights - (errors.T @ offsets + (candidate.map_penalty or 0) * weights) @ map_step / 3,
        ]
    scale, biases, weights = parts
    factor = float(np.clip(scale[0], 1 / MAX_SCALE, MAX_SCALE))
    rows = tuple(map(_rounded, weights)) if candidate.map_penalty is not None else None
    return Correction(_rounded(factor * start + biases), round(1 / factor, DECIMALS), rows)


def apply(correction: Correction, logits: Logits, *, one_by_one: bool) -> Logits:
    """As the gateway does it."""
    offsets = logits if one_by_one else _centred(logits)
    changed = logits - offsets + offsets / correction.temperature + np.array(correction.biases)
    if correction.map is not None:
        changed = changed + offsets @ np.array(correction.map).T
    return np.asarray(changed)


def _cross_validated(candidate: Candidate, examples: Examples, folds: Sequence[NDArray[np.int64]]) -> Logits:
    """`[texts, labels]`: mean probabilities over the repeats, by what was learned without the text's fold."""
    total = np.zeros_like(examples.logits)
    for fold in folds:
        for number in range(FOLDS):
            held_out = fold == number
            correction = fit(candidate, examples.some(~held_out))
            logits = apply(correction, examples.logits[held_out], one_by_one=examples.one_by_one)
            total[held_out] += examples.probabilities(logits) / len(folds)
    return total


def _folds(examples: Examples) -> list[NDArray[np.int64]]:
    """The fold of each text, once for each repeat; the texts of a label are spread evenly."""
    rng = np.random.default_rng(SEED)
    kinds = np.where(examples.applies.any(1), examples.applies.argmax(1), -1)
    folds = []
    for _ in range(REPEATS):
        fold = np.zeros(len(kinds), dtype=np.int64)
        for kind in np.unique(kinds):
            members = rng.permutation(np.flatnonzero(kinds == kind))
            fold[members] = (np.arange(len(members)) + rng.integers(FOLDS)) % FOLDS
        folds.append(fold)
    return folds


def _centred(logits: Logits) -> Logits:
    return np.asarray(logits - logits.mean(1, keepdims=True))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.round(np.clip(values, -MAX_VALUE, MAX_VALUE), DECIMALS))
