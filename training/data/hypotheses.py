"""Says a label in the many ways a caller might: other names, templates. Knows nothing about tokens."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
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

ASPECT = ("这条评价说的是{}", "评价的方面：{}", "顾客谈到了{}", "与{}有关", "这个例子是{}")

TEMPLATES = {
    "shopping_sentiment": SENTIMENT,
    "book_sentiment": SENTIMENT,
    "emotion": EMOTION,
    "ecommerce_intent": INTENT,
    "service_intent": INTENT,
    "question_intent": INTENT,
    "review_aspect": ASPECT,
    "offensive": INTENT,
}
"""Templates by task; the other tasks ask for topics."""

FIELDS = (
    ("健康", "疾病", "症状", "用药"),
    ("汽车", "车辆", "行车"),
    ("贷款", "账户", "还款"),
    ("商品", "订单", "产品"),
    ("学习", "考试", "学校"),
    ("旅行", "住宿", "酒店"),
    ("饮食", "餐饮", "菜品"),
    ("手机", "电脑", "软件"),
)
"""Words that a caller puts before a label to say of what field it is (疾病原因, 用药费用)."""
WITH_FIELD = frozenset({"question_intent", "review_aspect"})
"""Tasks whose labels are asked of any field."""
FIELD_SHARE = 0.4
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


def say(task: str, labels: Sequence[str], rng: random.Random) -> list[str]:
    """One hypothesis for each label, all in one template.

    Where all labels are of one field, that they share it must not count: at first every medical question was one
    for 医疗费用, whatever it asked.
    """
    template = draw_template(task, rng)
    names = [draw_name(label, rng) for label in labels]
    if task in WITH_FIELD and rng.random() < FIELD_SHARE:
        field = rng.choice(FIELDS)
        names = [rng.choice(field) + name for name in names]
    return [hypothesis(template, name) for name in names]


def hypothesis(template: str, name: str) -> str:
    return template.replace("{}", name)
