import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from wanneng.errors import StartError
from wanneng.serve import triton
from wanneng.serve.triton import _check_network, prepare_triton
from wanneng.settings import CHECKOUT, ServeSettings

ENGINE = CHECKOUT / "tests/golden/small"


def test_triton_is_given_paths_without_blanks_or_other_letters(tmp_path: Path) -> None:
    """It starts its Python processes with an unquoted line of shell."""
    server = prepare_triton(ServeSettings(engine=ENGINE, state_dir=tmp_path / "状态 $(x)'"))
    # Triton's own program and its libraries stay where they are installed.
    options = dict(argument.partition("=")[::2] for argument in server.command[1:])
    assert (options["--backend-directory"], options["--model-repository"]) == ("./backends", "./models")
    assert all(argument.isascii() for argument in server.command[1:])
    assert server.environment["WANNENG_ENGINE"] == "./engine"
    assert (server.folder / "engine/model.onnx").samefile(ENGINE / "model.onnx")


def test_a_backend_of_links_runs_where_the_state_folder_may_run_nothing(tmp_path: Path) -> None:
    for _ in range(2):  # the second start finds the links of the first
        prepare_triton(ServeSettings(engine=ENGINE, state_dir=tmp_path))
    assert all(path.is_symlink() for path in (tmp_path / "backends/python").iterdir())


def test_a_hardware_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nowhere does not exist; there are local, local-padded, onnx-cpu"):
        prepare_triton(ServeSettings(engine=ENGINE, state_dir=tmp_path, model_config_name="nowhere"))


def test_every_address_of_triton_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    server = prepare_triton(ServeSettings(engine=ENGINE, state_dir=tmp_path, triton_host="127.0.0.9"))
    for name in ("http", "grpc", "metrics"):
        assert f"--{name}-address=127.0.0.9" in server.command


def test_the_header_that_opens_the_closed_apis_cannot_be_sent(tmp_path: Path) -> None:
    """`ps` shows it to everybody; tests/e2e/test_closed_triton.py sends it to a real Triton in every way."""
    command = prepare_triton(ServeSettings(engine=ENGINE, state_dir=tmp_path)).command
    options = dict(argument.partition("=")[::2] for argument in command)
    for name in ("--http-restricted-api", "--grpc-restricted-protocol"):
        apis, _, header = options[name].partition(":")
        header_name, _, value = header.partition("=")
        assert set(apis.split(",")) == {"model-repository", "model-config", "shared-memory", "trace", "logging"}
        assert "\n" in value, "HTTP ends a header at a newline"
        assert not re.fullmatch(r"[0-9a-z_.-]+", header_name), "what gRPC takes for a name"
    assert options["--model-control-mode"] == "none"
    assert options["--allow-sagemaker"] == options["--allow-vertex-ai"] == "false"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "triton.internal"])
def test_a_server_with_published_vulnerabilities_listens_on_loopback_alone(host: str, tmp_path: Path) -> None:
    settings = ServeSettings(engine=ENGINE, state_dir=tmp_path, triton_host=host)
    with pytest.raises(StartError, match=r"Triton 24\.10 has published vulnerabilities .* --trusted-network"):
        prepare_triton(settings)
    assert f"--http-address={host}" in prepare_triton(replace(settings, trusted_network=True)).command


@pytest.mark.parametrize(
    ("release", "is_safe"),
    [("24.10", False), ("25.06", False), ("25.07", True), ("26.04", True), ("", False), ("26", False)],
)
def test_which_releases_strangers_may_reach(release: str, is_safe: bool) -> None:
    settings = ServeSettings(triton_host="0.0.0.0")
    if is_safe:
        _check_network(settings, release)
    else:
        with pytest.raises(StartError, match=release or "unknown release"):
            _check_network(settings, release)
    _check_network(replace(settings, triton_host="127.0.0.1"), release)


def test_of_our_own_variables_triton_is_given_only_those_that_its_models_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ADMIN_KEY", "INTERNAL_KEY", "DATABASE_URL", "REDIS_URL", "TENANTS_FILE", "MAX_TEXTS"):
        monkeypatch.setenv(f"WANNENG_{name}", "1")
    environment = prepare_triton(ServeSettings(engine=ENGINE, state_dir=tmp_path, engine_threads=3)).environment
    own = {name: value for name, value in environment.items() if name.startswith("WANNENG_")}
    assert own == {
        "WANNENG_ENGINE": "./engine",
        "WANNENG_ENGINE_THREADS": "3",
    }


