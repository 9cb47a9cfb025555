"""The last steps of a cue: measuring it; signing, recording and laying out what is delivered."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media.files import atomic_path, sha256_of
from studio._jobs import tools
from studio.batch.bench import Bench
from studio.batch.once import PENDING, SHEET
from studio.batch.speech import LINE, TIMING, speech_values
from studio.batch.states import write_json
from studio.credentials import Statement, sidecar_of
from studio.provenance import Disclosure, publish

if TYPE_CHECKING:
    from media.audio import Sound
    from media.bwf import BroadcastFacts
    from studio.consent import Consent

__all__ = ["lay_out", "make_check", "make_package"]

_LIPS = ("closure_rate", "silence_shut", "offset_ms")


def make_check(bench: Bench, folder: Path) -> Mapping[str, Any]:
    """Measure the line as it will be delivered, and the lips of its shot. Judges nothing."""
    from media.audio import read_sound

    del folder
    timing = bench.store.facts(str(bench.setting("timing")))
    sound = read_sound(bench.other("sound") / LINE)
    values = speech_values(
        timing["take"], sound, float(timing["speech_s"]), bench.setting("room_s")
    )
    if bench.setting("sound") != bench.setting("timing"):
        values["wer"] = _understood(sound, str(_takes_facts(bench)["text"]), timing)
    if bench.setting("shot") is not None:
        lips = bench.store.facts(str(bench.setting("shot")))["lips"]
        values |= {name: lips.get(name) for name in _LIPS}
    return {"values": values}


def _understood(sound: Sound, text: str, timing: Mapping[str, Any]) -> float | None:
    """Word error rate of a matched line: a room can cost words."""
    from voice.scores import intelligibility

    if timing["take"]["scores"].get("wer") is None:
        return None
    return round(intelligibility(sound, text).wer, 4)


# --- package ---------------------------------------------------------------------------------


def make_package(bench: Bench, folder: Path) -> Mapping[str, Any]:
    """The delivered files of a cue in `folder`/files, signed and ready to be recorded.

    `ID.wav` starts at the cue's timecode and lasts at least as long as the cue; `ID.TextGrid`
    has its words and phones, `ID.json` everything else; the shot is beside them.
    """
    out = bench.production.out / bench.cue.id
    papers = bench.papers(folder, out)
    takes = _takes_facts(bench)
    record = _permits(bench, papers, takes)
    files, unsigned = folder / "files", folder / ".unsigned"
    files.mkdir()
    unsigned.mkdir()
    wav = files / f"{bench.cue.id}.wav"
    _write_line(bench, unsigned / wav.name)
    take = bench.store.facts(str(bench.setting("timing")))["take"]
    publish(
        unsigned,
        wav,
        _statement(bench, wav, record, take, takes),
        _disclosure(bench, take, takes),
        papers,
    )
    shutil.rmtree(unsigned)
    _write_timing(bench, files)
    _add_shot(bench, folder, files)
    _write_facts(bench, files / f"{bench.cue.id}.json", take, takes)
    made = [{"file": p.name, "sha256": sha256_of(p)} for p in sorted(files.iterdir())]
    papers.ledger.append(
        "cue.delivered",
        folder=str(out),
        outputs=made,
        take=bench.job.chosen,
        text=takes["text"],
        consent=record.id if record else None,
        project=bench.production.project_name,
    )
    return {"files": [f["file"] for f in made]}


def lay_out(folder: Path, out: Path) -> None:
    """Copy the finished package to where it is delivered, each file whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted((folder / "files").iterdir()):
        with atomic_path(out / path.name) as temporary:
            shutil.copyfile(path, temporary)


def _takes_facts(bench: Bench) -> Mapping[str, Any]:
    timing = bench.job.known_step("timing")
    return bench.store.facts(str(timing.settings["takes"]))


def _permits(bench: Bench, papers: Any, takes: Mapping[str, Any]) -> Consent | None:
    """Asked again at delivery: takes and shot may be of an earlier day."""
    text = str(takes["text"])
    record = bench.permit(papers, "voice-say", text, needed=not bench.is_stock())
    if bench.setting("shot") is not None:
        record = bench.permit(papers, "face-alter", text, needed=True)
    return record


