"""The settings of `wanneng serve`: the only reader of the environment in this package. Starts nothing."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from wanneng.errors import StartError

CHECKOUT = Path(__file__).resolve().parent.parent
PREFIX = "WANNENG_"
GATEWAYS_SECRETS = ("WANNENG_ADMIN_KEY", "WANNENG_DATABASE_URL", "WANNENG_REDIS_URL")
"""Triton has no use for them."""


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
    require_key: bool = False
    """Ask for a key on loopback too; on every other address one is always needed."""
    admin_key: str = field(default="", repr=False)
    """The operator's key; made at the first start and kept in the state folder when not given."""
    database_url: str = field(default="", repr=False)
    """Where tenants are; a file of SQLite in the state folder when not given."""
    state: Path = CHECKOUT / ".state"
    """Folder for logs, keys, the database and Triton's copied stub."""
    start_timeout_s: float = 90.0
    """Longest wait for the first answer."""

    @property
    def keys_needed(self) -> bool:
        """As the gateway sees it."""
        return self.require_key or not _is_loopback(self.host)

    @property
    def url(self) -> str:
        return _url(_from_here(self.host), self.port)

    @property
    def triton_host_here(self) -> str:
        """Where this machine itself asks Triton."""
        return _from_here(self.triton_host)

    @property
    def triton_url(self) -> str:
        return _url(self.triton_host_here, self.triton_http_port)


def _from_here(host: str) -> str:
    """What listens on every address is asked on loopback."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


def load_settings(flags: Mapping[str, object], environment: Mapping[str, str] | None = None) -> ServeSettings:
    """Flags that are given, then the environment, then defaults; a bad value fails by its name."""
    variables = os.environ if environment is None else environment
    chosen: dict[str, object] = {}
    for one in fields(ServeSettings):
        variable = PREFIX + one.name.upper()
        given = flags.get(one.name)
        value = variables.get(variable) if given is None else given
        if value is None:
            continue
        name = variable if given is None else f"--{one.name.replace('_', '-')}"
        chosen[one.name] = _converted(name, value, str(one.type))
    return ServeSettings(**chosen)  # type: ignore[arg-type]


def environment_of_children(settings: ServeSettings) -> dict[str, str]:
    """The environment that servers start from: this process's own and what both servers read."""
    paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    inherited = {name: value for name, value in os.environ.items() if name not in GATEWAYS_SECRETS}
    return inherited | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUNBUFFERED": "1",
        f"{PREFIX}ENGINE": str(settings.engine),
        f"{PREFIX}ENGINE_THREADS": str(settings.engine_threads),
    }


_CONVERTERS: dict[str, Callable[[str], object]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _flag,
    "Path": lambda value: Path(value).expanduser().resolve(),
}


def _converted(name: str, value: object, kind: str) -> object:
    if value == "":
        # An empty address would mean every interface of the machine.
        raise StartError(f"{name} is empty; give a value or leave it out")
    try:
        converted = _CONVERTERS[kind](str(value))
    except (ValueError, KeyError):
        wanted = "true or false" if kind == "bool" else "a number"
        raise StartError(f"{name} is {value!r}, {wanted} is needed") from None
    if name.lower().replace("_", "-").endswith("port") and not 1 <= int(str(converted)) <= 65_535:
        raise StartError(f"{name} is {value}, a port from 1 to 65535 is needed")
    return converted
