from __future__ import annotations

import random

from training.data.hypotheses import DOMAIN_WORDS, draw_name, draw_template, fill_template, verbalize


def test_a_label_is_verbalized_in_many_ways() -> None:
    rng = random.Random(2)
    hypotheses = {fill_template(draw_template("service_intent", rng), draw_name("投诉", rng)) for _ in range(300)}
    assert "投诉" in hypotheses
    assert len(hypotheses) > 15
    assert not any("{}" in hypothesis for hypothesis in hypotheses)
    assert draw_name("没有别名的标签", rng) == "没有别名的标签"


def test_labels_are_verbalized_with_the_same_template_and_domain() -> None:
    rng = random.Random(3)
    seen_domains = set()
    for _ in range(200):
        first, second = (
            hypothesis.split("别名") for hypothesis in verbalize("question_intent", ["别名", "别名"], rng)
        )
        assert first[1] == second[1], "the same template"
        domains = [words for words in DOMAIN_WORDS if first[0].endswith(words) and second[0].endswith(words)]
        assert domains or first == second
        seen_domains |= set(domains)
    assert seen_domains == set(DOMAIN_WORDS)
    others = {hypothesis for _ in range(200) for hypothesis in verbalize("tnews", ["别名"], rng)}
    assert not any(hypothesis.startswith("疾病") for hypothesis in others)
