"""The documentation builds without a warning, and what it makes asks nobody for anything."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
pytestmark = pytest.mark.timeout(1200)  # 17 s of processor, which a busy machine may stretch
#: What a browser would fetch by itself: scripts, styles, pictures, fonts.
FETCHED = re.compile(
    r"""(?:src|srcset)=["'](?:https?:)?//"""
    r"""|<link[^>]+href=["'](?:https?:)?//"""
    r"""|url\(["']?https?:"""
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` makes: the pages, and the reference from docstrings."""
    out = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html"]
    command += ["-d", str(out / "trees"), str(ROOT / "docs"), str(out / "html")]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return out / "html"


def test_every_page_is_there(built: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (built / name).is_file(), name


def test_nothing_is_fetched_from_elsewhere(built: Path) -> None:
    for page in [*built.rglob("*.html"), *built.rglob("*.css")]:
        found = FETCHED.search(page.read_text("utf-8"))
        assert found is None, f"{page.name}: {found}"


def test_every_command_is_in_the_reference(built: Path) -> None:
    text = (built / "commands.html").read_text("utf-8")
    for name in ("say", "resync", "redub", "align", "consent new", "ledger verify", "demo"):
        assert f"<h2>wildline {name}" in text, name


@pytest.mark.parametrize("room", ["align", "lipsync", "media", "studio", "voice", "weights"])
def test_every_public_name_is_in_the_reference(built: Path, room: str) -> None:
    text = (built / "api" / f"{room}.html").read_text("utf-8")
    for name in importlib.import_module(room).__all__:
        marks = (f'id="{room}.{name}"', f'id="{room}.{name}.{name}"')  # or as its own module's
        assert any(mark in text for mark in marks), name
