"""Engines derived from an FP32 engine equal those built from its snapshot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.build import build_engine
from engine.contract import Told
from engine.derive import derive_engine
from engine.errors import BuildError, SnapshotError, VerificationError
from engine.publish import await_published
from engine.recipe import Recipe, choose_recipe
from engine.samples import TextSample, rounding_samples
from engine.snapshot import write_snapshot
from engine.verification.compare import Tolerance
from tests.bfloat16 import HAS_BFLOAT16
from tests.engine.snapshots import as_batch, onnx_logits, random_rows, random_snapshot
from tests.engine.zoo import SNAPSHOTS

ROOT = Path(__file__).parents[2]
BATCH = as_batch(random_rows(5, 6))
ROUNDED = ["int8", *(["bf16"] if HAS_BFLOAT16 else [])]
SAMPLES = [TextSample("甲乙丙丁", ("甲", "乙丙")), TextSample("戊己庚", ("丁",))]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a snapshot, `snapshot`, and the FP32 engine built from it, `fp32`."""
    folder = tmp_path_factory.mktemp("derive")
    write_snapshot(random_snapshot(), folder / "snapshot")
    build_engine(folder / "snapshot", folder / "fp32", choose_recipe(), name="tiny")
    return folder


def manifest(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "engine.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "recipe",
    [
        choose_recipe("cpu", "int8"),
        choose_recipe("cpu", "fp32", ragged=True),
        choose_recipe("cuda", "fp16", ragged=False),
        *([choose_recipe("cpu", "bf16")] if HAS_BFLOAT16 else []),
    ],
    ids=lambda recipe: f"{recipe.target}-{recipe.precision}-{recipe.front}",
)
def test_a_derived_engine_equals_the_engine_built_from_the_snapshot(
    recipe: Recipe, sources: Path, tmp_path: Path
) -> None:
    build_engine(sources / "snapshot", tmp_path / "built", recipe, name="tiny")
    report = derive_engine(sources / "fp32", tmp_path / "derived", recipe)
    assert report.passed
    assert manifest(tmp_path / "derived") == manifest(tmp_path / "built")
    assert {p.name for p in (tmp_path / "derived").iterdir()} == {p.name for p in (tmp_path / "built").iterdir()}
    references = [json.loads((tmp_path / name / "reference.json").read_text()) for name in ("built", "derived")]
    assert references[0] == references[1]
    if not recipe.ragged:
        logits = [onnx_logits(tmp_path / name / "model.onnx", BATCH) for name in ("built", "derived")]
        np.testing.assert_array_equal(logits[0], logits[1])


def texts_of(engine: Path, *, foreign: bool) -> set[str]:
    """The texts of its reference that are in a language which the model is not for, or the others."""
    content = json.loads((engine / "reference.json").read_text(encoding="utf-8"))
    return {case["text"] for case in content["cases"] if case["foreign"] is foreign}


@pytest.mark.parametrize("derived", [False, True])
@pytest.mark.parametrize("precision", ROUNDED)
def test_changed_labels_of_rounding_are_counted_on_the_samples_of_the_build(
    precision: str, derived: bool, sources: Path, tmp_path: Path
) -> None:
    """Built of the snapshot, and derived from the FP32 engine of it."""
    build_engine(
        sources / "snapshot",
        tmp_path / "built",
        choose_recipe(precision="fp32" if derived else precision),
        name="tiny",
        samples=SAMPLES,
    )
    if derived:
        derive_engine(tmp_path / "built", tmp_path / "derived", choose_recipe(precision=precision))
    engine = tmp_path / ("derived" if derived else "built")
    builtin = {sample.text for sample in rounding_samples(None, ("zh",))}
    own = {sample.text for sample in SAMPLES if len(sample.labels) > 1}
    assert own < texts_of(engine, foreign=False)
    assert not builtin & texts_of(engine, foreign=False)


@pytest.mark.parametrize("precision", ROUNDED)
def test_a_model_of_other_languages_is_not_asked_for_the_best_label_of_chinese_texts(
    precision: str, tmp_path: Path
) -> None:
    """Its answers to them are noise: with the built-in texts INT8 changes 11 of 138 and is refused."""
    SNAPSHOTS["erlangshen"](tmp_path / "snapshot")
    rounded = choose_recipe(precision=precision)
    with pytest.raises(VerificationError, match=r"decided texts have another best label.*--languages.*--samples"):
        build_engine(tmp_path / "snapshot", tmp_path / "unknown", rounded, name="x")
    told = Told(languages=("en",))
    assert build_engine(tmp_path / "snapshot", tmp_path / "rounded", rounded, name="x", told=told).passed
    assert not texts_of(tmp_path / "rounded", foreign=False)
    build_engine(tmp_path / "snapshot", tmp_path / "fp32", choose_recipe(), name="x", told=told)
    assert derive_engine(tmp_path / "fp32", tmp_path / "derived", rounded).passed
    assert not texts_of(tmp_path / "derived", foreign=False)


