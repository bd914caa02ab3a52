"""The settings of `wanneng serve`, from flags and the environment; the package's only reader of the latter."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from wanneng.errors import CommandError, StartError
from wanneng.variables import PREFIX, sentence, unknown_variables

CHECKOUT = Path(__file__).resolve().parent.parent
SECRETS = frozenset(
    {
        "WANNENG_ADMIN_KEY",
        "WANNENG_INTERNAL_KEY",
        "WANNENG_DATABASE_URL",
        "WANNENG_REDIS_URL",
        "WANNENG_BUDGET_WEBHOOK_URL",
        "WANNENG_BUDGET_WEBHOOK_SECRET",
        "WANNENG_OIDC_CLIENT_SECRET",
    }
)
"""No child inherits them; each is given those that it needs."""
OTHER_PYTHONS = frozenset({"PYTHONHOME", "PYTHONPATH"})
"""Set for another Python; they would put its packages in place of the installed ones."""
KEYS, MIN_KEY_CHARACTERS = frozenset({"WANNENG_ADMIN_KEY", "WANNENG_INTERNAL_KEY"}), 32
"""Chosen at random, and long enough that nobody guesses them."""
VISIBLE_ASCII = "[!-~]+"
LOG_FORMATS = ("auto", "json", "text")
MAX_PORT = 65_535
MINIMUMS = {
    "port": 1,
    "internal_port": 0,
    "control_plane_port": 1,
    "triton_http_port": 1,
    "triton_grpc_port": 1,
    "triton_metrics_port": 1,
    "engine_threads": 0,
    "start_timeout_s": 1,
    "log_file_bytes": 10_000,
    "log_files": 2,
}
"""Of every number; with two log files, the lines of a crash survive a rotation."""
CONTROL_PLANE_HOST = "127.0.0.1"
"""Callers reach the control plane through the gateway alone."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Each field is `WANNENG_<FIELD>` in the environment; those that are no secrets are also flags."""

    host: str = "127.0.0.1"
    """Address of the gateway; on any other than loopback, callers need a key."""
    port: int = 8080
    """Port of the gateway."""
    internal_port: int = 0
    """Port of the gateway for `/metrics`, `/v1/tenants` and `/v1/admin`, which then no other serves; 0: one port
    for all."""
    control_plane_port: int = 8081
    """Port of the control plane, which listens on loopback."""
    triton_host: str = "127.0.0.1"
    """Address of all of Triton's ports."""
    trusted_network: bool = False
    """Let others than this machine connect to a Triton that has published vulnerabilities."""
    triton_http_port: int = 8000
    """Triton's HTTP port."""
    triton_grpc_port: int = 8001
    """Triton's gRPC port."""
    triton_metrics_port: int = 8002
    """Triton's metrics port."""
    engine: Path = CHECKOUT / "embedded"
    """Folder of the engine: weights, vocabulary and manifest."""
    engine_threads: int = 0
    """Threads that run the engine; 0: all cores that the container may use."""
    model_config_name: str = "local"
    """Hardware config of `structbert`: `model_repository/structbert/configs/<name>.pbtxt`."""
    require_key: bool = False
    """Require a key on loopback too; on any other address one is always required."""
    tenants_file: Path | None = None
    """YAML file of tenants in place of the database; then there is no control plane and no worker."""
    admin_key: str = field(default="", repr=False)
    """The operator's key; generated at the first start and kept in the state folder if not given."""
    internal_key: str = field(default="", repr=False)
    """Secret by which the processes recognize each other; generated at each start if not given."""
    database_url: str = field(default="", repr=False)
    """Database of both planes; an SQLite file in the state folder if not given."""
    redis_url: str = field(default="", repr=False)
    """Redis or Valkey of the gateway; none if not given."""
    budget_webhook_url: str = field(default="", repr=False)
    """URL to which the worker posts budget alerts; none if not given."""
    budget_webhook_secret: str = field(default="", repr=False)
    """Secret that signs budget alerts, at least 32 characters."""
    oidc_client_secret: str = field(default="", repr=False)
    """Secret of the console at the OpenID Connect provider; none if not given."""
    state_dir: Path = CHECKOUT / ".state"
    """Folder for logs, keys, the database and what Triton loads."""
    start_timeout_s: float = 90.0
    """Longest time for each process to become ready."""
    log_format: str = "auto"
    """Format of the logs: `json`, `text` for people, or `auto`: text on a terminal, JSON in files and everywhere
    else."""
    log_file_bytes: int = 10_000_000
    """Size at which a log file is rotated."""
    log_files: int = 5
    """Log files kept for each process, including the current one; older ones are removed."""

    @property
    def keys_needed(self) -> bool:
        """As the gateway sees it."""
        return self.require_key or not is_loopback(self.host)

    @property
    def has_control_plane(self) -> bool:
        return self.tenants_file is None

    @property
    def url(self) -> str:
        """The gateway's, as this machine reaches it."""
        return _url(_reachable(self.host), self.port)

    @property
    def operators_url(self) -> str:
        """The gateway's, where tenants are managed."""
        return _url(_reachable(self.host), self.internal_port or self.port)

    @property
    def control_plane_url(self) -> str:
        return _url(CONTROL_PLANE_HOST, self.control_plane_port)

    @property
    def triton_is_local(self) -> bool:
        """Whether only this machine reaches Triton."""
        return is_loopback(self.triton_host)

    @property
    def reachable_triton_host(self) -> str:
        return _reachable(self.triton_host)

    @property
    def triton_url(self) -> str:
        return _url(self.reachable_triton_host, self.triton_http_port)

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.state_dir}/wanneng.db"


