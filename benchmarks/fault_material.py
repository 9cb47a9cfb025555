"""What `faults.py` damages: small whole files of every kind that commands read; the damage."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
CUES = """\
Cue #,Scene,Character,TC In,TC Out,Dialogue,On/Off
M1,1,MARA,01:00:01:00,01:00:03:12,The tide is turning.,off
M2,1,MARA,01:00:04:00,01:00:06:00,Nobody saw the light.,off
M3,1,MARA,01:00:07:00,01:00:09:00,We waited until morning.,off
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


@dataclass(frozen=True)
class Kind:
    """A kind of file: its whole specimen, and the command that reads a damaged one.

    `command` is given the damaged file and the folder of the run, and names what it may leave
    there.
    """

    name: str
    specimen: Path
    command: Callable[[Path, Path], list[str]]
    outputs: tuple[str, ...]


def make_specimens(place: Path) -> dict[str, Path]:
    """One whole file of every kind, a second long where it has a length."""
    from align.formats import write_timing
    from align.timing import Span, Timing
    from media.audio import Sound, read_sound, write_wav
    from media.video import FootageWriter, probe, read_frames
    from voice.voice import load_voice

    made = {}
    speech = read_sound(SAMPLES / "archive" / "reel_01_studio.flac").cut(0.0, 2.0)
    made["wav"] = place / "line.wav"
    write_wav(made["wav"], speech)
    end = float(speech.duration_s)
    timing = Timing(
        (Span("this", 0.1, 0.4), Span("is", 0.4, 0.6), Span("reel", 0.6, 0.9)),
        (Span("DH", 0.1, 0.2), Span("IH", 0.2, 0.6), Span("R", 0.6, 0.7), Span("IY", 0.7, 0.9)),
        end,
        "hand",
    )
    for ending in ("TextGrid", "json"):
        made[ending] = place / f"line.{ending}"
        write_timing(timing, made[ending])
    film = SAMPLES / "presenter.mp4"
    short = Sound(speech.samples[: speech.rate * 5 // 4], speech.rate)
    for ending, codec in (("mp4", "h264"), ("mov", "prores")):
        made[ending] = place / f"scene.{ending}"
        with FootageWriter(made[ending], probe(film), codec=codec, sound=short) as writer:
            for frame in read_frames(film, 0, 30):
                writer.write(frame)
    made["mkv"] = place / "scene.mkv"
    remux(made["mp4"], made["mkv"])
    made["csv"] = place / "cues.csv"
    made["csv"].write_text(CUES, encoding="utf-8")
    made["xlsx"] = place / "cues.xlsx"
    write_xlsx(made["xlsx"])
    made["production.toml"] = place / "production.toml"
    made["production.toml"].write_text(PRODUCTION.format(sheet="cues.csv"), encoding="utf-8")
    made["consent.toml"] = place / "consent.toml"
    shutil.copy(SAMPLES / "consent.toml", made["consent.toml"])
    shutil.copy(SAMPLES / "release.txt", place)
    load_voice("stock:mara").save(place / "voice")
    made["safetensors"] = place / "voice" / "voice.safetensors"
    made["voice.toml"] = place / "voice" / "voice.toml"
    return made


def remux(source: Path, target: Path) -> None:
    """The same packets in another container."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        chosen = [s for s in old.streams if s.type in ("video", "audio")]
        streams = {s.index: new.add_stream_from_template(s) for s in chosen}
        for packet in old.demux(chosen):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)


def write_xlsx(target: Path) -> None:
    """The cue sheet as a workbook."""
    from openpyxl import Workbook

    book = Workbook()
    for row in CUES.splitlines():
        book.active.append(row.split(","))
    book.save(target)


def kinds(place: Path, specimens: dict[str, Path]) -> list[Kind]:
    """Every kind with the command that reads it. Options that only quicken a run are used."""
    wav, grid = str(specimens["wav"]), str(specimens["TextGrid"])
    consent = str(specimens["consent.toml"])
    film = str(specimens["mp4"])

    def resync(scene: str, line: str, timing: str, record: str) -> list[str]:
        return [
            *("resync", scene, line, "--timing", timing),
            *("--consent", record, "--person", "Mara Voss", "-o", "out.mp4"),
        ]

    def plan(sheet: str) -> Callable[[Path, Path], list[str]]:
        def command(path: Path, run: Path) -> list[str]:
            if path.name != "production.toml":
                text = PRODUCTION.format(sheet=path.name)
                (run / "production.toml").write_text(text, encoding="utf-8")
            else:
                shutil.copy(specimens["csv"], run / sheet)
            return ["batch", ".", "--dry-run"]

        return command

    def speak(path: Path, run: Path) -> list[str]:
        folder = run / "voice"
        folder.mkdir()
        for name in ("voice.safetensors", "voice.toml"):
            whole = place / "voice" / name
            shutil.copy(path if path.name == name else whole, folder / name)
        return ["say", "Yes.", "--voice", "voice", "--takes", "1", "-o", "out.wav"]

    clip, spoken = ("out.mp4",), ("out.wav", "out.json", "voice")
    films = [
        Kind(name, specimens[name], lambda p, _: resync(str(p), wav, grid, consent), clip)
        for name in ("mp4", "mov", "mkv")
    ]
    timings = [
        Kind(
            name,
            specimens[name],
            lambda p, _: ["align", wav, "--timing", str(p), "-o", "out.TextGrid"],
            ("out.TextGrid",),
        )
        for name in ("TextGrid", "json")
    ]
    planned = ("production.toml", "cues.csv", "work", "out")
    return [
        *films,
        Kind("wav", specimens["wav"], lambda p, _: resync(film, str(p), grid, consent), clip),
        *timings,
        Kind("csv", specimens["csv"], plan("cues.csv"), planned),
        Kind("xlsx", specimens["xlsx"], plan("cues.xlsx"), planned),
        Kind("production.toml", specimens["production.toml"], plan("cues.csv"), planned),
        Kind(
            "consent.toml",
            specimens["consent.toml"],
            lambda p, _: ["consent", "check", str(p), "--use", "face-alter"],
            (),
        ),
        Kind("safetensors", specimens["safetensors"], speak, spoken),
        Kind("voice.toml", specimens["voice.toml"], speak, spoken),
    ]


def damaged(whole: bytes, rng: random.Random) -> tuple[str, bytes]:
    """(how, a damaged copy): one of eight ways that files are found in the wild."""
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
    number = rng.choice(("99999999999999999999", "-1", "1e400", "nan", "0", "\u0661"))
    return (text[:at] + number + text[at + 1 :]).encode("utf-8")
