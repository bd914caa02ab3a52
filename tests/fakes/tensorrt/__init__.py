"""The part of TensorRT that `engine/tensorrt_api.py` calls: a plan is JSON, and says how it was asked for.

A process whose PYTHONPATH has the folder above finds it in place of TensorRT. As there, a new config allows TF32.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence

__version__ = "11.0.0"


class Logger:
    WARNING = "warning"

    def __init__(self, _min_severity: str) -> None:
        pass


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class HardwareCompatibilityLevel(enum.Enum):
    NONE = "none"
    AMPERE_PLUS = "ampere and newer"


class BuilderFlag(enum.Enum):
    TF32 = "tf32"


class MemoryPoolType(enum.Enum):
    WORKSPACE = "workspace"


class TimingCache:
    def serialize(self) -> bytes:
        return b"timings"


class Config:
    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE
        self.profiles: list[dict[str, Sequence[Sequence[int]]]] = []

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, _pool: MemoryPoolType, pool_size: int) -> None:
        self.workspace_bytes = pool_size

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, _serialized: bytes) -> TimingCache:
        return TimingCache()

    def set_timing_cache(self, _cache: TimingCache, ignore_mismatch: bool) -> bool:
        return not ignore_mismatch


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Sequence[Sequence[int]]] = {}

    def set_shape(self, name: str, *shapes: Sequence[int]) -> None:
        self.shapes[name] = shapes


class Builder:
    def __init__(self, _logger: Logger) -> None:
        pass

    def create_network(self, flags: int) -> int:
        return flags

    def create_builder_config(self) -> Config:
        return Config()

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: int, config: Config) -> bytes:
        plan = {
            "strongly_typed": bool(network & 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED),
            "flags": [flag.value for flag in config.flags],
            "compatibility": config.hardware_compatibility_level.value,
            "profiles": config.profiles,
        }
        return json.dumps(plan).encode()


class OnnxParser:
    num_errors = 0

    def __init__(self, _network: int, _logger: Logger) -> None:
        pass

    def parse_from_file(self, _model: str) -> bool:
        return True
