"""Files whose heads say what cannot be, names that lead elsewhere, pickles, and bombs."""

from __future__ import annotations

import io
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fault_material import CUES, ON_SCREEN, PRODUCTION

__all__ = ["Trial", "absurd", "bombs", "tricks"]


@dataclass(frozen=True)
class Trial:
    """A command that must be answered; `begin` fills the folder of the run.

    `outputs` are names that may be left, `after` looks at what was left and returns what is
    wrong with it. `codes`: how it may end.
    """

    name: str
    arguments: tuple[str, ...]
    begin: Callable[[Path], None]
    outputs: tuple[str, ...] = ()
    after: Callable[[Path], str] | None = None
    codes: tuple[int, ...] = (0, 1, 2)


def _file(name: str, content: bytes) -> Callable[[Path], None]:
    def begin(run: Path) -> None:
        (run / name).write_bytes(content)

    return begin


# --- heads -------------------------------------------------------------------------------------


def absurd(specimens: dict[str, Path]) -> Iterator[Trial]:
    """Media whose heads are absurd: size, rate, number of samples, clock."""
    grid = str(specimens["textgrid"])
    for name, content in _wavs(specimens["wav"].read_bytes()):
        begin = _file("a.wav", content)
        timed = ("align", "a.wav", "--timing", grid, "-o", "out.TextGrid")
        yield Trial(f"wav {name}", timed, begin, ("a.wav", "out.TextGrid"))
        yield Trial(f"wav {name}, verify", ("verify", "a.wav"), begin, ("a.wav",))
    for name, ending, content in _pictures(specimens["mp4"].read_bytes()):
        film = f"film.{ending}"

        def begin(run: Path, film: str = film, content: bytes = content) -> None:
            (run / film).write_bytes(content)
            _on_screen(run, film, specimens)

        files = (film, *_PLAN)
        yield Trial(f"film {name}", ("batch", ".", "--dry-run"), begin, files)
        yield Trial(f"film {name}, sound", ("verify", film), begin, files)
    wav = str(specimens["wav"])
    consent = ("--consent", str(specimens["consent.toml"]), "--person", "Mara Voss")
    for width, height in ((16000, 16000), (65500, 2), (1, 1), (2, 2)):
        begin = _file("film.png", _png(width, height))
        resync = ("resync", "film.png", wav, "--timing", grid, *consent, "-o", "out.mp4")
        yield Trial(f"picture {width}x{height}", resync, begin, ("film.png",))
    yield Trial(
        "wav of 2^31 samples",
        ("align", "a.wav", "--timing", grid, "-o", "out.TextGrid"),
        _sparse_wav,
        ("a.wav",),
        codes=(2,),
    )


_PLAN = ("production.toml", "cues.csv", "consent.toml", "release.txt", "work", "out")


def _on_screen(run: Path, film: str, specimens: dict[str, Path]) -> None:
    (run / "cues.csv").write_text(CUES.replace(",off", ",on"), encoding="utf-8")
    for name in ("consent.toml", "release.txt"):
        shutil.copy(specimens["consent.toml"].with_name(name), run)
    text = ON_SCREEN.format(film=film, rate="24000/1001")
    (run / "production.toml").write_text(text, encoding="utf-8")


def _wavs(whole: bytes) -> Iterator[tuple[str, bytes]]:
    fmt, data = whole.index(b"fmt ") + 8, whole.index(b"data") + 4
    patches = (
        *(("rate", fmt + 4, "<I", v) for v in (0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF)),
        *(("channels", fmt + 2, "<H", v) for v in (0, 2, 255, 65535)),
        *(("bits", fmt + 14, "<H", v) for v in (0, 1, 9, 64, 65535)),
        *(("block", fmt + 12, "<H", v) for v in (0, 1, 65535)),
        *(("coding", fmt, "<H", v) for v in (0, 3, 0x55, 0xFFFF)),
        *(("data of", data, "<I", v) for v in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)),
    )
    for what, at, kind, value in patches:
        yield f"{what} {value}", _patched(whole, at, kind, value)
    bext = b"bext" + struct.pack("<I", 602) + bytes(338) + b"\xff" * 8 + bytes(256)
    yield "time reference 2^64", whole[:12] + bext + whole[12:]
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 1 << 62, 1 << 62, 1 << 61, 0)
    yield "RF64 of 2^62 bytes", b"RF64\xff\xff\xff\xffWAVE" + ds64 + whole[12:]


