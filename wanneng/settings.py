"""The settings of `wanneng serve`: the only reader of the environment in this package. Starts nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from wanneng.errors import StartError

CHECKOUT = Path(__file__).resolve().parent.parent
PREFIX = "WANNENG_"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Each field is `WANNENG_<FIELD>` in the environment and `--<field>` on the command line."""

    host: str = "127.0.0.1"
    """Address of the gateway; other than loopback, everyone who reaches it may use it."""
    port: int = 8080
    """Port of the gateway."""
    triton_host: str = "127.0.0.1"
    """Address of all of Triton's ports."""
    triton_http_port: int = 8000
    triton_grpc_port: int = 8001
    triton_metrics_port: int = 8002
    engine: Path = CHECKOUT / "embedded"
    """Folder of the engine: weights, vocabulary and manifest."""
    engine_threads: int = 0
    """Threads of one run of the engine; 0 means all cores."""
    model_config_name: str = "local"
    """Hardware config of `structbert`: `model_repository/structbert/configs/<name>.pbtxt`."""
    state: Path = CHECKOUT / ".state"
    """Folder for logs and for Triton's copied stub."""
    start_timeout_s: float = 90.0
    """Longest wait for the first answer."""

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def triton_url(self) -> str:
        host = f"[{self.triton_host}]" if ":" in self.triton_host else self.triton_host
        return f"http://{host}:{self.triton_http_port}"


def load_settings(flags: Mapping[str, object], environment: Mapping[str, str] | None = None) -> ServeSettings:
    """Flags that are given, then the environment, then defaults; a bad value fails by its name."""
    variables = os.environ if environment is None else environment
    chosen: dict[str, object] = {}
    for field in fields(ServeSettings):
        variable = PREFIX + field.name.upper()
        given = flags.get(field.name)
        value = variables.get(variable) if given is None else given
        if value is None:
            continue
        name = variable if given is None else f"--{field.name.replace('_', '-')}"
        chosen[field.name] = _converted(name, value, str(field.type))
    return ServeSettings(**chosen)  # type: ignore[arg-type]


def environment_of_children(settings: ServeSettings) -> dict[str, str]:
    """The environment that servers start from: this process's own and what both servers read."""
    paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    return dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUNBUFFERED": "1",
        f"{PREFIX}ENGINE": str(settings.engine),
        f"{PREFIX}ENGINE_THREADS": str(settings.engine_threads),
    }


_CONVERTERS: dict[str, Callable[[str], object]] = {
    "str": str,
    "int": int,
    "float": float,
    "Path": lambda value: Path(value).expanduser().resolve(),
}


def _converted(name: str, value: object, kind: str) -> object:
    if value == "":
        # An empty address would mean every interface of the machine.
        raise StartError(f"{name} is empty; give a value or leave it out")
    try:
        converted = _CONVERTERS[kind](str(value))
    except ValueError:
        raise StartError(f"{name} is {value!r}, a number is needed") from None
    if name.lower().replace("_", "-").endswith("port") and not 1 <= int(str(converted)) <= 65_535:
        raise StartError(f"{name} is {value}, a port from 1 to 65535 is needed")
    return converted
