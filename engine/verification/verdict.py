"""Verifies what a user names: an engine's folder, an ONNX file, a running Triton."""

from __future__ import annotations

import json
from pathlib import Path

from engine.errors import TargetError
from engine.verification.compare import TOLERANCES, Report, compare, tolerance_of
from engine.verification.onnx_file import OnnxFile
from engine.verification.reference import FILE_NAME as REFERENCE_FILE
from engine.verification.reference import Reference, load_reference
from engine.verification.triton_server import TritonServer

MANIFEST_FILE = "engine.json"


def verify(
    target: str, reference: Path | None, precision: str | None, max_logit_difference: float | None = None
) -> Report:
    """`TargetError` when nothing can be compared; otherwise a report, passed or not."""
    path = Path(target)
    wanted = precision or _precision(path)
    if wanted not in TOLERANCES:
        raise TargetError(f"--precision {wanted}: {', '.join(TOLERANCES)} are possible")
    known = _reference(path, reference)
    tolerance = tolerance_of(wanted, max_logit_difference)
    if path.exists():
        logits = OnnxFile(path).logits(known.rows)
    else:
        server = TritonServer(target)
        try:
            logits = server.logits(known.rows)
        finally:
            server.close()
    return compare(known, logits, target=target, precision=wanted, tolerance=tolerance)


def _reference(path: Path, given: Path | None) -> Reference:
    if given is None and not path.is_dir():
        raise TargetError("--reference FILE is needed: only an engine's folder has its own")
    return load_reference(given or path / REFERENCE_FILE)


def _precision(path: Path) -> str:
    """The engine's own where its folder says it, the strictest otherwise."""
    try:
        return str(json.loads((path / MANIFEST_FILE).read_text(encoding="utf-8"))["precision"])
    except (OSError, ValueError, KeyError):
        return "fp32"
