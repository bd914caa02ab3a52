"""The command and environment of tritonserver: that of the `nvidia-pytriton` wheel, or of NVIDIA's image."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from wanneng.errors import StartError
from wanneng.serve.checks import check_executable
from wanneng.serve.cores import limited_cores
from wanneng.serve.hardware_config import ONNXRUNTIME, PYTHON, check_backend, check_engine, read_config
from wanneng.serve.repository import MODELS_FOLDER, compose
from wanneng.serve.seccomp import ignore_fchmod
from wanneng.serve.shared_memory import SharedMemory
from wanneng.settings import CHECKOUT, ServeSettings, inherited_environment, nvidia_release
from wanneng.variables import PREFIX

CLOSED_APIS = "model-repository,model-config,shared-memory,trace,logging:Closed To Everybody=\n"
"""Triton's endpoints that change the server or tell more than a result, and the header that opens them.

Whoever reads this command with `ps` knows the header, so it is one that nobody can send: HTTP ends a value at a
newline, and gRPC refuses a name with spaces and capitals before any handler sees the request.
"""
EXIT_TIMEOUT_S = 4
BACKENDS_FOLDER, ENGINE_LINK = "backends", "engine"
"""Below the state folder, like `MODELS_FOLDER`. Triton runs there and is given relative paths alone: it starts its
Python processes with an unquoted line of shell, and those take every path for ASCII.
"""
PACKAGES = ("logs", "python_backend")
"""Of the Python models. Triton's interpreter ignores PYTHONPATH, and finds them in the folder where it runs."""
PYTRITON_RELEASES = {"0.7.0": "24.10"}
"""By version of the wheel."""
SAFE_RELEASE = (25, 7)
"""The first one in which a request alone does not run code or end the server, as far as is published."""
NVIDIA = Path("/opt/tritonserver")
"""Where NVIDIA's image has the server."""
ENSEMBLE = "zero_shot_logits"
"""What the gateway asks; `zero_shot_logits_s64` where lengths are served in buckets."""


@dataclass(frozen=True, slots=True)
class _Installation:
    """A tritonserver on this machine."""

    binary: Path
    backends: str
    """A relative folder is below the state folder, where Triton runs."""
    libraries: tuple[Path, ...]
    """Folders that its Python stub needs on LD_LIBRARY_PATH."""
    has_gpu_metrics: bool
    release: str
    """Of NVIDIA's images, such as `24.10`; empty where it is not known."""


@dataclass(frozen=True, slots=True)
class TritonServer:
    """Command and environment of one start, and its shared memory."""

    command: list[str]
    environment: dict[str, str]
    folder: Path
    """Where it runs."""
    shared_memory: SharedMemory
    buckets: tuple[int, ...]
    """Length buckets that are served, in tokens; none where one model takes every length."""

    def prepare_process(self) -> None:
        """Called in the process that becomes Triton."""
        ignore_fchmod()
        os.chdir(self.folder)

    @property
    def ready_model(self) -> str:
        """What is asked whether the models are ready: Triton answers once all of them are loaded."""
        return f"{ENSEMBLE}_s{self.buckets[-1]}" if self.buckets else ENSEMBLE