@pytest.mark.parametrize(
    ("samples", "languages", "texts"),
    [(None, (), 150), (None, ("en", "zh-Hant"), 150), (None, ("en",), 0), (SAMPLES, ("en",), 1), (SAMPLES, (), 1)],
)
def test_texts_for_counting_changed_labels_are_the_samples_or_chinese_for_a_model_that_may_know_it(
    samples: list[TextSample] | None, languages: tuple[str, ...], texts: int
) -> None:
    assert len(rounding_samples(samples, languages)) == texts


def test_many_samples_count_evenly() -> None:
    chosen = rounding_samples([TextSample(str(i), ("甲", "乙", "甲")) for i in range(600)], ())
    assert [sample.text for sample in chosen[:3]] == ["0", "4", "8"]
    assert len(chosen) == 150
    assert chosen[0].labels == ("甲", "乙")


def test_an_engine_that_differs_from_its_reference_is_not_published(sources: Path, tmp_path: Path) -> None:
    strict = Recipe("cpu", "int8", False, Tolerance(0.0, 1.0))
    with pytest.raises(VerificationError):
        derive_engine(sources / "fp32", tmp_path / "engine", strict)
    assert list(tmp_path.iterdir()) == []


def test_only_a_padded_fp32_engine_is_a_source(sources: Path, tmp_path: Path) -> None:
    derive_engine(sources / "fp32", tmp_path / "int8", choose_recipe(precision="int8"))
    with pytest.raises(SnapshotError, match="is a cpu int8 padded engine; others are built from"):
        derive_engine(tmp_path / "int8", tmp_path / "again", choose_recipe(precision="int8"))
    with pytest.raises(SnapshotError, match="w8 engine is built from a snapshot"):
        derive_engine(sources / "fp32", tmp_path / "w8", choose_recipe(precision="w8"))


def test_waiting_for_an_engine_ends_when_it_is_published(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(BuildError, match=r"engine was not published within 0 s"):
        await_published(tmp_path / "engine", timeout_s=0.01, log=lines.append)
    assert lines == [f"waiting for {tmp_path / 'engine'}, which is not published yet"]
    command = [sys.executable, "-m", "wanneng", "engine", "wait", str(tmp_path / "engine"), "--built-by", "Job x"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert "is not published yet; Job x builds it" in waiting.stderr.readline()
        (tmp_path / "engine").mkdir()
        assert "is there" in waiting.stderr.readline()
    assert waiting.returncode == 0


def test_deriving_needs_no_torch(sources: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from wanneng.__main__ import main\nmain()"
    )
    arguments = [
        "engine",
        "build",
        str(sources / "fp32"),
        "--output",
        str(tmp_path / "int8"),
        "--precision",
        "int8",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path / "int8")["precision"] == "int8"
    again = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--samples", str(tmp_path / "none.jsonl")],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert again.returncode == 1


def test_if_missing_accepts_an_engine_of_the_same_weights_only(sources: Path, tmp_path: Path) -> None:
    """A job that runs again succeeds; a job for another model with the same folder fails."""
    write_snapshot(random_snapshot(seed=7), tmp_path / "snapshot")
    build_engine(tmp_path / "snapshot", tmp_path / "other", choose_recipe(), name="other")

    def build(source: Path, *options: str) -> subprocess.CompletedProcess[str]:
        arguments = [str(source), "--output", str(tmp_path / "engine"), "--ragged", "--if-missing", *options]
        command = [sys.executable, "-m", "wanneng", "engine", "build", *arguments]
        return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)

    assert build(sources / "fp32").returncode == 0
    modified = (tmp_path / "engine/model.onnx").stat().st_mtime_ns
    again = build(sources / "fp32")
    assert again.returncode == 0
    assert "is there already" in again.stderr
    assert (tmp_path / "engine/model.onnx").stat().st_mtime_ns == modified
    for refused in (build(tmp_path / "other"), build(sources / "fp32", "--target", "cuda")):
        assert refused.returncode == 1
        assert "of another kind or of other weights" in refused.stderr
