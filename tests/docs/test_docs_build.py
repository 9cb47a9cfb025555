"""The documentation builds without a warning, and what it makes asks nobody for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
#: What a browser would fetch by itself: scripts, styles, pictures, fonts.
FETCHED = re.compile(
    r"""(?:src|srcset)=["'](?:https?:)?//"""
    r"""|<link[^>]+href=["'](?:https?:)?//"""
    r"""|url\(["']?https?:"""
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The narrative pages as HTML; `make docs` builds the reference from docstrings as well."""
    out = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-t", "narrative", "-b", "html"]
    command += ["-d", str(out / "trees"), str(ROOT / "docs"), str(out / "html")]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return out / "html"


def test_every_page_is_there(built: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert name.parts[0] == "api" or (built / name).is_file(), name


def test_nothing_is_fetched_from_elsewhere(built: Path) -> None:
    for page in [*built.rglob("*.html"), *built.rglob("*.css")]:
        found = FETCHED.search(page.read_text("utf-8"))
        assert found is None, f"{page.name}: {found}"


def test_every_command_is_in_the_reference(built: Path) -> None:
    text = (built / "commands.html").read_text("utf-8")
    for name in ("say", "resync", "redub", "align", "consent new", "ledger verify", "demo"):
        assert f"<h2>wildline {name}" in text, name
