"""`wanneng engine`: reads flags and hands them to the checkout's `engine` package. Builds nothing itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from wanneng.errors import CommandError

if TYPE_CHECKING:
    from engine.recipe import Recipe

app = typer.Typer(no_args_is_help=True, help="Build engines from StructBERT snapshots, and prove them.")
err = Console(stderr=True, soft_wrap=True, highlight=False)

SOURCE = typer.Argument(help="A ModelScope snapshot's folder, or a ModelScope id to download.")
BUILD_SOURCE = typer.Argument(help="As for `reference`; or the folder of an fp32 engine, which needs no torch.")

TOLERANCE = typer.Option(help="Largest difference of a logit from PyTorch's; the precision's own by default.")


@app.command()
def build(
    source: Annotated[str, BUILD_SOURCE],
    output: Annotated[Path, typer.Option(help="New folder for the engine.")],
    target: Annotated[str, typer.Option(help="cpu, cuda or tensorrt.")] = "cpu",
    precision: Annotated[
        str | None, typer.Option(help="cpu: fp32, int8, w8; cuda and tensorrt: fp16, fp32. The first by default.")
    ] = None,
    ragged: Annotated[
        bool | None, typer.Option("--ragged/--padded", help="Flat rows, for Triton's own onnxruntime backend.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What answers call the model; the source's name.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of a ModelScope id.")] = None,
    samples: Annotated[
        Path | None, typer.Option(help="JSON lines of text and labels like your traffic's, to calibrate int8 on.")
    ] = None,
    tolerance: Annotated[float | None, TOLERANCE] = None,
    timing_cache: Annotated[Path | None, typer.Option(help="TensorRT's; made when missing.")] = None,
    hardware_compatible: Annotated[
        bool, typer.Option(help="TensorRT plans for every GPU from Ampere on; somewhat slower.")
    ] = False,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Leave what is published there, if it is of these weights.")
    ] = False,
) -> None:
    """Build an engine, compare it with PyTorch, and publish it only if it agrees."""
    with _needing("engine.txt"):
        from engine.recipe import choose_recipe  # noqa: PLC0415
        from engine.samples import read_samples  # noqa: PLC0415

        recipe = choose_recipe(target, precision, ragged, tolerance)
        if if_missing and _is_engine(str(output)):
            _check_same(Path(source), output, recipe)
            return
        calibration = read_samples(samples) if samples is not None else None
        called = name or Path(source).resolve().name
        if recipe.target == "tensorrt":
            _build_plans(source, output, called, revision, timing_cache, hardware_compatible, recipe)
            return
        if _is_engine(source):
            from engine.derive import derive_engine  # noqa: PLC0415

            if calibration is not None:
                raise CommandError(f"{source} carries its own samples: --samples is for the build of that engine")
            _say(derive_engine(Path(source), output, recipe, say=_say).sentence())
            return
        from engine.source import snapshot_folder  # noqa: PLC0415

        folder = snapshot_folder(source, revision)
        # After that, since it brings torch, which takes seconds.
        from engine.build import build_engine  # noqa: PLC0415

        report = build_engine(folder, output, recipe, name=called, samples=calibration, say=_say)
        _say(report.sentence())
        _say(f"published {output}; `wanneng serve --engine {output}` serves it")


@app.command()
def reference(
    source: Annotated[str, SOURCE],
    output: Annotated[Path, typer.Option(help="The .npz file to write.")],
    samples: Annotated[Path | None, typer.Option(help="JSON lines of text and labels; built-in ones.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of a ModelScope id.")] = None,
) -> None:
    """Write inputs and the FP32 logits that PyTorch gives for them."""
    with _needing("engine.txt"):
        from engine.reference import write_reference  # noqa: PLC0415
        from engine.samples import own_samples, read_samples  # noqa: PLC0415
        from engine.source import snapshot_folder  # noqa: PLC0415

        asked = own_samples("reference") if samples is None else read_samples(samples)
        pairs = write_reference(snapshot_folder(source, revision), asked, output)
        _say(f"{output}: {pairs} pairs of {len(asked)} texts")


@app.command()
def verify(
    engine: Annotated[str, typer.Argument(help="An engine's folder, an ONNX file, or Triton's gRPC address.")],
    reference: Annotated[
        Path | None, typer.Option(help="From `wanneng engine reference`; an engine's folder has its own.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Whose tolerance holds; an engine's folder says it.")
    ] = None,
    tolerance: Annotated[float | None, TOLERANCE] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report there as JSON.")] = None,
) -> None:
    """Compare an engine with a reference; exit code 0 within the precision's tolerance, 1 beyond."""
    with _needing("serve.txt"):
        from engine.verification.verdict import verify as verdict  # noqa: PLC0415

        found = verdict(engine, reference, precision, tolerance)
        if report is not None:
            found.save(report)
        print(found.json())
        _say(found.sentence())
        if not found.passed:
            raise typer.Exit(1)