def engine_of(folder: Path, target: str, front: str) -> Path:
    shutil.copytree(ENGINE, folder)
    manifest = json.loads((folder / "engine.json").read_text(encoding="utf-8"))
    (folder / "engine.json").write_text(json.dumps(manifest | {"target": target, "front": front}))
    return folder


@pytest.mark.parametrize(
    ("target", "front", "name", "way_out"),
    [
        ("cpu", "padded", "onnx-cpu", "--target cpu --ragged"),
        ("cuda", "ragged", "onnx-cpu", "--target cpu --ragged"),
        ("cpu", "ragged", "onnx-cuda", "--target cuda --ragged"),
        ("cuda", "padded", "onnx-cuda-a100", "--target cuda --ragged"),
        ("cpu", "padded", "tensorrt-a10", "--target tensorrt"),
        ("tensorrt", "padded", "local", "--target cpu --padded"),
        ("cuda", "ragged", "local", "--target cpu --padded"),
    ],
)
def test_an_engine_that_a_config_does_not_run_is_refused_before_triton_starts(
    target: str, front: str, name: str, way_out: str, tmp_path: Path
) -> None:
    settings = ServeSettings(
        engine=engine_of(tmp_path / "engine", target, front), state_dir=tmp_path / "state", model_config_name=name
    )
    with pytest.raises(StartError, match=f"is for --target {target} with {front} inputs, .*{name}.*{way_out}`"):
        prepare_triton(settings)


@pytest.mark.parametrize(
    ("target", "name"), [("cpu", "onnx-cpu"), ("cuda", "onnx-cuda-mig"), ("tensorrt", "tensorrt-a10")]
)
def test_a_backend_that_is_missing_is_refused_before_triton_starts(target: str, name: str, tmp_path: Path) -> None:
    front = "padded" if target == "tensorrt" else "ragged"
    engine, state = engine_of(tmp_path / "engine", target, front), tmp_path / "state"
    settings = ServeSettings(engine=engine, state_dir=state, model_config_name=name)
    backend = "tensorrt" if target == "tensorrt" else "onnxruntime"
    with pytest.raises(
        StartError, match=f"{name} needs Triton's {backend} backend, which .* lacks; .*choose local"
    ):
        prepare_triton(settings)
    (state / "backends" / backend).mkdir()
    assert f"--model-config-name={name}" in prepare_triton(settings).command


@pytest.mark.parametrize(("given", "limit", "threads"), [(3, 0, 3), (3, 1, 3), (0, 1, 1), (0, 0, 0)])
def test_the_threads_of_a_run_are_those_that_were_asked_for_or_those_of_the_container(
    given: int, limit: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environment of the Python model, and by the options of the onnxruntime backend."""
    monkeypatch.setattr(triton, "limited_cores", lambda: limit)
    settings = ServeSettings(engine=ENGINE, state_dir=tmp_path / "local", engine_threads=given)
    assert prepare_triton(settings).environment["WANNENG_ENGINE_THREADS"] == str(threads)
    engine = engine_of(tmp_path / "engine", "cpu", "ragged")
    (tmp_path / "native/backends/onnxruntime").mkdir(parents=True)
    native = replace(settings, engine=engine, state_dir=tmp_path / "native", model_config_name="onnx-cpu")
    options = [argument for argument in prepare_triton(native).command if "=onnxruntime," in argument]
    expected = ("enable-global-threadpool=1", f"intra_op_thread_count={threads}", "inter_op_thread_count=1")
    assert options == [f"--backend-config=onnxruntime,{option}" for option in expected if threads]


def test_the_packages_of_the_models_are_found_where_triton_runs(tmp_path: Path) -> None:
    """As in an image, where nothing is installed: its interpreter looks there, and ignores PYTHONPATH."""
    server = prepare_triton(ServeSettings(engine=ENGINE, state_dir=tmp_path))
    script = "import sys; sys.path.insert(0, ''); import logs.setup, python_backend.errors"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], cwd=server.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_programs_are_found_where_the_environment_has_no_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Triton's stub is started by a shell and looks for `python3` itself."""
    monkeypatch.delenv("PATH")
    path = prepare_triton(ServeSettings(engine=ENGINE, state_dir=tmp_path)).environment["PATH"]
    assert path == f"{Path(sys.executable).parent}:{os.defpath}"