def _write_line(bench: Bench, path: Path) -> None:
    """The conformed line: it starts at the cue's timecode and fills the cue."""
    from media.audio import read_sound
    from media.bwf import start_of, write_bwf

    sound, cue = read_sound(bench.other("sound") / LINE), bench.cue
    if cue.start is not None and cue.end is not None:
        samples = start_of(cue.end, sound.rate) - start_of(cue.start, sound.rate)
        sound = replace(sound, start=start_of(cue.start, sound.rate))
        sound = sound.fitted(max(samples, len(sound)))
    write_bwf(path, sound, _broadcast_facts(bench))


def _broadcast_facts(bench: Bench) -> BroadcastFacts:
    from media.bwf import BroadcastFacts

    cue, production = bench.cue, bench.production
    return BroadcastFacts(
        description=f"{cue.id} {cue.character}: {cue.dialogue}",
        project=production.title,
        scene=cue.scene,
        take=bench.job.chosen,
        tape=cue.reel,
        note=cue.notes,
        track=cue.character,
        rate=production.rate,
        drop=production.drop_frame,
    )


def _write_timing(bench: Bench, files: Path) -> None:
    from align.formats import read_timing, write_timing

    timing = read_timing(bench.other("timing") / TIMING)
    write_timing(timing, files / f"{bench.cue.id}.TextGrid")


def _add_shot(bench: Bench, folder: Path, files: Path) -> None:
    """The rendered shot with what its step left to be recorded."""
    if bench.setting("shot") is None:
        return
    source = bench.other("shot")
    facts = bench.store.facts(source.name)
    shot = source / facts["shot"]
    for path in (shot, source / facts["report"], sidecar_of(shot)):
        if path.is_file():
            shutil.copyfile(path, files / path.name)
    _join(source / PENDING, folder / PENDING)
    _join(source / SHEET, folder / SHEET, skip_first=(folder / SHEET).exists())


def _join(source: Path, target: Path, *, skip_first: bool = False) -> None:
    """Append the lines of one file to another; `skip_first` leaves out its heading."""
    if not source.is_file():
        return
    content = source.read_bytes()
    if skip_first:
        content = content.partition(b"\n")[2]
    with target.open("ab") as file:
        file.write(content)


def _statement(
    bench: Bench,
    wav: Path,
    record: Consent | None,
    take: Mapping[str, Any],
    takes: Mapping[str, Any],
) -> Statement:
    facts = {
        "cue": bench.cue.id,
        "voice": takes["voice"],
        "engine": take["engine"],
        "seed": take["seed"],
        "text": takes["text"],
        "weights": takes["weights"],
        "recordings": takes["sources"],
    }
    return Statement("line", wav.name, record.id if record else None, (), facts)


def _disclosure(bench: Bench, take: Mapping[str, Any], takes: Mapping[str, Any]) -> Disclosure:
    cue = bench.cue
    return Disclosure(
        project=bench.production.project_name,
        generated="spoken line (voice synthesised)",
        text=str(takes["text"]),
        timecode_in="" if cue.start is None else str(cue.start),
        timecode_out="" if cue.end is None else str(cue.end),
        tools=tools(str(take["engine"])),
        weights=[f"{w['name']} ({w['licence']})" for w in takes["weights"]],
        extra={"seed": take["seed"], "engine": take["engine"]},
        cue=cue.id,
    )


def _write_facts(
    bench: Bench, path: Path, take: Mapping[str, Any], takes: Mapping[str, Any]
) -> None:
    """What was made, how, and how it measures, for machines."""
    from studio.batch.states import cue_to_json

    values = bench.store.facts(str(bench.setting("check")))["values"]
    document = {
        "cue": cue_to_json(bench.cue),
        "take": bench.job.chosen,
        "text": takes["text"],
        "voice": takes["voice"],
        "engine": take["engine"],
        "seed": take["seed"],
        "values": values,
        "project": bench.production.project_name,
    }
    write_json(path, document)
