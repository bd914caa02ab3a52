"""`wanneng engine`: reads flags and hands them to the checkout's `engine` package."""

from __future__ import annotations

import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wanneng.arguments import MAY_BE_PATH
from wanneng.checkout import needing
from wanneng.console import Console
from wanneng.errors import CommandError
from wanneng.options import finite
from wanneng.text_io import shown_name

if TYPE_CHECKING:
    from engine.contract import Told
    from engine.recipe import Recipe

app = typer.Typer(
    no_args_is_help=True, help="Build engines from StructBERT and other NLI models, and verify them."
)
err = Console(stderr=True, soft_wrap=True, highlight=False)

SOURCE = typer.Argument(help="The folder of a ModelScope snapshot, or a ModelScope id to download.")
BUILD_SOURCE = typer.Argument(help="As for `reference`; or the folder of an fp32 engine, which needs no torch.")

LANGUAGE_CODE = re.compile("[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")  # BCP 47
LOGITS = typer.Option(
    help="What the model's labels mean, where config.json does not say: entailment,neutral,contradiction in order."
)
TEMPLATE = typer.Option(help="Hypothesis template of requests without one; by default the model's pipeline's.")
MAX_TOKENS = typer.Option(min=1, help="Longest pair in tokens; by default what the model takes, at most 512.")


def _language_codes(listed: str | None) -> str | None:
    if not all(map(LANGUAGE_CODE.fullmatch, _names(listed) or ())):
        raise typer.BadParameter(f"{listed!r} is not a list of language codes; use codes such as zh,en")
    return listed


LANGUAGES = typer.Option(
    callback=_language_codes, help="Languages that the model is for, such as zh,en; shown in /v1/models."
)
TOLERANCE = typer.Option(
    min=0, callback=finite, help="Largest difference of a logit from PyTorch's; by default the precision's own."
)


@app.command()
def build(
    source: Annotated[str, BUILD_SOURCE, MAY_BE_PATH],
    output: Annotated[Path, typer.Option(help="New folder for the engine.")],
    target: Annotated[str, typer.Option(help="cpu, cuda or tensorrt.")] = "cpu",
    precision: Annotated[
        str | None,
        typer.Option(help="cpu: fp32, bf16, int8, w8; cuda and tensorrt: fp16, fp32. The first by default."),
    ] = None,
    ragged: Annotated[
        bool | None, typer.Option("--ragged/--padded", help="Flat rows, for Triton's own onnxruntime backend.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model in answers; by default the source's.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a ModelScope id.")] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            help="JSON lines of text and labels, like your traffic's, to count labels that int8 and bf16 change."
        ),
    ] = None,
    tolerance: Annotated[float | None, TOLERANCE] = None,
    timing_cache: Annotated[Path | None, typer.Option(help="TensorRT's timing cache; created if missing.")] = None,
    hardware_compatible: Annotated[
        bool, typer.Option(help="TensorRT plans for every GPU from Ampere on; somewhat slower.")
    ] = False,
    logits: Annotated[str | None, LOGITS] = None,
    template: Annotated[str | None, TEMPLATE] = None,
    max_tokens: Annotated[int | None, MAX_TOKENS] = None,
    languages: Annotated[str | None, LANGUAGES] = None,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Do nothing if an engine of these weights is published there.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help="First remove all but so many engines beside the output folder.")
    ] = None,
    keep_also: Annotated[
        list[Path] | None, typer.Option(help="An engine that --keep counts and never removes; may be repeated.")
    ] = None,
) -> None:
    """Build an engine, compare its answers with the model's own pipeline, and publish it only if they agree."""
    with needing("engine.txt"):
        from engine.recipe import choose_recipe  # noqa: PLC0415
        from engine.samples import read_samples  # noqa: PLC0415

        recipe = choose_recipe(target, precision, ragged, tolerance)
        told = (logits, template, max_tokens, languages)
        if _is_engine(source) and any(value is not None for value in told):
            raise CommandError(f"{source} is an engine, and knows its model: these options are for a snapshot")
        published = if_missing and _is_engine(str(output))
        if published:
            _check_same(Path(source), output, recipe)
        own_samples = read_samples(samples) if samples is not None and not published else None
        if _is_engine(source) and own_samples is not None and recipe.target != "tensorrt":
            raise CommandError(f"{source} brings its own samples; give --samples when building from a snapshot")
        if keep is not None:
            from engine.publish import prune  # noqa: PLC0415

            prune(output, keep, keep_also or (), _say)
        if published:
            return
        model_name = name or shown_name(Path(source).resolve())
        if recipe.target == "tensorrt":
            _build_plans(source, output, model_name, revision, timing_cache, hardware_compatible, told, recipe)
            return
        if _is_engine(source):
            from engine.derive import derive_engine  # noqa: PLC0415

            _say(derive_engine(Path(source), output, recipe, log=_say).sentence())
            return
        from engine.source import snapshot_folder  # noqa: PLC0415

        folder = snapshot_folder(source, revision)
        # Imported last: torch takes seconds.
        from engine.build import build_engine  # noqa: PLC0415

        report = build_engine(
            folder, output, recipe, name=model_name, samples=own_samples, told=_told(*told), log=_say
        )
        _say(report.sentence())
        _say(f"published {output}; `{serve_command(output)}` serves it")


