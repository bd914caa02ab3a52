"""`wanneng`: reads flags, delegates, turns errors into one line and exit code 1."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wanneng import audit as audit_commands
from wanneng import batch as batch_commands
from wanneng import engine as engine_commands
from wanneng import key as key_commands
from wanneng import label_set as label_set_commands
from wanneng import tenant as tenant_commands
from wanneng.arguments import check_texts
from wanneng.bench import bench
from wanneng.calibration.commands import calibrate
from wanneng.classify import classify
from wanneng.cluster import commands as cluster_commands
from wanneng.console import MIN_WIDTH
from wanneng.errors import CommandError
from wanneng.evaluate import evaluate
from wanneng.options import say
from wanneng.serve.access import LOCAL_KEY_FILE
from wanneng.settings import ServeSettings, check_variables, is_proxied, load_settings, widen
from wanneng.settings import log_format as chosen_log_format
from wanneng.status import status
from wanneng.text_io import prepare_streams

if TYPE_CHECKING:
    from wanneng.serve.serve_log import ServeLog

EXAMPLE = '{"text": "这个手机质量太差，要求退款", "labels": "投诉,咨询,建议"}'

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(cluster_commands.app, name="cluster")
app.add_typer(engine_commands.app, name="engine")
app.add_typer(batch_commands.app, name="batch")
app.add_typer(tenant_commands.app, name="tenant")
app.add_typer(key_commands.app, name="key")
app.add_typer(audit_commands.app, name="audit")
app.add_typer(label_set_commands.app, name="label-set")


app.command()(classify)
app.command()(bench)
app.command()(calibrate)
app.command()(evaluate)
app.command()(status)


@app.callback()
def describe(context: typer.Context) -> None:
    """Zero-shot text classification: any text, any labels, a score for each."""
    # The servers report it in the format of their log.
    if context.invoked_subcommand not in ("serve", "triton"):
        check_variables()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address of the gateway.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the gateway.")] = None,
    internal_port: Annotated[
        int | None, typer.Option(help="Port of /metrics, /v1/tenants and /v1/admin alone; 0: one port for all.")
    ] = None,
    control_plane_port: Annotated[int | None, typer.Option(help="Port of the control plane.")] = None,
    triton_host: Annotated[str | None, typer.Option(help="Address of Triton's ports.")] = None,
    trusted_network: Annotated[
        bool | None,
        typer.Option("--trusted-network", help="Let others connect to a Triton with known vulnerabilities."),
    ] = None,
    triton_http_port: Annotated[int | None, typer.Option(help="Triton's HTTP port.")] = None,
    triton_grpc_port: Annotated[int | None, typer.Option(help="Triton's gRPC port.")] = None,
    triton_metrics_port: Annotated[int | None, typer.Option(help="Triton's metrics port.")] = None,
    engine: Annotated[Path | None, typer.Option(help="Folder of the engine.")] = None,
    engine_threads: Annotated[int | None, typer.Option(help="Threads that run the engine; 0: all cores.")] = None,
    model_config_name: Annotated[str | None, typer.Option(help="Hardware config of structbert.")] = None,
    require_key: Annotated[
        bool | None, typer.Option("--require-key", help="Ask for a key on loopback too.")
    ] = None,
    tenants_file: Annotated[
        Path | None, typer.Option(help="YAML file of tenants in place of the database.")
    ] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Folder for logs, keys and the database.")] = None,
    start_timeout_s: Annotated[
        float | None, typer.Option(help="Longest time for each process to become ready.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="json, text or auto: text on a terminal.")] = None,
    log_file_bytes: Annotated[int | None, typer.Option(help="Size at which a log file is rotated.")] = None,
    log_files: Annotated[int | None, typer.Option(help="Log files of each process.")] = None,
) -> None:
    """Run Triton, the gateway, the control plane and its worker on this machine until Ctrl-C.

    Every flag is also an environment variable: --triton-http-port is WANNENG_TRITON_HTTP_PORT.
    """
    flags: dict[str, object] = dict(locals())
    # Here and not above: `wanneng classify` must work where the servers' packages are not installed.
    from logs.setup import STDERR, is_text  # noqa: PLC0415
    from wanneng.serve.private_files import naming_state_files  # noqa: PLC0415
    from wanneng.serve.serve_log import ServeLog  # noqa: PLC0415
    from wanneng.serve.supervisor import Supervisor  # noqa: PLC0415

    log = ServeLog(text=is_text(chosen_log_format(log_format), STDERR))
    with log.reporting():
        settings = load_settings(flags)
        with naming_state_files(settings.state_dir):
            asyncio.run(Supervisor(settings, log).run(lambda key: _say_ready(settings, key, log)))


@app.command()
def triton(
    exit_timeout_s: Annotated[
        int, typer.Option(min=0, help="How long Triton may finish requests after SIGTERM.")
    ] = 30,
    trusted_network: Annotated[
        bool | None,
        typer.Option("--trusted-network", help="Let others connect to a Triton with known vulnerabilities."),
    ] = None,
) -> None:
    """Run Triton alone (container entrypoint) with its log on standard output; reads the variables of `serve`."""
    from logs.setup import STDERR, is_text  # noqa: PLC0415
    from wanneng.serve.container import run_triton  # noqa: PLC0415
    from wanneng.serve.private_files import naming_state_files  # noqa: PLC0415
    from wanneng.serve.serve_log import ServeLog  # noqa: PLC0415

    log = ServeLog(text=is_text(chosen_log_format(None), STDERR))
    with log.reporting():
        settings = load_settings({"trusted_network": trusted_network})
        with naming_state_files(settings.state_dir):
            code = asyncio.run(run_triton(settings, exit_timeout_s, log))
    raise typer.Exit(code)


check_texts(app)


def main() -> None:
    """The entry point of the `wanneng` command."""
    prepare_streams()
    widen(MIN_WIDTH)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the answer has enough.
        sys.exit(1)
    except (CommandError, OSError) as error:
        say(str(error))
        sys.exit(1)


def _say_ready(settings: ServeSettings, key: str | None, log: ServeLog) -> None:
    """`key`: the local tenant's, which is printed nowhere; None where a file declares the tenants."""
    from logs.setup import STDOUT  # noqa: PLC0415
    from wanneng.serve.serve_log import encoding, print_line  # noqa: PLC0415

    key_file = settings.state_dir / LOCAL_KEY_FILE
    if key is None:
        log(f"tenants and keys are those of {settings.tenants_file}")
    else:
        asked = "needed" if settings.keys_needed else "not asked for on loopback"
        log(f"the key of the local tenant ({asked}) is in {key_file}")
    log(f"ready at {settings.url} (Ctrl-C stops it); try it:")
    known = "KEY" if key is None else f"$(cat {shlex.quote(str(key_file))})"
    header = f' -H "Authorization: Bearer {known}"' if settings.keys_needed else ""
    # For whoever pastes it: curl sends the bytes of the terminal's encoding, through the proxy of the environment.
    example = EXAMPLE if encoding(STDOUT).lower().startswith("utf-8") else json.dumps(json.loads(EXAMPLE))
    direct = " --noproxy '*'" if is_proxied(settings.url) else ""
    print_line(
        STDOUT,
        f"curl -s{direct} {settings.url}/v1/classify{header} -H 'Content-Type: application/json' "
        f"-d {shlex.quote(example)}",
    )


if __name__ == "__main__":
    main()