@app.command()
def wait(
    folder: Annotated[Path, typer.Argument(help="Where the engine will be.")],
    timeout_s: Annotated[float, typer.Option(help="Longest wait.")] = 3600.0,
    built_by: Annotated[str, typer.Option(help="Who publishes it, for whoever reads what this prints.")] = "",
) -> None:
    """Wait until an engine is published in a folder: what a pod does before its Triton starts."""
    with _needing("serve.txt"):
        from engine.publish import await_published  # noqa: PLC0415

        hint = f"; {built_by} builds it" if built_by else ""
        await_published(folder, timeout_s=timeout_s, say=lambda line: _say(line + hint))
        _say(f"{folder} is there")


@app.command()
def snapshot(
    source: Annotated[Path, typer.Argument(help="Folder of a w8 engine.")],
    output: Annotated[Path, typer.Option(help="New folder for the snapshot.")],
) -> None:
    """Turn a w8 engine back into a ModelScope snapshot with the same logits."""
    with _needing("engine.txt"):
        from engine.build import restore_snapshot  # noqa: PLC0415

        restore_snapshot(source, output)


def _build_plans(
    source: str,
    output: Path,
    name: str,
    revision: str | None,
    timing_cache: Path | None,
    hardware_compatible: bool,
    recipe: Recipe,
) -> None:
    """Plans from a padded fp32 engine, which is built first when the source is a snapshot."""
    from engine.plans import build_plans  # noqa: PLC0415
    from engine.recipe import choose_recipe  # noqa: PLC0415
    from engine.tensorrt_api import TensorRt  # noqa: PLC0415
    from engine.verification.local_triton import ask_plans  # noqa: PLC0415

    builder = TensorRt(timing_cache, hardware_compatible=hardware_compatible)
    with tempfile.TemporaryDirectory(prefix="wanneng-engine-") as folder:
        onnx = Path(source)
        if not _is_engine(source):
            from engine.build import build_engine  # noqa: PLC0415
            from engine.source import snapshot_folder  # noqa: PLC0415

            onnx = Path(folder) / "onnx"
            build_engine(snapshot_folder(source, revision), onnx, choose_recipe(), name=name, say=_say)
        report = build_plans(onnx, output, recipe, builder, ask_plans, say=_say)
    _say(report.sentence())


def _check_same(source: Path, output: Path, recipe: Recipe) -> None:
    """Two engines of one kind and the same weights are the same; proved they were before they were published."""
    from engine.manifest import read_manifest  # noqa: PLC0415

    there, wanted = read_manifest(output), (recipe.target, recipe.precision, recipe.front)
    kind = tuple(there.get(name) for name in ("target", "precision", "front"))
    weights = read_manifest(source).get("weights_sha256") if _is_engine(str(source)) else None
    if kind != wanted or there.get("weights_sha256") != weights:
        raise CommandError(
            f"{output} holds an engine of another kind or of other weights than {source}; "
            "put a new model into a new folder, and build into another one"
        )
    _say(f"{output} is there already, proved when it was built: {there.get('engine_id')}")


def _is_engine(source: str) -> bool:
    return (Path(source) / "engine.json").exists()


@contextmanager
def _needing(lock: str) -> Iterator[None]:
    """Turns the builder's refusals into one line, and a missing package into the way to get it."""
    try:
        from engine.errors import BuildError  # noqa: PLC0415
    except ModuleNotFoundError:
        raise CommandError("engines are built from a checkout of wanneng, not from the installed client") from None
    try:
        yield
    except BuildError as error:
        raise CommandError(str(error)) from None
    except ModuleNotFoundError as error:
        if error.name == "tensorrt":
            raise CommandError(
                "TensorRT is not installed here: plans are built inside NVIDIA's Triton image, on their own GPU"
            ) from None
        raise CommandError(
            f"the package {error.name} is missing here; `pip install -r requirements/{lock}` brings it, "
            "or run `make engine SOURCE=… OUTPUT=…`"
        ) from None


def _say(line: str) -> None:
    err.print(f"wanneng: {line}", markup=False)