@app.command()
def reference(
    source: Annotated[str, SOURCE, MAY_BE_PATH],
    output: Annotated[Path, typer.Option(help="The .json file to write.")],
    samples: Annotated[
        Path | None, typer.Option(help="JSON lines of text and labels; by default built-in ones.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a ModelScope id.")] = None,
    logits: Annotated[str | None, LOGITS] = None,
    template: Annotated[str | None, TEMPLATE] = None,
    max_tokens: Annotated[int | None, MAX_TOKENS] = None,
) -> None:
    """Write texts and labels with the answers of the model's own pipeline."""
    with needing("engine.txt"):
        from engine.reference import write_reference  # noqa: PLC0415
        from engine.samples import read_samples  # noqa: PLC0415
        from engine.source import snapshot_folder  # noqa: PLC0415

        texts = None if samples is None else read_samples(samples)
        told = _told(logits, template, max_tokens)
        pairs = write_reference(snapshot_folder(source, revision), texts, output, told)
        _say(f"{output}: {pairs} pairs")


@app.command()
def verify(
    engine: Annotated[str, typer.Argument(help="An engine's folder, or Triton's gRPC address."), MAY_BE_PATH],
    reference: Annotated[
        Path | None, typer.Option(help="From `wanneng engine reference`; an engine's folder has its own.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Whose tolerance applies; by default the engine's own.")
    ] = None,
    tolerance: Annotated[float | None, TOLERANCE] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report to this file as JSON.")] = None,
) -> None:
    """Compare the answers of an engine with a reference; exit code 1 beyond the precision's tolerance."""
    with needing("serve.txt"):
        from engine.verification.verdict import verify as verify_target  # noqa: PLC0415

        comparison = verify_target(engine, reference, precision, tolerance)
        if report is not None:
            comparison.save(report)
        print(comparison.json())
        _say(comparison.sentence())
        if not comparison.passed:
            raise typer.Exit(1)


@app.command()
def wait(
    folder: Annotated[Path, typer.Argument(help="Folder of the engine.")],
    timeout_s: Annotated[float, typer.Option(min=0, callback=finite, help="Longest wait.")] = 3600.0,
    built_by: Annotated[str, typer.Option(help="Who builds it; printed while waiting.")] = "",
    downloaded: Annotated[
        Path | None, typer.Option(help="Folder on the same disk from which to move it there; needs --checksum.")
    ] = None,
    checksum: Annotated[str, typer.Option(help="What `wanneng engine checksum` says of it.")] = "",
) -> None:
    """Wait until an engine is published in a folder (init container of a Triton pod)."""
    with needing("serve.txt"):
        from engine.publish import await_published, check, install  # noqa: PLC0415

        if downloaded is not None:
            if not checksum:
                raise CommandError("--downloaded needs --checksum")
            install(downloaded, folder, checksum)
        else:
            hint = f"; {built_by} builds it" if built_by else ""
            await_published(folder, timeout_s=timeout_s, log=lambda line: _say(line + hint))
            if checksum:
                check(folder, checksum)
        _say(f"{folder} is there")


