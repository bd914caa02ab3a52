"""Verbalizes labels as hypotheses, in the many ways that callers do: synonyms, templates, domain words."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

LABEL_NAMES: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "label_names.json").read_text(encoding="utf-8")
)
"""Common names of a label; the first is the label as the data has it."""

ALL_LABEL_NAMES = sorted({name for names in LABEL_NAMES.values() for name in names})
DEFAULT_TEMPLATE = "{}"
"""ModelScope's default: the hypothesis is the label."""
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
"""Templates by task; other tasks have those of `TOPIC`."""

DOMAIN_WORDS = (
    ("健康", "疾病", "症状", "用药"),
    ("汽车", "车辆", "行车"),
    ("贷款", "账户", "还款"),
    ("商品", "订单", "产品"),
    ("学习", "考试", "学校"),
    ("旅行", "住宿", "酒店"),
    ("饮食", "餐饮", "菜品"),
    ("手机", "电脑", "软件"),
)
"""Words with which callers prefix labels to name a domain (疾病原因, 用药费用)."""
TASKS_OF_ANY_DOMAIN = frozenset({"question_intent", "review_aspect"})
"""Tasks whose labels apply to every domain."""
DOMAIN_SHARE = 0.4
"""Share of the label sets of such tasks that get a domain word."""
DEFAULT_TEMPLATE_SHARE = 0.5
ORIGINAL_NAME_SHARE = 0.5


def templates(task: str) -> tuple[str, ...]:
    """The templates of a task."""
    return TEMPLATES.get(task, TOPIC)


def draw_template(task: str, rng: random.Random) -> str:
    """Draw ModelScope's default template half of the time, else one of the task's."""
    return DEFAULT_TEMPLATE if rng.random() < DEFAULT_TEMPLATE_SHARE else rng.choice(templates(task))


def draw_name(label: str, rng: random.Random) -> str:
    """Draw the label or one of its other names; labels such as `买家咨询…` lose their subject half of the time."""
    names = LABEL_NAMES.get(label)
    if names is not None:
        return label if rng.random() < ORIGINAL_NAME_SHARE else rng.choice(names)
    if label.startswith("买家") and rng.random() < ORIGINAL_NAME_SHARE:
        return label.removeprefix("买家")
    if "/" in label:
        return rng.choice([label, *label.split("/")])
    return label


def verbalize(task: str, labels: Sequence[str], rng: random.Random) -> list[str]:
    """One hypothesis per label, all in the same template.

    Labels of some tasks get words of the same domain, because a domain that all labels share must not decide: a
    model without such examples took every medical question for 医疗费用.
    """
    template = draw_template(task, rng)
    names = [draw_name(label, rng) for label in labels]
    if task in TASKS_OF_ANY_DOMAIN and rng.random() < DOMAIN_SHARE:
        domain = rng.choice(DOMAIN_WORDS)
        names = [rng.choice(domain) + name for name in names]
    return [fill_template(template, name) for name in names]


def fill_template(template: str, name: str) -> str:
    """The hypothesis: `template` with its `{}` replaced by `name`."""
    return template.replace("{}", name)
