"""What Triton loads, put together from the checkout and an engine."""

from pathlib import Path

from wanneng.serve.repository import MODELS, compose


def test_the_engines_files_stand_where_tritons_own_backends_look_for_them(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    plan = engine / "structbert_s32/1/model.sm86.plan"
    plan.parent.mkdir(parents=True)
    plan.write_text("a plan")
    (engine / "model.onnx").write_text("a graph")
    models = compose(engine, tmp_path / "models", ["zero_shot", "zero_shot_logits_s32"])
    assert (models / "structbert_s32/1/model.sm86.plan").read_text() == "a plan"
    assert (models / "structbert/1/model.onnx").read_text() == "a graph"
    assert (models / "structbert/configs/local.pbtxt").read_text() == (
        MODELS / "structbert/configs/local.pbtxt"
    ).read_text()


def test_only_the_ensembles_and_the_models_that_they_are_made_of_are_there(tmp_path: Path) -> None:
    """Triton loads all of the folder."""
    models = compose(tmp_path, tmp_path / "models", ["zero_shot", "zero_shot_logits"])
    names = {path.name for path in models.iterdir()}
    assert names == {"zero_shot", "zero_shot_logits", "expand", "structbert", "rank"}
    models = compose(tmp_path, tmp_path / "models", ["zero_shot_logits_s32", "zero_shot_logits_s64"])
    steps = {"expand", "structbert_s32", "structbert_s64"}
    assert {path.name for path in models.iterdir()} == {"zero_shot_logits_s32", "zero_shot_logits_s64"} | steps


def test_nothing_of_an_earlier_engine_is_left(tmp_path: Path) -> None:
    for plan in ("sm80", "sm86"):
        engine = tmp_path / plan
        (engine / "structbert_s32/1").mkdir(parents=True)
        (engine / "structbert_s32/1" / f"model.{plan}.plan").touch()
        (engine / "model.onnx").touch()
        models = compose(engine, tmp_path / "models", ["zero_shot_logits_s32"])
    assert [path.name for path in (models / "structbert_s32/1").glob("*.plan")] == ["model.sm86.plan"]
