"""The code behind each step of a batch, in one digest a step.

    .venv/bin/python tests/batch/batch_code.py      # renews step_code.txt

A step's code is what its roots import, and what that imports, inside the rooms that compute
something; and single files of the studio, which are not followed. Docstrings, comments and
layout do not count: the digest is of the syntax tree without them.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("step_code.txt")
ROOMS = ("voice", "lipsync", "align", "media", "weights")
_MARK = ("studio/watermark.py", "studio/_perth.py")
#: Step -> modules to follow, or files of the studio by themselves.
ROOTS = {
    "voice": ("voice.fit",),
    "faces": ("lipsync.faces", "lipsync.people"),
    "takes": ("voice.takes", "studio/batch/speech.py", *_MARK),
    "timing": ("align.formats", "media.audio", "studio/batch/speech.py"),
    "match": ("voice.match", "studio/batch/speech.py", *_MARK),
    "shot": ("lipsync.resync", "lipsync.recheck", "studio/batch/shots.py", "studio/scene.py"),
    "check": ("media.loudness", "studio/batch/package.py"),
    "package": ("media.bwf", "studio/batch/package.py", "studio/credentials.py"),
}


def digest_of(step: str) -> str:
    """Sixteen hex digits for all code of `step`."""
    lines = [f"{path.relative_to(ROOT)} {_digest(path)}" for path in files_of(step)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def files_of(step: str) -> list[Path]:
    """The files of `step`, sorted."""
    found: set[Path] = set()
    waiting = [ROOT / r if r.endswith(".py") else _file(r) for r in ROOTS[step]]
    while waiting:
        path = waiting.pop()
        if path is None or path in found:
            continue
        found.add(path)
        if path.relative_to(ROOT).parts[0] in ROOMS:
            waiting += [_file(name) for name in _names(path)]
    return sorted(found)


def _file(name: str) -> Path | None:
    """The file of a module of the rooms; None for any other name."""
    if name.partition(".")[0] not in ROOMS or not name.replace(".", "").isidentifier():
        return None
    path = ROOT.joinpath(*name.split("."))
    places = (path.with_suffix(".py"), path / "__init__.py")
    return next((p for p in places if p.is_file()), None)


def _names(path: Path) -> Iterator[str]:
    """Modules that a file imports, anywhere in it; engines are named in strings."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@cache
def _tree(path: Path) -> ast.Module:
    """What a file does: no docstrings, and nothing that is for type checkers alone."""
    tree: ast.Module = _Bare().visit(ast.parse(path.read_text("utf-8")))
    return tree


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        checked = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if checked else self.generic_visit(node)


@cache
def _digest(path: Path) -> str:
    # Python 3.12 names a field that 3.11 does not know.
    text = ast.dump(_tree(path)).replace(", type_params=[]", "")
    return hashlib.sha256(text.encode()).hexdigest()


def kept() -> dict[str, tuple[int, str]]:
    """Version and digest by step, as they were when last renewed."""
    rows = (line.split() for line in KEPT.read_text("utf-8").splitlines())
    return {step: (int(version), digest) for step, version, digest in rows}


def renew() -> None:
    """Keep the versions and digests of now."""
    from studio.batch.plan import VERSION_OF

    lines = [f"{step} {version} {digest_of(step)}\n" for step, version in VERSION_OF.items()]
    KEPT.write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    renew()
