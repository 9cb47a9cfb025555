"""What `faults.py` damages: small whole files of every kind that commands read; the damage."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.redub import Codec

__all__ = ["CUES", "PRODUCTION", "Kind", "damaged", "kinds", "make_specimens"]

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
CUES = """\
Cue #,Scene,Character,TC In,TC Out,Dialogue,On/Off
M1,1,MARA,01:00:01:00,01:00:03:12,The tide is turning.,off
M2,1,MARA,01:00:04:00,01:00:06:00,Nobody saw the light.,off
M3,1,MARA,01:00:07:00,01:00:09:00,We waited until morning.,off
"""
SRT = "1\n00:00:01,000 --> 00:00:03,500\nMARA: The tide is turning.\n\n"
SRT += "2\n00:00:04,000 --> 00:00:06,000\nMARA: Nobody saw the light.\n"
VTT = "WEBVTT\n\n00:01.000 --> 00:03.500\n<v Mara Voss>The tide is turning.\n\n"
VTT += "00:04.000 --> 00:06.000\n<v Mara Voss>Nobody saw the light.\n"
EDL = """\
TITLE: HARBOUR
FCM: NON-DROP FRAME

001  AX       V     C        01:00:01:00 01:00:03:12 01:00:01:00 01:00:03:12
* FROM CLIP NAME: M1
* COMMENT: MARA: The tide is turning.
002  AX       V     C        01:00:04:00 01:00:06:00 01:00:04:00 01:00:06:00
* FROM CLIP NAME: M2
* COMMENT: MARA: Nobody saw the light.
"""
FOUNTAIN = """\
Title: The Harbour

INT. HARBOUR - NIGHT #1#

Fog. A *bell*.

MARA (V.O.)
(softly)
The tide is turning.

MARA ^
Nobody saw the light.
"""
PRODUCTION = """\
title = "The Harbour"
rate = "24000/1001"
project = "The Harbour (Wildline demonstration)"

[delivery]
takes = 1

[people.mara]
name = "Mara Voss"
voice = "stock:mara"

[scenes.1]
start = "01:00:00:00"

[[cues]]
file = "{sheet}"
"""
ON_SCREEN = """\
title = "The Harbour"
rate = "{rate}"
[people.mara]
name = "Mara Voss"
voice = "stock:mara"
consent = "consent.toml"
[scenes.1]
footage = "{film}"
start = "01:00:00:00"
[[cues]]
file = "cues.csv"
"""
PLANNED = ("production.toml", "cues.csv", "consent.toml", "release.txt", "work", "out")
Command = Callable[[Path, Path], list[str]]


@dataclass(frozen=True)
class Kind:
    """A kind of file: its whole specimen, and commands that read a damaged one, used in turn.

    A command is given the damaged file and the folder of the run. `outputs` are names that it may
    leave there.
    """

    name: str
    specimen: Path
    commands: tuple[Command, ...]
    outputs: tuple[str, ...]


def make_specimens(place: Path) -> dict[str, Path]:
    """One whole file of every kind, a second or two long where it has a length."""
    from media.audio import read_sound, write_wav
    from voice.voice import load_voice

    place.mkdir(parents=True, exist_ok=True)
    speech = read_sound(SAMPLES / "archive" / "reel_01_studio.flac").cut(0.0, 2.0)
    made = {"wav": place / "line.wav"}
    write_wav(made["wav"], speech)
    _films(place, made)
    _timings(place, made, float(speech.duration_s))
    texts = {"srt": SRT, "vtt": VTT, "edl": EDL, "fountain": FOUNTAIN, "csv": CUES}
    for ending, text in texts.items():
        made[f"cues.{ending}"] = _written(place / f"cues.{ending}", text)
    made["cues.otio"] = _written(place / "cues.otio", _otio())
    made["cues.xlsx"] = place / "cues.xlsx"
    _write_xlsx(made["cues.xlsx"])
    production = PRODUCTION.format(sheet="cues.csv")
    made["production.toml"] = _written(place / "production.toml", production)
    for name in ("consent.toml", "release.txt"):
        shutil.copy(SAMPLES / name, place)
    made["consent.toml"] = place / "consent.toml"
    replace(load_voice("stock:mara"), person="Mara Voss").save(place / "voice")
    made["safetensors"] = place / "voice" / "voice.safetensors"
    made["voice.toml"] = place / "voice" / "voice.toml"
    made["ledger"] = _ledger(place)
    return made


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _films(place: Path, made: dict[str, Path]) -> None:
    from media.audio import read_sound
    from media.video import FootageWriter, probe, read_frames

    film = SAMPLES / "presenter.mp4"
    sound = read_sound(film).cut(0.0, 1.25)
    codecs: dict[str, Codec] = {"mp4": "h264", "mov": "prores"}
    for ending, codec in codecs.items():
        made[ending] = place / f"scene.{ending}"
        with FootageWriter(made[ending], probe(film), codec=codec, sound=sound) as writer:
            for frame in read_frames(film, 0, 30):
                writer.write(frame)
    made["mkv"] = place / "scene.mkv"
    _remux(made["mp4"], made["mkv"])


def _timings(place: Path, made: dict[str, Path], end_s: float) -> None:
    from align.formats import FORMATS, write_timing
    from align.timing import Span, Timing

    timing = Timing(
        (Span("this", 0.1, 0.4), Span("is", 0.4, 0.6), Span("reel", 0.6, 0.9)),
        (Span("DH", 0.1, 0.2), Span("IH", 0.2, 0.6), Span("R", 0.6, 0.7), Span("IY", 0.7, 0.9)),
        end_s,
        "hand",
    )
    for form, ending in FORMATS.items():
        made[form] = place / f"{form}{ending}"
        write_timing(timing, made[form], form)


def _remux(source: Path, target: Path) -> None:
    """The same packets in another container."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        chosen = [s for s in old.streams if s.type in ("video", "audio")]
        streams = {s.index: new.add_stream_from_template(s) for s in chosen}
        for packet in old.demux(chosen):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)


