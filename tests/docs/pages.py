"""What the documentation holds that can be checked: fenced blocks, commands, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = "<!-- run -->"  # before a block: a test runs it, in a folder of the page's own
_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(\S*)")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, line (from 1), language, text, and whether it is to be run."""

    page: Path
    line: int
    language: str
    text: str
    run: bool

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a shell block, what should follow it, and where it stands."""

    where: str
    words: tuple[str, ...]
    output: str = ""


def pages() -> list[Path]:
    """Every page that people read: the documentation and what lies at the top."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*top, ROOT / "samples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in their order."""
    lines = page.read_text("utf-8").splitlines()
    at, before = 0, ""
    while at < len(lines):
        opened = _FENCE.match(lines[at])
        if opened is None:
            before = lines[at].strip() or before
            at += 1
            continue
        indent, fence, language = opened.groups()
        end = at + 1
        while end < len(lines) and lines[end].strip() != fence:
            end += 1
        text = "\n".join(line.removeprefix(indent) for line in lines[at + 1 : end])
        yield Block(page, at + 1, language, text, before == RUN)
        at, before = end + 1, ""


def commands(block: Block) -> Iterator[Command]:
    """The commands of an `sh` block (a line each) or a `console` block (`$` before each)."""
    if block.language not in ("sh", "console"):
        return
    pending: list[str] = []
    output: list[str] = []
    for line in [*_joined(block.text), None]:
        prompt = block.language == "sh" or (line or "").startswith("$ ")
        if line is not None and not prompt:
            output.append(line)
            continue
        for text in pending:
            yield Command(block.where, tuple(shlex.split(text, comments=True)), "\n".join(output))
        pending, output = ([] if line is None else [line.removeprefix("$ ")]), []


def _joined(text: str) -> list[str]:
    """Lines, with those that end in a backslash put together; without empty ones and remarks."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def spans(page: Path) -> Iterator[tuple[int, str]]:
    """Inline code of a page, outside its blocks, with its line."""
    inside = ""
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and not inside:
            inside = fence[2]
        elif inside and line.strip() == inside:
            inside = ""
        elif not inside:
            for found in _SPAN.finditer(line):
                yield number, found[1]