def _patched(whole: bytes, at: int, kind: str, value: int) -> bytes:
    changed = bytearray(whole)
    struct.pack_into(kind, changed, at, value)
    return bytes(changed)


def _sparse_wav(run: Path) -> None:
    """A true WAV of 2^31 - 64 samples of silence, in a file that takes no room."""
    size = (1 << 31) - 64
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8) + b"data" + struct.pack("<I", size)
    with (run / "a.wav").open("wb") as stream:
        stream.write(head)
        stream.truncate(len(head) + size)


def _pictures(mp4: bytes) -> Iterator[tuple[str, str, bytes]]:
    boxes = (
        *(("clock of the film", b"mvhd", 20, ">I", v) for v in (0, 1, 0xFFFFFFFF)),
        *(("clock of a track", b"mdhd", 20, ">I", v) for v in (0, 1, 0xFFFFFFFF)),
        *(("length", b"mdhd", 24, ">I", v) for v in (0, 0xFFFFFFFF)),
        *(("width", b"tkhd", 84, ">I", v) for v in (0, 0xFFFFFFFF, 50000 << 16)),
        *(("frames", b"stts", 16, ">I", v) for v in (0, 0x7FFFFFFF, 0xFFFFFFFF)),
        *(("ticks a frame", b"stts", 20, ">I", v) for v in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF)),
        *(("samples", b"stsz", 16, ">I", v) for v in (0, 0x7FFFFFFF, 0xFFFFFFFF)),
        *(("size of a sample", b"stsz", 12, ">I", v) for v in (1, 0x7FFFFFFF, 0xFFFFFFFF)),
        *(("place", b"stco", 16, ">I", v) for v in (0, 0xFFFFFFFF)),
        *(("begin", b"elst", 20, ">i", v) for v in (-1, -(1 << 31), (1 << 31) - 1)),
        *(("coded width", b"avc1", 32, ">H", v) for v in (0, 65535)),
    )
    for what, box, offset, kind, value in boxes:
        at = mp4.rfind(box)
        if at >= 0:
            yield f"{what} {value}", "mp4", _patched(mp4, at - 4 + offset, kind, value)
    heads = ["W0 H0 F25:1", "W100000 H100000 F25:1", "W16 H16 F0:0", "W16 H16 F25:0"]
    heads += ("W16 H16 F-25:1", "W16000 H16000 F25:1", "W-16 H16 F25:1", "W16 H16 F1:2147483647")
    for head in heads:
        y4m = f"YUV4MPEG2 {head}\nFRAME\n".encode() + bytes(384)
        yield head, "y4m", y4m
    for size in ((0, 0), (100000, 100000), (16000, 16000), (65500, 1)):
        yield f"{size[0]}x{size[1]}", "png", _png(*size)


