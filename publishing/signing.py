"""Signatures and signed attestations by cosign, where it is installed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from publishing.commands import run

TYPES = {"provenance.json": "slsaprovenance1", "sbom.cdx.json": "cyclonedx"}


@dataclass(frozen=True, slots=True)
class Signer:
    """With `key`, a file or the address of a key management service; without, by an OpenID Connect identity.

    The password of a key comes from COSIGN_PASSWORD, which cosign reads itself.
    """

    key: str
    options: Sequence[str]

    @classmethod
    def find(cls, key: str, options: Sequence[str]) -> Signer | None:
        """None where cosign is not installed."""
        return cls(key, options) if shutil.which("cosign") else None

    def sign(self, reference: str, documents: Mapping[str, Path]) -> None:
        """Sign name@digest, and attest each document by its file name. A repetition adds a signature."""
        common = ("--yes", *((f"--key={self.key}",) if self.key else ()), *self.options)
        run("cosign", "sign", *common, reference)
        for name, path in documents.items():
            document = json.loads(path.read_text(encoding="utf-8"))
            predicate = path.with_name(f"predicate-{name}")
            predicate.write_text(json.dumps(document.get("predicate", document)), encoding="utf-8")
            run("cosign", "attest", *common, f"--type={TYPES[name]}", f"--predicate={predicate}", reference)
