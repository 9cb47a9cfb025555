"""What the batch tests share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from batch_production import ROWS, Here, make_production

from studio.batch.run import run_batch
from studio.production import Production


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Certificates of the tests' own, never the user's; one thread, as in a worker."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WILDLINE_HOME", str(tmp_path_factory.mktemp("data")))
    patch.setenv("OMP_NUM_THREADS", "1")
    for name in ("WILDLINE_SIGN_CERT", "WILDLINE_SIGN_KEY"):
        patch.delenv(name, raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, _own_folders: object) -> Production:
    """A production whose three cues were made with the real voice; to be looked at only."""
    production = make_production(tmp_path_factory.mktemp("kit") / "harbour", ROWS)
    report = run_batch(production, crew=Here(production))
    assert len(report.done) == len(ROWS), report
    return production


@pytest.fixture
def produce(tmp_path: Path) -> Callable[..., Production]:
    """Makes a production in a folder of the test's own."""
    return partial(make_production, tmp_path / "harbour")


@pytest.fixture
def voiced(produce: Callable[..., Production], finished: Production) -> Callable[..., Production]:
    """As `produce`; the takes of `ROWS` are there already, since steps are known by content."""

    def make(*arguments: Any, **settings: Any) -> Production:
        production = produce(*arguments, **settings)
        for step in (finished.work / "steps").glob("takes-*"):
            shutil.copytree(step, production.work / "steps" / step.name)
        return production

    return make