def _png(width: int, height: int) -> bytes:
    """A PNG of that size with hardly anything in it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


# --- names -------------------------------------------------------------------------------------

_NAMES = ("a b", "ü ☃ 画", "-o", "a\nb", "'\"$(x)`", "%s{}", "x" * 200, ".hidden", "a..b", "CON")


def tricks(specimens: dict[str, Path]) -> Iterator[Trial]:
    """Names with blanks and signs, `..`, links out of the folder, links in a ring, devices."""
    grid, wav = str(specimens["textgrid"]), str(specimens["wav"])

    def with_sound(name: str) -> Callable[[Path], None]:
        return _file(name, Path(wav).read_bytes())

    arguments: tuple[str, ...]
    for name in _NAMES:
        out = f"./{name}.TextGrid"
        arguments = ("align", f"./{name}.wav", "--timing", grid, "-o", out)
        allowed = (f"{name}.wav", f"{name}.TextGrid")
        yield Trial(f"name {name!a:.20}", arguments, with_sound(f"{name}.wav"), allowed)
    for out in ("no/", "/dev/zero", "/dev/null", "/dev/full", "/proc/x.TextGrid", "no/x.TextGrid"):
        arguments = ("align", wav, "--timing", grid, "-o", out)
        yield Trial(f"output '{out}'", arguments, lambda _: None, ("line.TextGrid",), codes=(2,))
    for given in ("/dev/zero", "/dev/stdin", ".", "/", "ring", "pipe", "caf\udce9.wav", ""):
        for command in (("align", given), ("verify", given), ("ledger", "verify", given)):
            yield Trial(f"input {given!a}, {command[0]}", command, _odd_files, _ODD)
        show = ("consent", "show", given)
        yield Trial(f"input {given!a}, consent", show, _odd_files, _ODD, codes=(2,))
    yield from _links(specimens)
    for number in ("../../x", "/etc/x", "..", ".", "a" * 300, "\u202e", "*", "-rf"):
        begin = _cue_called(number)
        yield Trial(f"cue {number!a:.20}", ("batch", ".", "--dry-run"), begin, _PLAN)
    for place in ("../x", "/dev/null/x", "a\\u0000b", "/proc/x"):
        begin = _production_with(f'ledger = "{place}"\n')
        arguments = ("batch", ".", "--jobs", "1", "--only", "nobody")
        yield Trial(f"ledger {place}", arguments, begin, _PLAN, codes=(2,))


_ODD = ("ring", "gnir", "pipe", "caf\udce9.wav", "wildline-ledger.jsonl")


def _odd_files(run: Path) -> None:
    import os

    (run / "ring").symlink_to("gnir")
    (run / "gnir").symlink_to("ring")
    os.mkfifo(run / "pipe")
    (run / "caf\udce9.wav").write_bytes(b"RIFF")


def _links(specimens: dict[str, Path]) -> Iterator[Trial]:
    grid, wav = str(specimens["textgrid"]), str(specimens["wav"])

    def linked(run: Path) -> None:
        outside = run.parent / "outside.TextGrid"
        outside.write_text("mine")
        (run / "out.TextGrid").symlink_to(outside)

    def untouched(run: Path) -> str:
        outside = run.parent / "outside.TextGrid"
        return "" if outside.read_text() == "mine" else "wrote through a link out of the folder"

    arguments = ("align", wav, "--timing", grid, "-o", "out.TextGrid")
    yield Trial("output is a link", arguments, linked, ("out.TextGrid",), untouched)
    consent = ("--consent", str(specimens["consent.toml"]), "--person", "Mara Voss")

    def scene(run: Path) -> None:
        shutil.copy(specimens["mp4"], run / "scene.mp4")

    def same(run: Path) -> str:
        whole = (run / "scene.mp4").read_bytes() == specimens["mp4"].read_bytes()
        return "" if whole else "the source was replaced by the output"

    over = ("resync", "scene.mp4", wav, "--timing", grid, *consent, "-o", "./scene.mp4")
    yield Trial("output is the source", over, scene, ("scene.mp4",), same, codes=(2,))


def _cue_called(number: str) -> Callable[[Path], None]:
    def begin(run: Path) -> None:
        (run / "cues.csv").write_text(CUES.replace("M1", number), encoding="utf-8")
        (run / "production.toml").write_text(PRODUCTION.format(sheet="cues.csv"), "utf-8")

    return begin


def _production_with(line: str) -> Callable[[Path], None]:
    def begin(run: Path) -> None:
        (run / "cues.csv").write_text(CUES, encoding="utf-8")
        text = line + PRODUCTION.format(sheet="cues.csv")
        (run / "production.toml").write_text(text, "utf-8")

    return begin


# --- bombs and pickles -------------------------------------------------------------------------


class Evil:
    """Unpickled, it leaves a file called `pwned` in the folder of the run."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (open, ("pwned", "w"))