def prepare_triton(settings: ServeSettings, exit_timeout_s: int = EXIT_TIMEOUT_S) -> TritonServer:
    """Check the server and the engine, compose the model repository, and build the command.

    `exit_timeout_s`: how long Triton may finish what it has begun after SIGTERM.
    """
    config = read_config(settings.model_config_name)
    check_engine(settings.engine, config)
    server = _installation(settings.state_dir)
    _check_network(settings, server.release)
    backends = settings.state_dir / server.backends
    check_backend(config, backends)
    compose(settings.engine, settings.state_dir / MODELS_FOLDER, _ensembles(config.buckets))
    _link(settings.state_dir / ENGINE_LINK, settings.engine)
    for package in PACKAGES:
        _link(settings.state_dir / package, CHECKOUT / package)
    shared_memory = SharedMemory()
    options = {
        "model-repository": f"./{MODELS_FOLDER}",
        # All of the repository, and nothing is loaded or unloaded later.
        "model-control-mode": "none",
        "model-config-name": settings.model_config_name,
        "backend-directory": server.backends,
        "http-address": settings.triton_host,
        "http-port": settings.triton_http_port,
        "grpc-address": settings.triton_host,
        "grpc-port": settings.triton_grpc_port,
        "metrics-address": settings.triton_host,
        "metrics-port": settings.triton_metrics_port,
        "allow-sagemaker": "false",
        # Its default depends on the environment.
        "allow-vertex-ai": "false",
        "allow-gpu-metrics": str(server.has_gpu_metrics).lower(),
        "exit-timeout-secs": exit_timeout_s,
        "http-restricted-api": CLOSED_APIS,
        "grpc-restricted-protocol": CLOSED_APIS,
    }
    threads = settings.engine_threads or limited_cores()
    backend_options = [f"{PYTHON},shm-region-prefix-name={shared_memory.prefix}"]
    if config.backend == ONNXRUNTIME and threads:
        # Only a pool that all sessions share has a size that can be told here.
        backend_options += [
            f"{ONNXRUNTIME},{option}"
            for option in (
                "enable-global-threadpool=1",
                f"intra_op_thread_count={threads}",
                "inter_op_thread_count=1",
            )
        ]
    environment = _environment(server) | {
        f"{PREFIX}ENGINE": f"./{ENGINE_LINK}",
        f"{PREFIX}ENGINE_THREADS": str(threads),
    }
    return TritonServer(
        [
            str(server.binary),
            "--disable-auto-complete-config",
            *(f"--{name}={value}" for name, value in options.items()),
            *(f"--backend-config={option}" for option in backend_options),
        ],
        environment,
        settings.state_dir,
        shared_memory,
        config.buckets,
    )


def _ensembles(buckets: tuple[int, ...]) -> list[str]:
    """Direct clients' `zero_shot` needs a model that takes every length, which buckets do not have."""
    return [f"{ENSEMBLE}_s{bucket}" for bucket in buckets] or ["zero_shot", ENSEMBLE]


def _installation(state_dir: Path) -> _Installation:
    pytriton = importlib.util.find_spec("pytriton")
    if pytriton is not None and pytriton.origin is not None:
        package = Path(pytriton.origin).parent
        libraries = (
            package.parent / "nvidia_pytriton.libs",
            Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"),
        )
        release = PYTRITON_RELEASES.get(importlib.metadata.version("nvidia-pytriton"), "")
        binary = package / "tritonserver/bin/tritonserver"
        check_executable(binary)
        backends = _link_backend(package / "tritonserver", state_dir)
        return _Installation(binary, backends, libraries, False, release)
    if (NVIDIA / "bin/tritonserver").exists():
        return _Installation(NVIDIA / "bin/tritonserver", str(NVIDIA / "backends"), (), True, nvidia_release())
    raise StartError("Triton is not installed here: run `make serve` in a checkout")


def _link_backend(server: Path, state_dir: Path) -> str:
    """A backend folder, relative to `state_dir`, with the stub of the running Python.

    Links work where the state folder is mounted `noexec`, as Docker mounts a tmpfs.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise StartError(f"Triton has no Python backend for Python {version}; 3.11 and 3.12 work")
    folder = state_dir / BACKENDS_FOLDER / "python"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source in [*(server / "backends" / "python").iterdir(), stub]:
        _link(folder / source.name, source)
    return f"./{BACKENDS_FOLDER}"


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target.resolve())


def _check_network(settings: ServeSettings, release: str) -> None:
    """`StartError` where strangers could reach a server whose vulnerabilities are known."""
    match = re.fullmatch(r"(\d\d)\.(\d\d)", release)
    is_safe = match is not None and (int(match[1]), int(match[2])) >= SAFE_RELEASE
    if not (settings.triton_is_local or settings.trusted_network or is_safe):
        raise StartError(
            f"Triton {release or 'of an unknown release'} has published vulnerabilities (docs/security.md), and "
            f"would listen on {settings.triton_host}: use a loopback address, release 25.07 or, where nobody but "
            "gateways can connect, --trusted-network (WANNENG_TRUSTED_NETWORK=true)"
        )


def _environment(server: _Installation) -> dict[str, str]:
    """That of this process without our own variables, and with what the Python models need."""
    inherited = inherited_environment()
    environment = {name: value for name, value in inherited.items() if not name.startswith(PREFIX)}
    library_path = environment.get("LD_LIBRARY_PATH", "")
    environment["LD_LIBRARY_PATH"] = os.pathsep.join([*map(str, server.libraries), *filter(None, [library_path])])
    # The stub finds its packages through the first `python3` of PATH.
    # Without one, each program has a default of its own, and the stub has none.
    path = environment.get("PATH") or os.defpath
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    return environment