@app.command()
def checksum(folder: Annotated[Path, typer.Argument(help="Folder of the engine.")]) -> None:
    """Print the checksum of an engine's files, by which pods recognize it."""
    with needing("serve.txt"):
        from engine.publish import checksum as checksum_of  # noqa: PLC0415

        print(checksum_of(folder))


@app.command()
def snapshot(
    source: Annotated[Path, typer.Argument(help="Folder of a w8 engine.")],
    output: Annotated[Path, typer.Option(help="New folder for the snapshot.")],
) -> None:
    """Turn a w8 engine back into a ModelScope snapshot with the same logits."""
    with needing("engine.txt"):
        from engine.build import restore_snapshot  # noqa: PLC0415

        restore_snapshot(source, output)


def _build_plans(
    source: str,
    output: Path,
    name: str,
    revision: str | None,
    timing_cache: Path | None,
    hardware_compatible: bool,
    told: tuple[str | None, str | None, int | None, str | None],
    recipe: Recipe,
) -> None:
    """Plans from a padded fp32 engine, which is built first when the source is a snapshot."""
    from engine.plans import build_plans  # noqa: PLC0415
    from engine.recipe import choose_recipe  # noqa: PLC0415
    from engine.tensorrt_api import TensorRt  # noqa: PLC0415
    from engine.verification.local_triton import ask_plans  # noqa: PLC0415

    builder = TensorRt(timing_cache, hardware_compatible=hardware_compatible)
    with tempfile.TemporaryDirectory(prefix="wanneng-engine-") as work:
        onnx = Path(source)
        if not _is_engine(source):
            from engine.build import build_engine  # noqa: PLC0415
            from engine.source import snapshot_folder  # noqa: PLC0415

            onnx = Path(work) / "onnx"
            folder = snapshot_folder(source, revision)
            build_engine(folder, onnx, choose_recipe(), name=name, told=_told(*told), log=_say)
        report = build_plans(onnx, output, recipe, builder, ask_plans, log=_say)
    _say(report.sentence())


def _check_same(source: Path, output: Path, recipe: Recipe) -> None:
    """`CommandError` unless the engine at `output` is of the recipe's kind and of the source's weights."""
    from engine.manifest import read_manifest  # noqa: PLC0415

    published, expected_kind = read_manifest(output), (recipe.target, recipe.precision, recipe.front)
    kind = tuple(published.get(name) for name in ("target", "precision", "front"))
    weights = read_manifest(source).get("weights_sha256") if _is_engine(str(source)) else None
    if kind != expected_kind or published.get("weights_sha256") != weights:
        raise CommandError(
            f"{output} is an engine of another kind or of other weights than {source}; "
            "put a new model into a new folder, and build into another one"
        )
    _say(f"{output} is there already, and was verified when it was built: {published.get('engine_id')}")


def serve_command(engine: Path) -> str:
    """For a shell, whatever characters the path has."""
    return shlex.join(["wanneng", "serve", "--engine", str(engine)])


def _told(logits: str | None, template: str | None, max_tokens: int | None, languages: str | None = None) -> Told:
    from engine.contract import Told  # noqa: PLC0415

    return Told(_names(logits), template, max_tokens, _names(languages) or ())


def _names(listed: str | None) -> tuple[str, ...] | None:
    return None if listed is None else tuple(name.strip() for name in listed.split(",") if name.strip())


def _is_engine(source: str) -> bool:
    return (Path(source) / "engine.json").exists()


def _say(line: str) -> None:
    err.print(f"wanneng: {line}", markup=False)
