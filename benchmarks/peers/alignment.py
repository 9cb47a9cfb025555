"""Timing: the same WAV files and words, by our engines, PocketSphinx and torchaudio's CTC.

The sounds and their truth are those of `benchmarks/align.py`. Errors are compared on the files
that both placed, as a file that is given up costs its engine nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import align as measured
from benchmarks.peers.environments import PeerError, Worker
from benchmarks.peers.tables import Result, ratio

COLUMNS = {
    "set": "",
    "who": "",
    "words ms": ".1f",
    "median": ".1f",
    "phones ms": ".1f",
    "median ": ".1f",
    "lost": "",
    "CPU s/s": ".3f",
    "peak MB": ".0f",
    "words, PocketSphinx / this": ".2f",
    "phones, PocketSphinx / this": ".2f",
    "CPU, PocketSphinx / this": ".2f",
}
NOTES = (
    """\
Mean error of boundaries against durations that are known (lines synthesised here in five voices,
on the engine's grid of 25 ms, which costs everybody about 7 ms) or were set by hand. `nnet` and
`combined` learnt from other voices of the engine that speaks the lines: those are their home
ground; recordings timed by hand are measured where --data names them. Ratios of errors are taken
on the files that both placed. *truth* is nought by definition. A decoder of PocketSphinx is made
anew for every file, outside the time.""",
    """\
torchaudio's CTC (`forced_align` on the network of WAV2VEC2_ASR_BASE_960H) has random weights where
the trained ones were never fetched: then its time is true and it finds nothing. Of itself it gives
no phones.""",
)
TIERS = ("words", "phones")
_STOCK = "PocketSphinx alone"


@dataclass
class Found:
    """One engine on one set: errors in ms by file and tier, None where the file was lost."""

    who: str
    errors: list[dict[str, list[float]] | None] = field(default_factory=list)
    cpu_s: float = 0.0
    sound_s: float = 0.0
    peak_mb: float = 0.0
    blind: bool = False  # random weights: it costs time and finds nothing

    def tier(self, tier: str, where: Sequence[int] | None = None) -> list[float]:
        """All errors of a tier, or those in the files `where`."""
        chosen = range(len(self.errors)) if where is None else where
        held = [self.errors[i] for i in chosen]
        return [abs(e) for found in held if found is not None for e in found[tier]]

    def row(self) -> dict[str, Any]:
        """Without the ratios."""
        words, phones = (self.tier(t) for t in TIERS)
        lost = sum(e is None for e in self.errors)
        return {
            "who": self.who,
            "words ms": float(np.mean(words)) if words else None,
            "median": float(np.median(words)) if words else None,
            "phones ms": float(np.mean(phones)) if phones else None,
            "median ": float(np.median(phones)) if phones else None,
            "lost": None if self.blind else f"{lost}/{len(self.errors)}",
            "CPU s/s": self.cpu_s / self.sound_s,
            "peak MB": self.peak_mb,
        }


def run(
    result: Result,
    scratch: Path,
    *,
    data: Path | None,
    wears: Sequence[str],
    keep: Path,
    every: int = 1,
) -> None:
    """Fill `result`."""
    keep.mkdir(parents=True, exist_ok=True)
    for name, cases in sets(data, keep, every):
        for wear in wears:
            folder = scratch / f"{name}-{wears.index(wear)}"
            folder.mkdir()
            paths = [_written(folder / f"{n}.wav", c, wear) for n, c in enumerate(cases)]
            result.rows += table_of(f"{name}, {wear}", paths, cases, result)
    result.notes += NOTES


def sets(data: Path | None, keep: Path, every: int) -> Iterator[tuple[str, list[measured.Case]]]:
    """Names and cases."""
    yield "synthesised", list(measured.synthesised(keep))[::every]
    if data is not None and (data / "speech" / "praatio").is_dir():
        yield "by hand", list(measured.hand_labelled(data))


def _written(path: Path, case: measured.Case, wear: str) -> Path:
    """The worn sound as everybody gets it: 16 kHz, 16 bit."""
    from media.audio import resample, write_wav

    write_wav(path, resample(measured.WEARS[wear](case.sound), 16_000), "PCM_16")
    return path


def table_of(
    name: str, paths: Sequence[Path], cases: Sequence[measured.Case], result: Result
) -> list[dict[str, Any]]:
    """The rows of one set."""
    found: dict[str, Found] = {}
    for who, peer, script, words in engines():
        try:
            worker = Worker.ours(script, *words) if peer is None else Worker.peer(peer, script)
        except PeerError as error:
            result.notes.append(f"Left out: {error}.")
            continue
        with worker:
            blind = not worker.says.get("trained", True)
            label = f"{who}, random weights" if blind else who
            if peer is not None:
                result.versions[peer] = worker.versions
            try:
                found[who] = asked(Found(label, blind=blind), worker, paths, cases)
            except PeerError as error:
                result.notes.append(f"Left out: {error}.")
    rows = [{"who": "truth", "words ms": 0.0, "phones ms": 0.0, "lost": f"0/{len(cases)}"}]
    rows += [{**each.row(), **against(found.get(_STOCK), each)} for each in found.values()]
    return [{"set": name, **row} for row in rows]


def engines() -> Iterator[tuple[str, str | None, str, list[object]]]:
    """(name in the table, its environment, its worker, the worker's arguments)."""
    yield _STOCK, "pocketsphinx", "align_pocketsphinx.py", []
    yield "torchaudio CTC", "torchaudio", "align_torchaudio.py", []
    for engine in ("sphinx", "nnet", "combined"):
        yield f"Wildline, {engine}", None, "align_ours.py", [engine]


def asked(
    found: Found, worker: Worker, paths: Sequence[Path], cases: Sequence[measured.Case]
) -> Found:
    """Every file once, the first twice: what is loaded on first use is not aligning."""
    for turn, number in enumerate((0, *range(len(cases)))):
        case = cases[number]
        request = {
            "wav": str(paths[number]),
            "text": case.script.text,
            "spoken": [w.spoken for w in case.script.words],
        }
        told = worker.ask(request)
        found.peak_mb = max(found.peak_mb, told["peak_mb"])
        if turn:
            found.errors.append(errors(told, case))
            found.cpu_s += told["cpu_s"]
            found.sound_s += float(case.sound.duration_s)
    return found


def errors(told: dict[str, Any], case: measured.Case) -> dict[str, list[float]] | None:
    """In ms, by tier; None when there is no answer."""
    words = told.get("words")
    if words is None and told.get("spoken") is not None:
        spoken = told["spoken"]
        words = [[spoken[a][0], spoken[b - 1][1]] for a, b in case.script.written_words()]
    if words is None:
        return None
    at = np.array([edge for span in told["phones"] or () for edge in span])
    pairs = zip((edge for span in words for edge in span), case.words, strict=True)
    # Pronunciations differ, so each known phone edge is held against the nearest one.
    near = [float(at[np.abs(at - b).argmin()] - b) for b in case.phones if b == b and len(at)]
    return {
        "words": [1000 * (a - b) for a, b in pairs if b == b],
        "phones": [1000 * e for e in near],
    }


def against(stock: Found | None, found: Found) -> dict[str, float | None]:
    """PocketSphinx's figures over these."""
    if stock is None or found is stock:
        return {}
    pairs = zip(stock.errors, found.errors, strict=True)
    both = [i for i, pair in enumerate(pairs) if None not in pair]
    cost = ratio(stock.cpu_s / stock.sound_s, found.cpu_s / found.sound_s)
    made: dict[str, float | None] = {"CPU, PocketSphinx / this": cost}
    for tier in TIERS:
        theirs, here = stock.tier(tier, both), found.tier(tier, both)
        if theirs and here:
            made[f"{tier}, PocketSphinx / this"] = ratio(
                float(np.mean(theirs)), float(np.mean(here))
            )
    return made