def bombs(specimens: dict[str, Path]) -> Iterator[Trial]:
    """Workbooks that unpack to gigabytes, XML that grows, pickles where weights are looked for."""
    plan = ("batch", ".", "--dry-run")
    for name, content in _workbooks(specimens["cues.xlsx"].read_bytes()):

        def begin(run: Path, content: bytes = content) -> None:
            (run / "cues.xlsx").write_bytes(content)
            text = PRODUCTION.format(sheet="cues.xlsx")
            (run / "production.toml").write_text(text, encoding="utf-8")

        yield Trial(f"workbook {name}", plan, begin, (*_PLAN, "cues.xlsx"))
    entity = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    arguments = ("align", str(specimens["wav"]), "--timing", "a.xml", "-o", "out.TextGrid")
    yield Trial("timing of entities", arguments, _file("a.xml", entity.encode()), ("a.xml",))
    yield from _pickles(specimens)


def _workbooks(whole: bytes) -> Iterator[tuple[str, bytes]]:
    sheet = "xl/worksheets/sheet1.xml"
    open_row = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    open_row += b'<sheetData><row r="1">'
    yield "of 4 GB", _with_part(whole, "xl/media/a.bin", bytes(1 << 20), 4096)
    yield "of 30 million cells", _with_part(whole, sheet, open_row + b"<c/>" * (30 << 20), 1)
    yield "of nested parts", _with_part(whole, sheet, b"<a>" * 2_000_000, 1)
    yield "of many parts", _with_parts(whole, 3000)
    yield (
        "with entities",
        _with_part(
            whole, sheet, b'<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;">]><a>&c;</a>', 1
        ),
    )
    yield (
        "of 2^40 columns",
        _with_part(
            whole, sheet, open_row.replace(b'r="1"', b'r="1099511627776"') + b"<c/></row>", 1
        ),
    )
    cell = b'<c r="XFD1048576" t="inlineStr"><is><t>x</t></is></c></row></sheetData></worksheet>'
    yield "with one far cell", _with_part(whole, sheet, open_row.replace(b' r="1"', b"") + cell, 1)
    yield "with a path out", _with_part(whole, "../../../../out/evil.xml", b"<a/>", 1)


def _with_part(whole: bytes, name: str, piece: bytes, times: int) -> bytes:
    """The workbook with one part replaced by `piece`, so many times."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for part in old.namelist():
            if part != name:
                new.writestr(part, old.read(part))
        with new.open(name, "w", force_zip64=True) as stream:
            for _ in range(times):
                stream.write(piece)
    return packed.getvalue()


def _with_parts(whole: bytes, count: int) -> bytes:
    packed = io.BytesIO(whole)
    with zipfile.ZipFile(packed, "a") as package:
        for number in range(count):
            package.writestr(f"xl/a{number}.xml", "<a/>")
    return packed.getvalue()


def _pickles(specimens: dict[str, Path]) -> Iterator[Trial]:
    wav, grid, film = (str(specimens[name]) for name in ("wav", "textgrid", "mp4"))
    consent = ("--consent", str(specimens["consent.toml"]), "--person", "Mara Voss")

    def loaded(run: Path) -> str:
        return "the pickle was run" if (run / "pwned").exists() else ""

    evil = pickle.dumps({"state_dict": Evil()}, 2)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("archive/data.pkl", evil)
        package.writestr("archive/version", "3\n")
    contents = {"plain": evil, "archive": archive.getvalue(), "cut": archive.getvalue()[:-30]}
    for name, content in contents.items():
        arguments = ("resync", film, wav, "--timing", grid, *consent, "-o", "out.mp4")
        engine = ("--engine", "wav2lip", "--weights", "a.pth")
        begin = _file("a.pth", content)
        yield Trial(f"checkpoint, {name}", (*arguments, *engine), begin, ("a.pth",), loaded, (2,))

        def voice(run: Path, content: bytes = content) -> None:
            shutil.copytree(specimens["voice.toml"].parent, run / "voice")
            (run / "voice" / "voice.safetensors").write_bytes(content)

        say = ("say", "Yes.", "--voice", "voice", "-o", "out.wav")
        yield Trial(f"voice, {name}", say, voice, ("voice",), loaded, (2,))
