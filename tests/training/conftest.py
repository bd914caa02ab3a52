from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.corpus import write_corpus
from tests.training.samples import SmallTask, small_encoder, small_task, write_artifact


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small corpus."""
    folder = tmp_path_factory.mktemp("data")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def task(data: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallTask:
    return small_task(data, tmp_path_factory.mktemp("vocabulary") / "vocab.txt")


@pytest.fixture(scope="session")
def artifact(task: SmallTask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder, stored as the pretrained one."""
    path = tmp_path_factory.mktemp("artifact") / "encoder.jar"
    write_artifact(small_encoder(task.tokens), path)
    return path
