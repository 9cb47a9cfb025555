"""What a part of the benchmark found: as a table to read, as JSON, and as one page of all."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = "side-by-side.md"
#: Parts in the order of the page.
PARTS = ("say", "align", "lips", "batch", "scaling")
_OURS = ("wildline", "torch", "onnxruntime", "pocketsphinx", "mediapipe", "av", "numpy")

_HEAD = """\
# Side by side

`make bench` runs other programs on the same input in the same run; this page is what it wrote, with
JSON beside it. Each program has an environment of its own, made from the versions pinned in
`benchmarks/peers/pins`. Processor seconds (CPU) are those of the whole process, and what to compare
when a machine has other work; wall-clock times are of that moment, whose load average stands
under each table. A ratio is the other program's figure over ours, so above 1 ours took or missed
less. Rows named *truth* are recordings or timings that are known.

```sh
make bench                                              # all but the long rows of footage
make bench PARTS="say align"                            # some parts
make bench PARTS=scaling BENCH="--minutes 1 2 5 10"     # about 50 minutes on two free cores
make bench BENCH="--into docs/benchmarks"               # writes this page
```
"""


@dataclass
class Result:
    """One part: `columns` name -> format of its numbers, `rows` of values (None: no such)."""

    part: str
    title: str
    columns: Mapping[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    load: dict[str, list[float]] = field(default_factory=dict)
    date: str = ""
    seconds: float = 0.0

    def markdown(self) -> str:
        """Heading, table, remarks, machine."""
        lines = [f"## {self.title}", "", *table(self.columns, self.rows), ""]
        for note in self.notes:
            lines += [note, ""]
        peers = "; ".join(
            f"{who}: {', '.join(f'{n} {v}' for n, v in known.items())}"
            for who, known in self.versions.items()
        )
        load = " to ".join(f"{loads[0]:.1f}" for loads in self.load.values())
        where = ", ".join(self.machine.values())
        lines.append(f"{self.date}, {where}; load average {load}; {self.seconds:.0f} s. {peers}.")
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """`bench-PART.json`, and the page of all parts that are in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        put(folder / f"bench-{self.part}.json", text)
        found = [read(folder, part) for part in PARTS]
        parts = [result.markdown() for result in found if result is not None]
        put(folder / PAGE, "\n".join([_HEAD, *parts]))


def read(folder: Path, part: str) -> Result | None:
    """What an earlier run wrote, or None."""
    path = folder / f"bench-{part}.json"
    return Result(**json.loads(path.read_text("utf-8"))) if path.is_file() else None


def put(path: Path, text: str) -> None:
    """Write whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, "utf-8")
    new.replace(path)


def table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A Markdown table; texts to the left, numbers to the right."""
    ruler = ["---" if how == "" else "--:" for how in columns.values()]
    lines = [f"| {' | '.join(columns)} |", f"|{'|'.join(ruler)}|"]
    for row in rows:
        cells = [cell(row.get(name), how) for name, how in columns.items()]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def cell(value: object, how: str) -> str:
    """A value as it is printed; nothing where it is None."""
    if value is None:
        return ""
    return format(value, how) if how and not isinstance(value, str) else str(value)


def ratio(theirs: float | None, ours: float | None) -> float | None:
    """`theirs` over `ours` where both are known."""
    return theirs / ours if theirs is not None and ours else None


def machine() -> dict[str, str]:
    """What this ran on."""
    model = platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    info = Path("/proc/cpuinfo")
    for line in info.read_text("utf-8").splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": f"{len(os.sched_getaffinity(0))} cores of {model}",
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"Python {platform.python_version()}",
    }


def own_versions() -> dict[str, str]:
    """Wildline's version with its commit, and those of the packages that do its work."""
    found = {name: version(name) for name in _OURS}
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        status = ["git", "-C", str(ROOT), "status", "--porcelain", "--", "*.py"]
        changed = subprocess.run(status, capture_output=True, text=True, check=False).stdout
        found["wildline"] += f" ({done.stdout.strip()}{', changed' if changed.strip() else ''})"
    return found


def today() -> str:
    """The day, in UTC."""
    return datetime.now(UTC).date().isoformat()
