"""What Triton loads, put together from the checkout and an engine."""

from pathlib import Path

from wanneng.serve.repository import MODELS, compose


def test_the_engines_files_stand_where_tritons_own_backends_look_for_them(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    plan = engine / "structbert_s32/1/model.sm86.plan"
    plan.parent.mkdir(parents=True)
    plan.write_text("a plan")
    (engine / "model.onnx").write_text("a graph")
    models = compose(engine, tmp_path / "models")
    assert (models / "structbert_s32/1/model.sm86.plan").read_text() == "a plan"
    assert (models / "structbert/1/model.onnx").read_text() == "a graph"
    assert (models / "structbert/configs/local.pbtxt").read_text() == (
        MODELS / "structbert/configs/local.pbtxt"
    ).read_text()
    assert {path.name for path in models.iterdir()} == {path.name for path in MODELS.iterdir()}


def test_nothing_of_an_earlier_engine_is_left(tmp_path: Path) -> None:
    for plan in ("sm80", "sm86"):
        engine = tmp_path / plan
        (engine / "structbert_s32/1").mkdir(parents=True)
        (engine / "structbert_s32/1" / f"model.{plan}.plan").touch()
        (engine / "model.onnx").touch()
        models = compose(engine, tmp_path / "models")
    assert [path.name for path in (models / "structbert_s32/1").glob("*.plan")] == ["model.sm86.plan"]
