"""Makes references: the cases that an engine must answer as the model's own pipeline does."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.contract import Contract, Told, contract_of
from engine.errors import BuildError, SnapshotError, reason_of
from engine.manifest import digest_of
from engine.network import arrays_of, network_of
from engine.oracle import ModelScopeOracle, Oracle, TransformersOracle
from engine.samples import TextSample, reference_cases
from engine.snapshot import Snapshot, read_snapshot
from engine.staging import staged
from engine.tokenizer import added_tokens_of, count_tokens_of, load_pretrained
from engine.verification.reference import Case, Reference


def make_reference(
    folder: Path,
    snapshot: Snapshot,
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contract: Contract,
    cases: Sequence[Case],
) -> Reference:
    """The answers of the model's own pipeline to the cases; `folder` is the staged snapshot."""
    weights_sha256 = digest_of(arrays_of(network))
    oracle: Oracle
    if snapshot.is_structbert:
        oracle, package = ModelScopeOracle(folder, contract.max_tokens), "modelscope"
    else:
        oracle, package = TransformersOracle(snapshot, network, tokenizer, contract.max_tokens), "transformers"
    with warnings.catch_warnings():
        # The pipelines use what their own libraries have deprecated.
        warnings.simplefilter("ignore")
        try:
            answers = [
                oracle.answer(replace(case, template=case.template or contract.default_template)) for case in cases
            ]
        except Exception as error:  # noqa: BLE001 - the pipelines raise what their parts raise
            raise SnapshotError(
                f"the model's own pipeline in {package} fails on the reference: {reason_of(error)}"
            ) from None
    return Reference(cases, answers, f"{package} {importlib.metadata.version(package)}", weights_sha256)


def write_reference(
    source: Path, samples: Sequence[TextSample] | None, target: Path, told: Told | None = None
) -> int:
    """Write the reference of the snapshot `source` to the file `target`; return its pair count.

    `samples`: by default those that every build is verified with.
    """
    told = told or Told()
    snapshot = read_snapshot(source, told.logits)
    network = network_of(snapshot)
    with staged(source, snapshot) as folder:
        tokenizer = load_pretrained(folder, snapshot)
        contract = contract_of(folder, snapshot, network, tokenizer, told)
        cases = (
            reference_cases(added_tokens_of(tokenizer), count_tokens_of(tokenizer), contract.max_tokens)
            if samples is None
            else [Case(sample.text, sample.labels) for sample in samples]
        )
        reference = make_reference(folder, snapshot, network, tokenizer, contract, cases)
    try:
        reference.save(target)
    except OSError as error:
        raise BuildError(f"{target} cannot be written: {error.strerror}") from None
    return reference.pairs
