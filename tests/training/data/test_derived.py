from __future__ import annotations

import random
from pathlib import Path

from training.data.corpus import Corpus, LabelledText
from training.data.derived import derived_tasks, word_task


def derive(data: Path) -> dict[str, list[LabelledText]]:
    corpus = Corpus(data)
    return derived_tasks(corpus, corpus.tasks(), random.Random(4), max_words=500)


def test_a_word_is_the_label_of_the_passages_that_it_was_removed_from() -> None:
    passages = [
        "昨天晚上的比赛真的让人高兴",
        "周末大家一起去吃了火锅",
        "医生说这种药要在饭后吃",
        "银行的利率又要往下降了",
    ]
    examples = word_task(
        [f"{passage}呀呀呀呀" for passage in [*passages * 20, "沙漠里有一头骆驼走过"]], random.Random(5), 1_000
    )
    assert {"比赛", "火锅", "医生", "利率"} <= {example.label for example in examples}
    assert not {"昨天", "真的", "骆驼"} & {example.label for example in examples}, "no topic, or too rare"
    removed = sum(example.label not in example.text for example in examples)
    assert 0.6 < removed / len(examples) < 0.9


def test_a_wording_indicates_the_label_and_is_removed_from_half_of_the_texts(data: Path) -> None:
    aspects = derive(data)["review_aspect"]
    assert {example.label for example in aspects} == {"物流", "口味"}, "a remark with two aspects is left out"
    shipping = [example.text for example in aspects if example.label == "物流"]
    assert {"快递" in text for text in shipping} == {True, False}
    assert all("五天才到" in text for text in shipping)


def test_suggestions_of_customers_are_labelled_as_such(data: Path) -> None:
    intents = derive(data)["service_intent"]
    assert {e.label for e in intents if e.text.startswith("建议")} == {"建议"}
    assert {"投诉", "咨询", "表扬"} & {e.label for e in intents}
