"""One production for all, a copy for those who change it, and a client with the editors' link."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mara_production import SAMPLES, make_production
from starlette.testclient import TestClient

from studio.production import Production, load_production
from studio.screening import Desk, Keys, make_app

HOST = "http://127.0.0.1:8760"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def original_production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (SAMPLES / "presenter.mp4").is_file():
        pytest.skip("samples/presenter.mp4 is not there; make it with samples/make_presenter.py")
    folder = tmp_path_factory.mktemp("production") / "harbour"
    make_production(folder, small=True)
    return folder


@pytest.fixture
def production(original_production: Path, tmp_path: Path) -> Production:
    """A copy that a test may change; excerpts made by earlier tests come with it."""
    shutil.copytree(original_production, tmp_path / "harbour")
    return load_production(tmp_path / "harbour")


@pytest.fixture
def keys() -> Keys:
    return Keys("editor-token", "audience-token", "secret")


@pytest.fixture
def client(production: Production, keys: Keys) -> Iterator[TestClient]:
    """A client that came in with the editors' link."""
    with TestClient(make_app(Desk(production), keys), base_url=HOST) as client:
        client.get("/", params={"token": keys.editor})
        yield client
