"""Run docs/tutorial.md from its first command to its last and write down what was printed.

    python scripts/record_tutorial.py            # about 20 minutes on two free cores
    python scripts/record_tutorial.py --folder /somewhere --from "wildline say"   # goes on there

Everything after a `$` in the page's `console` blocks is run in one folder that starts with the
samples, and the lines under it are replaced by what it prints. `sh` blocks are run too. A block
after `<!-- file: NAME -->` is written to that file; one after `<!-- into: NAME -->` is put in
front of the file's `[[cues]]`. The page is saved after every command, so that a run can go on
where it was stopped.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
_MARK = re.compile(r"<!-- (file|into): (\S+) -->")
_LONGEST = 40  # lines of one command that are kept


class Recorder:
    """Walks through the page, block by block."""

    def __init__(self, folder: Path, begin: str) -> None:
        self.top = self.here = folder
        self._waiting_for = begin
        venv = Path(sys.executable).parent
        self._environment = {
            **os.environ,
            "PATH": f"{venv}{os.pathsep}{os.environ['PATH']}",
            "WILDLINE_HOME": str(folder / ".home"),
            "COLUMNS": "120",
        }

    def page(self, text: str) -> str:
        """The page with every console block as it came out this time."""
        lines = text.splitlines()
        out: list[str] = []
        mark = ""
        while lines:
            line = lines.pop(0)
            out.append(line)
            if not line.startswith("```"):
                mark = line.strip() or mark
                continue
            block = []
            while lines[0] != "```":
                block.append(lines.pop(0))
            before, after = "\n".join(out), "\n".join(lines)
            out += self._block(line[3:], block, mark, before, after)
            out.append(lines.pop(0))
            mark = ""
        return "\n".join(out) + "\n"

    def _block(
        self, language: str, block: list[str], mark: str, before: str, after: str
    ) -> list[str]:
        named = _MARK.fullmatch(mark)
        if named is not None and not self._waiting_for:
            self._write(named[1], self.here / named[2], "\n".join(block) + "\n")
        if language == "sh":
            for line in block:
                self._run(line, [])
        if language != "console":
            return block
        out: list[str] = []
        todo = _commands(block)
        while todo:
            command, old = todo.pop(0)
            out += [f"$ {command}", *self._run(command, old)]
            rest = [line for c, printed in todo for line in (f"$ {c}", *printed)]
            PAGE.write_text("\n".join([before, *out, *rest, after]) + "\n", "utf-8")
        return out

    def _run(self, command: str, old: list[str]) -> list[str]:
        words = shlex.split(command.replace("\\\n", " "), comments=True)
        if words[0] == "cd":
            self.here = self.here / words[1]
            return []
        if self._waiting_for and not command.startswith(self._waiting_for):
            return old
        self._waiting_for = ""
        print(f"{command}", flush=True)
        done = subprocess.run(
            words,
            cwd=self.here,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        told = done.stdout.replace(f"{self.top}{os.sep}", "")
        shown = [line.rstrip() for line in told.splitlines()]
        print("\n".join(shown), flush=True)
        return shown[:_LONGEST] + (["..."] if len(shown) > _LONGEST else [])

    def _write(self, how: str, path: Path, text: str) -> None:
        if how == "into":
            whole = path.read_text("utf-8")
            if text in whole:
                return
            text = whole.replace("[[cues]]\n", f"{text}\n[[cues]]\n", 1)
        path.write_text(text, "utf-8")


def _commands(block: list[str]) -> list[tuple[str, list[str]]]:
    """Commands (with their continued lines) and what the page says they print."""
    found: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in block:
        if goes_on:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
            continue
        goes_on = line.endswith("\\")
    return found


def main() -> None:
    """Record the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="Where to work; default: a temporary one.")
    parser.add_argument("--from", dest="begin", default="", help="Leave what is before this.")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="wildline-tutorial-"))
    if not (folder / "samples").is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "samples", folder / "samples", ignore=ignored)
    text = PAGE.read_text("utf-8")
    PAGE.write_text(Recorder(folder.resolve(), given.begin).page(text), "utf-8")
    print(f"{PAGE}: recorded in {folder}")


if __name__ == "__main__":
    main()
