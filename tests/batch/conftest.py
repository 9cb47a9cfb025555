"""What the batch tests share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from batch_production import make_production

from studio.production import Production


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Certificates of the tests' own, never the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WILDLINE_HOME", str(tmp_path_factory.mktemp("data")))
    patch.setenv("OMP_NUM_THREADS", "1")
    for name in ("WILDLINE_SIGN_CERT", "WILDLINE_SIGN_KEY"):
        patch.delenv(name, raising=False)
    yield
    patch.undo()


@pytest.fixture
def produce(tmp_path: Path) -> Callable[..., Production]:
    """Makes a production in a folder of the test's own."""
    return partial(make_production, tmp_path / "harbour")
