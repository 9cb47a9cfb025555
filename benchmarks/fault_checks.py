"""What counts as wrong after a command, and the sums that are printed and written down."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fault_server import LIMIT_S, MOST_MB, Ended

__all__ = ["Tally", "faults_of", "not_whole"]

LEDGER = "wildline-ledger.jsonl"
ALWAYS = {LEDGER, "wildline-disclosure.csv"}
COLUMNS = ("runs", "refused", "succeeded", "said no", "killed")
WRONGS = ("trace", "hang", "half-written", "lost", "memory", "other")


@dataclass
class Row:
    """One kind of run."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    peak_mb: float = 0.0
    slowest_s: float = 0.0


@dataclass
class Tally:
    """What was run and what went wrong, by part and kind."""

    seed: int
    rows: dict[str, Row] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    keep: Path | None = None
    done: dict[str, int] = field(default_factory=dict)

    def turns(self, part: str, count: int) -> Iterator[int]:
        """Numbers of the runs of a part that are still to be made; progress is kept on the way."""
        for number in range(self.done.get(part, 0), count):
            yield number
            self.done[part] = number + 1
            if number % 10 == 9:
                self.write_json()
        self.write_json()

    def add(self, kind: str, how: str, ended: Ended, faults: list[tuple[str, str]]) -> None:
        """Count one run. `faults` are (one of WRONGS, sentence)."""
        row = self.rows.setdefault(kind, Row())
        row.counts["runs"] += 1
        name = {0: "succeeded", 1: "said no", 2: "refused"}.get(ended.code, "")
        row.counts["killed" if ended.killed else name] += 1
        row.peak_mb = max(row.peak_mb, ended.peak_mb)
        row.slowest_s = max(row.slowest_s, ended.seconds)
        for what, sentence in faults:
            row.wrong[what] += 1
            self.wrong.append(f"{kind}: {how}: {what}: {sentence}")
            print(f"  WRONG {self.wrong[-1]}", flush=True)

    def skip(self, what: str, why: str) -> None:
        """Note what could not be tried here."""
        self.skipped.append(f"{what}: {why}")
        print(f"  skipped {self.skipped[-1]}", flush=True)

    def table(self) -> list[str]:
        """The Markdown table."""
        heads = ("kind", *COLUMNS, *(f"{w}s" if w in ("trace", "hang") else w for w in WRONGS))
        lines = [
            f"| {' | '.join(heads)} | peak MB | slowest s |",
            "|---" * 1 + "|---:" * (len(heads) + 1) + "|",
        ]
        total = Row()
        for row in self.rows.values():
            total.counts += row.counts
            total.wrong += row.wrong
            total.peak_mb = max(total.peak_mb, row.peak_mb)
            total.slowest_s = max(total.slowest_s, row.slowest_s)
        for name, row in [*self.rows.items(), ("**all**", total)]:
            cells = [str(row.counts[c]) for c in COLUMNS] + [str(row.wrong[w]) for w in WRONGS]
            lines.append(
                f"| {name} | {' | '.join(cells)} | {row.peak_mb:.0f} | {row.slowest_s:.1f} |"
            )
        return lines

    def document(self) -> dict[str, Any]:
        """Everything, as JSON."""
        return {
            "seed": self.seed,
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {platform.system()}, Python "
            f"{platform.python_version()}",
            "kinds": {
                name: {
                    **{c: row.counts[c] for c in COLUMNS},
                    "wrong": {w: row.wrong[w] for w in WRONGS if row.wrong[w]},
                    "peak_mb": round(row.peak_mb),
                    "slowest_s": round(row.slowest_s, 1),
                }
                for name, row in self.rows.items()
            },
            "wrong": self.wrong,
            "skipped": self.skipped,
            "done": self.done,
        }

    def write_json(self) -> None:
        """Write `document` to `keep`."""
        if self.keep is not None:
            temporary = self.keep.with_suffix(".new")
            temporary.write_text(json.dumps(self.document(), indent=1) + "\n", "utf-8")
            temporary.replace(self.keep)

    def read_json(self) -> None:
        """Go on from what `keep` holds, if anything.

        Refuses a published table, which does not say what was done and would count it twice.
        """
        if self.keep is None or not self.keep.is_file():
            return
        known = json.loads(self.keep.read_text("utf-8"))
        if "done" not in known or known["seed"] != self.seed:
            raise SystemExit(f"{self.keep} is not the beginning of this run; name another file")
        self.done = known["done"]
        self.wrong, self.skipped = known["wrong"], known["skipped"]
        for name, facts in known["kinds"].items():
            counts = Counter({c: facts[c] for c in COLUMNS})
            wrong = Counter(facts["wrong"])
            self.rows[name] = Row(counts, wrong, facts["peak_mb"], facts["slowest_s"])


def faults_of(ended: Ended, folder: Path, allowed: set[str]) -> list[tuple[str, str]]:
    """What is wrong with how a command ended, and with what it left in `folder`."""
    found: list[tuple[str, str]] = []
    lines = [line for line in ended.error.splitlines() if line.strip()]
    if ended.swollen or ended.peak_mb > MOST_MB:
        found.append(("memory", f"{ended.peak_mb:.0f} MB"))
    elif ended.hung:
        found.append(("hang", f"still at work after {min(ended.seconds, LIMIT_S):.0f} s"))
    elif "Traceback" in ended.error or ended.code == 70:
        found.append(("trace", (lines or [""])[-1][:300]))
    elif ended.code < 0 and not ended.killed:
        found.append(("other", f"died of signal {-ended.code}"))
    elif ended.code not in (0, 1, 2) and not ended.killed:
        found.append(("other", f"exit code {ended.code}"))
    elif ended.code == 2 and (len(lines) != 1 or not lines[0].startswith("error: ")):
        found.append(("other", f"{len(lines)} lines: {' | '.join(lines)[:300]}"))
    left = {p.name for p in folder.iterdir()} - allowed - ALWAYS
    if ended.killed:  # what is hidden is no result; nobody was left to remove it
        left = {name for name in left if not name.startswith(".")}
    if left:
        found.append(("half-written", f"left behind: {', '.join(sorted(left))}"))
    return found + [("half-written", sentence) for sentence in not_whole(folder)]


def not_whole(folder: Path) -> Iterator[str]:
    """Results that cannot be read back, and a ledger that does not verify."""
    from align.formats import read_timing
    from media.audio import read_sound
    from media.errors import WildlineError
    from media.video import probe
    from studio.consent import load_consent
    from studio.ledger import verify
    from voice.voice import load_voice

    readers: dict[str, Callable[[Path], object]] = {
        ".mp4": probe,
        ".wav": read_sound,
        ".TextGrid": read_timing,
        ".toml": load_consent,
    }
    if (folder / "out" / "voice.toml").exists():
        readers[""] = load_voice
    for path in [*folder.glob("out"), *folder.glob("out.*"), folder / LEDGER]:
        reader = verify if path.name == LEDGER else readers.get(path.suffix)
        try:
            if reader is not None and path.exists():
                reader(path)
        except WildlineError as error:
            yield f"{path.name} ({error})"
