"""Verifies a target that a user names: an engine's folder or a running Triton."""

from __future__ import annotations

import json
from pathlib import Path

from engine.errors import TargetError
from engine.verification.compare import TOLERANCES, Report, compare, tolerance_of
from engine.verification.reference import FILE_NAME as REFERENCE_FILE
from engine.verification.reference import Reference, load_reference
from engine.verification.served_engine import ServedEngine
from engine.verification.triton_target import TritonTarget

MANIFEST_FILE = "engine.json"


def verify(
    target: str, reference: Path | None, precision: str | None, max_logit_difference: float | None = None
) -> Report:
    """Compare `target` with a reference, and return the report, whether or not it passed.

    By default an engine's folder has its own reference and precision, and the precision is `fp32` elsewhere;
    `max_logit_difference` replaces that of the precision's tolerance. `TargetError` if nothing can be compared.
    """
    path = Path(target)
    precision = precision or _precision(path)
    if precision not in TOLERANCES:
        raise TargetError(f"--precision {precision} does not exist; choose {', '.join(TOLERANCES)}")
    loaded_reference = _reference(path, reference)
    tolerance = tolerance_of(precision, max_logit_difference)
    if path.is_dir():
        answers = ServedEngine(path).answers(loaded_reference.cases)
    else:
        server = TritonTarget(target)
        try:
            answers = server.answers(loaded_reference.cases)
        finally:
            server.close()
    return compare(loaded_reference, answers, target=target, precision=precision, tolerance=tolerance)


def _reference(path: Path, file: Path | None) -> Reference:
    if file is None and not path.is_dir():
        raise TargetError("--reference FILE is needed: only an engine's folder has its own")
    return load_reference(file or path / REFERENCE_FILE)


def _precision(path: Path) -> str:
    """The precision in the manifest of an engine's folder; otherwise the strictest."""
    try:
        return str(json.loads((path / MANIFEST_FILE).read_text(encoding="utf-8"))["precision"])
    except (OSError, ValueError, KeyError):
        return "fp32"