def _reachable(host: str) -> str:
    """Who listens on every address is reached on loopback."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


def load_settings(flags: Mapping[str, object], environment: Mapping[str, str] | None = None) -> ServeSettings:
    """Flags that are given, then the environment, then defaults; `StartError` names a bad value."""
    variables = os.environ if environment is None else environment
    try:
        check_variables(variables)
    except CommandError as error:
        raise StartError(str(error)) from None
    values: dict[str, object] = {}
    for setting in fields(ServeSettings):
        variable, flag = PREFIX + setting.name.upper(), flags.get(setting.name)
        value = variables.get(variable) if flag is None else flag
        if value is not None:
            name = variable if flag is None else f"--{setting.name.replace('_', '-')}"
            values[setting.name] = _converted(name, value, str(setting.type))
            _check(setting.name, name, values[setting.name])
    return ServeSettings(**values)  # type: ignore[arg-type]


def check_variables(environment: Mapping[str, str] | None = None) -> None:
    """`CommandError` names those that nothing of wanneng reads, such as a misspelt address or key."""
    if unknown := unknown_variables(os.environ if environment is None else environment):
        raise CommandError("; ".join(map(sentence, unknown)))


def log_format(flag: str | None, environment: Mapping[str, str] | None = None) -> str:
    """The format in which to say that another setting is bad."""
    variables = os.environ if environment is None else environment
    chosen = variables.get(f"{PREFIX}LOG_FORMAT") if flag is None else flag
    return chosen if chosen in LOG_FORMATS else "auto"


def _check(setting: str, name: str, value: object) -> None:
    if setting == "log_format" and value not in LOG_FORMATS:
        raise StartError(f"{name} is {value!r}; use {', '.join(LOG_FORMATS[:-1])} or {LOG_FORMATS[-1]}")
    if setting not in MINIMUMS:
        return
    least, number = MINIMUMS[setting], float(str(value))
    if setting.endswith("port") and not least <= number <= MAX_PORT:
        raise StartError(f"{name} is {value}; a port from {least} to {MAX_PORT} is needed")
    if not least <= number < math.inf:
        raise StartError(f"{name} is {value}; a number from {least} is needed")


def widen(columns: int) -> None:
    """Let `COLUMNS` claim no terminal narrower than `columns`, to the libraries that read it too."""
    claimed = os.environ.get("COLUMNS", "")
    if claimed.isdecimal() and int(claimed) < columns:
        os.environ["COLUMNS"] = str(columns)


def secret(variable: str) -> str | None:
    """A secret of the environment; None: it is not there, or empty."""
    return os.environ.get(variable, "").strip() or None


def gateway_url() -> str:
    """The gateway's address of the environment, or else that of this machine's own."""
    return os.environ.get(f"{PREFIX}URL") or ServeSettings().url


def is_proxied(url: str) -> bool:
    """Whether programs that follow the environment, as curl does, would send a request for `url` to a proxy."""
    parts = urlsplit(url)
    proxied = not {parts.scheme, "all"}.isdisjoint(getproxies())
    return proxied and not proxy_bypass(parts.netloc)


def nvidia_release(environment: Mapping[str, str] | None = None) -> str:
    """The release of NVIDIA's image that this runs in, such as `26.04`; empty anywhere else."""
    return (os.environ if environment is None else environment).get("NVIDIA_TRITON_SERVER_VERSION", "")


def inherited_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every child starts from: this process's own environment, without secrets.

    Paths and logs are UTF-8 in every locale, and packages are those of the virtual environment alone.
    """
    variables = os.environ if environment is None else environment
    withheld = SECRETS | OTHER_PYTHONS
    return {name: value for name, value in variables.items() if name not in withheld} | {
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


def _path(value: str) -> Path:
    return Path(value).expanduser().resolve()


_CONVERTERS: dict[str, Callable[[str], object]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _flag,
    "Path": _path,
    "Path | None": _path,
}


def _converted(name: str, value: object, kind: str) -> object:
    # Secrets in files, and files of variables, end in a line end.
    value = str(value).strip()
    if value == "":
        # An empty address would mean every interface of the machine.
        raise StartError(f"{name} is empty; give a value or leave it out")
    try:
        converted = _CONVERTERS[kind](value)
    except (ValueError, KeyError):
        expected = "true or false" if kind == "bool" else "a number"
        raise StartError(f"{name} is {value!r}; {expected} is needed") from None
    except RuntimeError as error:
        # Of a home folder that is not known, or links in a circle.
        reason = str(error).rstrip(".")
        raise StartError(f"{name} is {value!r}, which leads nowhere: {reason}; give an absolute path") from None
    if name in KEYS and not re.fullmatch(VISIBLE_ASCII, value):
        raise StartError(
            f"{name} has a character that no header can have; letters and digits are needed, as "
            "`openssl rand -hex 32` makes them"
        )
    if name in KEYS and len(value) < MIN_KEY_CHARACTERS:
        raise StartError(
            f"{name} has fewer than {MIN_KEY_CHARACTERS} characters; `openssl rand -hex 32` makes one"
        )
    return converted
