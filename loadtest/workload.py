"""Generates requests from a workload file and a seed; the same seed gives the same requests."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import yaml

from loadtest.errors import LoadTestError

FOLDER = Path(__file__).parent / "workloads"
KINDS = ("inline", "label_set", "hugging_face", "batch", "triton")
CLAUSES = (
    "快递等了一个星期还没到",
    "这个手机质量太差",
    "要求退款",
    "你们几点开门",
    "客服态度很好",
    "希望增加一个取货点",
    "屏幕一碰就碎",
    "包装破了",
    "下次还会再来",
    "请问怎么开发票",
    "电池用不了半天",
    "价格比别家便宜",
    "发动机有异响",
    "油耗比想象的高",
    "座椅很舒服",
    "空间足够一家人用",
    "国足赢下了关键一战",
    "央行宣布下调利率",
    "新片票房破了纪录",
    "小区门口的路灯坏了",
    "地铁早高峰太挤",
    "医生说要多休息",
    "孩子发烧三天了",
    "怎么预约专家号",
    "账户被冻结了",
    "密码忘了怎么办",
    "合同到期能续吗",
    "房东不退押金",
    "楼上半夜装修",
    "垃圾没人清理",
    "菜送来已经凉了",
    "味道不错分量也足",
    "外卖少了一双筷子",
    "导航总是绕路",
    "更新以后打不开",
    "广告太多了",
    "学校附近要不要限速",
    "图书馆周末开吗",
    "雨后田里积水",
    "今年小麦收成好",
)
LABELS = (
    "投诉",
    "咨询",
    "建议",
    "表扬",
    "正面",
    "负面",
    "体育",
    "财经",
    "娱乐",
    "科技",
    "军事",
    "农业",
    "国际",
    "教育",
    "文化",
    "旅游",
    "汽车",
    "房产",
    "游戏",
    "健康",
    "物流",
    "退款",
    "质量",
    "价格",
    "服务",
    "包装",
    "外观",
    "性能",
    "续航",
    "售后",
    "发票",
    "预约",
    "账户",
    "合同",
    "噪音",
    "卫生",
    "交通",
    "医疗",
    "天气",
    "其他",
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to classify, for which tenant, through which endpoint (`kind`, one of `KINDS`)."""

    tenant: str
    kind: str
    text: str
    labels: tuple[str, ...]


class Workload:
    """An endless source of requests. `data` is the content of a file in `workloads/`."""

    def __init__(self, data: Mapping[str, object], seed: int) -> None:
        try:
            self._lengths = {float(share): int(count) for share, count in dict(data["lengths"]).items()}  # type: ignore[call-overload]
            self._label_counts = _parse_shares(data["label_counts"])
            self._kinds = _parse_shares(data["kinds"])
            self._tenants = _parse_shares(data["tenants"])
            self._texts, self._zipf = int(str(data["texts"])), float(str(data["zipf"]))
        except (KeyError, TypeError, ValueError) as error:
            raise LoadTestError(f"the workload's {error} is missing or of the wrong type") from None
        unknown = {kind for kind, _ in self._kinds} - set(KINDS)
        if unknown:
            raise LoadTestError(f"unknown kinds of request {unknown}; choose from {', '.join(KINDS)}")
        if max(int(count) for count, _ in self._label_counts) > len(LABELS):
            raise LoadTestError(f"the workload asks for more labels than the {len(LABELS)} available")
        self._rng = random.Random(seed)
        weights = (1 / rank**self._zipf for rank in range(1, self._texts + 1)) if self._zipf else ()
        self._ranks = list(accumulate(weights))

    @property
    def tenants(self) -> list[str]:
        return [name for name, _ in self._tenants]

    @property
    def kinds(self) -> list[str]:
        return [name for name, _ in self._kinds]

    def next_request(self) -> Request:
        """Draw the next one."""
        rng = self._rng
        labels = tuple(rng.sample(LABELS, int(_draw(self._label_counts, rng))))
        return Request(_draw(self._tenants, rng), _draw(self._kinds, rng), self.text(self._rank()), labels)

    def text(self, rank: int) -> str:
        """The text with frequency rank `rank`; always the same."""
        rng = random.Random(rank)
        length = self._length(rng.random())
        parts: list[str] = []
        while sum(map(len, parts)) + len(parts) <= length:
            parts.append(rng.choice(CLAUSES))
        # Cut texts may coincide; the rank keeps them distinct.
        return f"{'，'.join(parts)[:length]}{rank}"

    def _rank(self) -> int:
        if not self._zipf:
            return self._rng.randrange(self._texts)
        return bisect_left(self._ranks, self._rng.random() * self._ranks[-1])

    def _length(self, quantile: float) -> int:
        """Characters, by linear interpolation between the known quantiles."""
        lengths = sorted(self._lengths.items())
        for (low, shorter), (high, longer) in pairwise(lengths):
            if low <= quantile <= high:
                return round(shorter + (longer - shorter) * (quantile - low) / (high - low))
        return lengths[-1][1]


def load_workload(name: str, seed: int) -> Workload:
    """The workload of `workloads/<name>.yaml`."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise LoadTestError(f"unknown workload {name}; choose one of {names}")
    return Workload(yaml.safe_load(path.read_text(encoding="utf-8")), seed)


def _parse_shares(shares: object) -> list[tuple[str, float]]:
    """Names with their weights, which need not sum to 1."""
    if not isinstance(shares, dict) or not shares:
        raise ValueError(str(shares))
    return [(str(name), float(share)) for name, share in shares.items()]


def _draw(shares: Sequence[tuple[str, float]], rng: random.Random) -> str:
    return rng.choices([name for name, _ in shares], [share for _, share in shares])[0]
