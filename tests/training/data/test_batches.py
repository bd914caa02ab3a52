from __future__ import annotations

import random

import numpy as np

from training.data.batches import LengthSortedTask
from training.data.corpus import LabelledText


def test_a_draw_takes_distinct_examples_of_similar_length() -> None:
    examples = [LabelledText("x" * n, "a") for n in range(1, 400)]
    task = LengthSortedTask(examples, [np.zeros(len(e.text), dtype=np.uint16) for e in examples])
    for seed in range(20):
        rows = task.draw(random.Random(seed), token_budget=600, max_tokens=72)
        assert len(set(rows)) == len(rows) >= 8
