"""A home with a worker, for the tests of the worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import IMPORT_CANARY, Place, configure, place
from tests.recorder import Recorder, recording_server


@pytest.fixture(scope="module")
def worker_server() -> Iterator[Recorder]:
    """The server that the homes' providers are on."""
    with recording_server() as server:
        yield server


@pytest.fixture
def served(worker_server: Recorder) -> Recorder:
    """That server, with nothing asked yet."""
    worker_server.requests.clear()
    worker_server.script = None
    return worker_server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, worker_server: Recorder) -> Iterator[Place]:
    """A home with a worker, which was started with canaries in its variables."""
    with place(tmp_path_factory.mktemp("worker") / "home") as made:
        configure(made, worker_server)
        # a secret that LiteLLM's import asks for, but queries here do not have it
        assert made.run("worker", "start", env={**made.environ, **IMPORT_CANARY}).code == 0
        yield made


@pytest.fixture
def other(tmp_path: Path, served: Recorder) -> Iterator[Place]:
    """A home without a worker yet."""
    with place(tmp_path / "other") as made:
        configure(made, served)
        yield made