def _write_xlsx(target: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    for row in CUES.splitlines():
        book.active.append(row.split(","))
    book.save(target)


def _otio() -> str:
    import opentimelineio as otio

    time, spans = otio.opentime.RationalTime, otio.opentime.TimeRange
    timeline = otio.schema.Timeline(name="Harbour", global_start_time=time(86400, 24))
    track = otio.schema.Track(name="Mara", kind="Audio")
    for line in ("MARA: The tide is turning.", "MARA: Nobody saw the light."):
        clip = otio.schema.Clip(name=line, source_range=spans(time(0, 24), time(48, 24)))
        track.append(clip)
    timeline.tracks.append(track)
    return str(otio.adapters.write_to_string(timeline, "otio_json", indent=2))


def _ledger(place: Path) -> Path:
    from studio.ledger import Ledger

    path = place / "book.jsonl"
    path.unlink(missing_ok=True)
    for number in range(12):
        Ledger(path).append("line.made", text=f"Line {number}.", output=f"out/{number}.wav")
    return path


# --- commands ----------------------------------------------------------------------------------


def kinds(place: Path, specimens: dict[str, Path]) -> list[Kind]:
    """Every kind with the commands that read it; the cheap ones more often."""
    wav, film, grid = (str(specimens[name]) for name in ("wav", "mp4", "textgrid"))
    consent = str(specimens["consent.toml"])

    def resync(scene: str, line: str) -> list[str]:
        allowed = ("--consent", consent, "--person", "Mara Voss")
        return ["resync", scene, line, "--timing", grid, *allowed, "-o", "out.mp4"]

    def timed(sound: str, timing: str, *more: str) -> list[str]:
        return ["align", sound, "--timing", timing, *more, "-o", "out.TextGrid"]

    def timing_of(p: Path, _: Path) -> list[str]:
        return timed(wav, str(p))

    def curves_of(p: Path, _: Path) -> list[str]:
        return timed(wav, str(p), "--curves", "out.csv")

    def sound_of(p: Path, _: Path) -> list[str]:
        return timed(str(p), grid)

    def shown(p: Path, run: Path) -> list[str]:
        _on_screen(p, run, specimens)
        return ["batch", ".", "--dry-run"]

    def spoken(p: Path, run: Path) -> list[str]:
        (run / "voice").mkdir()
        for name in ("voice.safetensors", "voice.toml"):
            shutil.copy(p if p.name == name else place / "voice" / name, run / "voice" / name)
        said = ("say", "Yes.", "--voice", "voice", "--takes", "1", "--consent", consent)
        return [*said, "-o", "out.wav"]

    def unspoken(p: Path, run: Path) -> list[str]:
        arguments = spoken(p, run)  # the voice is looked at before the words are found to be none
        return [arguments[0], "…", *arguments[2:]]

    def verified(p: Path, _: Path) -> list[str]:
        return ["verify", str(p)]

    clip, timing = ("out.mp4", "out.report.json", *PLANNED), ("out.TextGrid", "out.csv")
    cheap: tuple[Command, ...] = (shown, sound_of, shown, sound_of, shown, verified)
    films = [
        Kind(
            name,
            specimens[name],
            (*cheap, *cheap, lambda p, _: resync(str(p), wav)),
            (*clip, *timing),
        )
        for name in ("mp4", "mov", "mkv")
    ]
    once: tuple[Command, ...] = (*(sound_of,) * 5, verified, lambda p, _: ["delivery", str(p)])
    wavs: tuple[Command, ...] = (*once, *once)
    sounds = Kind("wav", specimens["wav"], (*wavs, lambda p, _: resync(film, str(p))), clip)
    forms = [n for n in specimens if not n.startswith("cues.") and n in _forms()]
    return [
        *films,
        Kind("wav", sounds.specimen, sounds.commands, (*clip, *timing)),
        *(Kind(form, specimens[form], (timing_of, curves_of), timing) for form in forms),
        *(
            Kind(name, path, (_planned(specimens),), (*PLANNED, name))
            for name, path in specimens.items()
            if name.startswith("cues.") or name == "production.toml"
        ),
        _consent_kind(specimens),
        Kind("safetensors", specimens["safetensors"], (spoken, *(unspoken,) * 8), _SPOKEN),
        Kind("voice.toml", specimens["voice.toml"], (spoken, *(unspoken,) * 8), _SPOKEN),
        _ledger_kind(specimens, consent),
    ]


_SPOKEN = ("out.wav", "out.json", "voice")


def _forms() -> set[str]:
    from align.formats import FORMATS

    return set(FORMATS)


def _on_screen(film: Path, run: Path, specimens: dict[str, Path]) -> None:
    """A production in `run` whose cues are seen in `film`."""
    (run / "cues.csv").write_text(CUES.replace(",off", ",on"), encoding="utf-8")
    shutil.copy(specimens["consent.toml"], run)
    shutil.copy(specimens["consent.toml"].with_name("release.txt"), run)
    text = ON_SCREEN.format(film=film.name, rate="24000/1001")
    (run / "production.toml").write_text(text, encoding="utf-8")


def _planned(specimens: dict[str, Path]) -> Command:
    def command(path: Path, run: Path) -> list[str]:
        if path.name == "production.toml":
            shutil.copy(specimens["cues.csv"], run)
        else:
            text = PRODUCTION.format(sheet=path.name)
            (run / "production.toml").write_text(text, encoding="utf-8")
        return ["batch", ".", "--dry-run"]

    return command


def _consent_kind(specimens: dict[str, Path]) -> Kind:
    commands: tuple[Command, ...] = (
        lambda p, _: ["consent", "check", str(p), "--use", "face-alter"],
        lambda p, _: ["consent", "show", str(p)],
    )
    return Kind("consent.toml", specimens["consent.toml"], commands, ())


def _ledger_kind(specimens: dict[str, Path], consent: str) -> Kind:
    asked = ("consent", "check", consent, "--use", "face-alter", "--ledger")
    commands: tuple[Command, ...] = (
        lambda p, _: ["ledger", "verify", str(p)],
        lambda p, _: ["ledger", "show", str(p)],
        lambda p, _: [*asked, str(p)],
    )
    return Kind("ledger", specimens["ledger"], commands, ())


# --- damage ------------------------------------------------------------------------------------


def damaged(whole: bytes, rng: random.Random) -> tuple[str, bytes]:
    """(how, a damaged copy): one of nine ways that files are found in the wild."""
    size = len(whole)
    at = rng.randrange(size)
    length = rng.randint(1, max(1, size // 4))
    ways: Sequence[tuple[str, Callable[[], bytes]]] = (
        ("cut off", lambda: whole[:at]),
        ("head lost", lambda: whole[at:]),
        ("bits flipped", lambda: flipped(whole, rng, rng.choice((1, 8, 64)))),
        ("head flipped", lambda: flipped(whole[:256], rng, 4) + whole[256:]),
        ("zeros", lambda: whole[:at] + bytes(min(length, size - at)) + whole[at + length :]),
        ("hole", lambda: whole[:at] + whole[at + length :]),
        ("repeated", lambda: whole[: at + length] + whole[at:]),
        ("great numbers", lambda: great(whole, rng)),
        ("brackets", lambda: whole[:at] + rng.choice((b"[", b"{", b"<a>")) * 20_000 + whole[at:]),
    )
    name, make = rng.choice(ways)
    return name, make()


def flipped(whole: bytes, rng: random.Random, count: int) -> bytes:
    """`count` bits turned over."""
    changed = bytearray(whole)
    for _ in range(count):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def great(whole: bytes, rng: random.Random) -> bytes:
    """A field of four bytes, or a number in text, made absurdly large, negative or nought."""
    try:
        text = whole.decode("utf-8")
    except UnicodeDecodeError:
        at = rng.randrange(max(1, min(len(whole) - 4, 2048)))
        field = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0"))
        return whole[:at] + field + whole[at + 4 :]
    digits = [i for i, c in enumerate(text) if c.isdigit()]
    if not digits:
        return whole + b"\0"
    at = rng.choice(digits)
    numbers = ("99999999999999999999", "-1", "1e400", "1e999999999", "nan", "inf", "0", "\u0661")
    return (text[:at] + rng.choice(numbers) + text[at + 1 :]).encode("utf-8")
