"""The cases of the parity test: texts, labels and templates with edge cases of tokenization and truncation."""

from __future__ import annotations

import random
from typing import Any

TEXTS = (
    "这个手机质量太差，要求退款",
    "请问你们周末几点关门？",
    "国足2比1战胜对手，晋级世预赛下一轮",
    "央行宣布下调存款准备金率0.5个百分点",
    "The quick brown fox jumps over the lazy dog.",
    "iPhone15Pro Max和Galaxy S24 Ultra哪个更好？？？",
    "臺灣的夜市裡有許多傳統小吃，滷肉飯與蚵仔煎最受歡迎",
    "今天心情很好😀🎉，和朋友们一起去看电影👨‍👩‍👧‍👦",
    "文本里有[SEP]和[MASK]还有[CLS]，也有[sep]和[UNK]字样",
    "全角　空格　与\t制表符\n换行\r以及\u200b零宽、\x07响铃、\ufffd替换字符",
    "龘䶮㐀𠮷野家、饕餮盛宴、魑魅魍魉",
    "价格：￥1,299.00（含税13%）——限时5折！！！",
    "Café résumé naïve coöperate Ångström İstanbul ΣΊΣΥΦΟΣ straße",
    "cafe\u0301 de\u0301compose\u0301 e\u0301 ｆｕｌｌｗｉｄｔｈ ＡＢＣ１２３",
    "한국어 문장도 조금 섞어 보자 にほんごも少し",
    "x",
    "，。！？",
    "超长单词" + "pneumonoultramicroscopicsilicovolcanoconiosis" * 3 + "之后",
    "(づ｡◕‿‿◕｡)づ 卖家秀 vs 买家秀 lol 2333333",
    "第四十六条　违反本办法规定，构成犯罪的，依法追究刑事责任。",
)
LABELS = (
    "投诉",
    "咨询",
    "建议",
    "体育",
    "财经",
    "科技",
    "教育",
    "娱乐",
    "正面",
    "负面",
    "中性",
    "购买意图",
    "sports news",
    "Technology",
    "电子产品/手机",
    "物流太慢",
    "[MASK]",
    "带 空格 的 标签",
    "１２３",
    "臺灣",
    "😀",
    "不满意",
    "好评",
    "差评",
    "健康养生",
    "国际新闻",
    "法律法规",
    "C++",
    "退款(全额)",
    "其他",
)
TEMPLATES = (
    "{}",
    "这是关于{}的",
    "这篇文章的标题是{}",
    "This text is about {}.",
    "[MASK]{}[SEP]吗",
    "　{}　",
)
LONG_LABEL = "这是一个特别特别长的标签，用来描述用户在购买商品之后遇到的各种各样的问题以及希望得到的解决办法"

MIN_CASES = 120


def cases() -> list[dict[str, Any]]:
    """Arguments of ModelScope's pipeline; `labels` is a list, or a string with commas between the labels."""
    rng = random.Random(20_241)
    result: list[dict[str, Any]] = []

    def add(text: str, labels: list[str] | str, template: str = "{}", multi_label: bool = False) -> None:
        result.append(
            {"text": text, "labels": labels, "hypothesis_template": template, "multi_label": multi_label}
        )

    for text in TEXTS:
        add(text, rng.sample(LABELS, 3))
        add(text, rng.sample(LABELS, rng.randint(2, 8)), rng.choice(TEMPLATES), rng.random() < 0.5)
        add(text, [rng.choice(LABELS)], rng.choice(TEMPLATES), rng.random() < 0.5)
    # Around and beyond the limit of 512 tokens, with short labels and with labels of hundreds of characters.
    for length in (480, 505, 509, 510, 511, 512, 600, 1_100, 2_500):
        text = _long_text(rng, length)
        add(text, rng.sample(LABELS, 4), rng.choice(TEMPLATES))
        add(text, [LONG_LABEL * n for n in (1, 5, 6, 11, 12)] + ["短"], "{}", length % 2 == 0)
    for short in TEXTS[:5]:
        add(short, [LONG_LABEL * 12, LONG_LABEL * 3, "短"], "这是关于{}的")
    # Ties: labels with the same tokens.
    add(TEXTS[0], ["投诉", "投诉 ", " 投诉"])
    add(TEXTS[1], ["Technology", "technology", "TECHNOLOGY", "咨询"])
    add(TEXTS[2], ["体育", "体\u200b育", "体育\u0000"], "{}", True)
    # Labels in one string.
    for labels in ("投诉，咨询,建议", "正面,负面", "，体育，， 财经 ,科技,", "单独一个", "a,b，c d,ｅ"):
        add(rng.choice(TEXTS), labels, rng.choice(TEMPLATES), rng.random() < 0.3)
    while len(result) < MIN_CASES:
        text = "".join(rng.sample(TEXTS, 2))[: rng.randint(3, 90)]
        if text.strip():
            add(text, rng.sample(LABELS, rng.randint(1, 12)), rng.choice(TEMPLATES), rng.random() < 0.3)
    return result


def _long_text(rng: random.Random, characters: int) -> str:
    alphabet = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动"
    return "".join(rng.choice(alphabet) for _ in range(characters))
