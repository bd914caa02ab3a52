"""Says a label in the many ways a caller might: other names, templates. Knows nothing about tokens."""

from __future__ import annotations

import json
import random
from pathlib import Path

NAMES: dict[str, list[str]] = json.loads((Path(__file__).parent / "label_names.json").read_text(encoding="utf-8"))
"""Everyday names of a label; the first is the label as the data has it."""

ANY_NAME = sorted({name for others in NAMES.values() for name in others})
BARE = "{}"
TOPIC = (
    "这是关于{}的",
    "这段文字的主题是{}",
    "这篇文章的标题是{}",
    "属于{}类",
    "与{}有关",
    "这个例子是{}",
    "类别：{}",
)
SENTIMENT = ("这条评价是{}的", "评价：{}", "情感倾向是{}", "这句话的情感是{}", "顾客{}", "这个例子是{}")
EMOTION = ("说话人感到{}", "情绪：{}", "这句话表达了{}", "心情是{}", "这个例子是{}")
INTENT = ("用户的意图是{}", "用户想要{}", "意图：{}", "这是一条{}", "这是{}", "这个例子是{}")

TEMPLATES = {
    "shopping_sentiment": SENTIMENT,
    "book_sentiment": SENTIMENT,
    "emotion": EMOTION,
    "ecommerce_intent": INTENT,
    "service_intent": INTENT,
    "offensive": INTENT,
}
"""Templates by task; the other tasks ask for topics."""

BARE_SHARE = 0.5
CANONICAL_SHARE = 0.5


def templates(task: str) -> tuple[str, ...]:
    return TEMPLATES.get(task, TOPIC)


def draw_template(task: str, rng: random.Random) -> str:
    """Half of the time the label alone, which is ModelScope's default template."""
    return BARE if rng.random() < BARE_SHARE else rng.choice(templates(task))


def draw_name(label: str, rng: random.Random) -> str:
    """The label or one of its other names; labels such as `买家咨询…` also without their subject."""
    names = NAMES.get(label)
    if names is not None:
        return label if rng.random() < CANONICAL_SHARE else rng.choice(names)
    if label.startswith("买家") and rng.random() < CANONICAL_SHARE:
        return label.removeprefix("买家")
    if "/" in label:
        return rng.choice([label, *label.split("/")])
    return label


def hypothesis(template: str, name: str) -> str:
    return template.replace("{}", name)
