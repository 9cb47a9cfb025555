"""Broadcast WAV: 48 kHz, 24 bit, mono, with the chunks that a cutting room reads.

    facts = BroadcastFacts(scene="12A", take="3", rate=FrameRate.parse("23.976"))
    write_bwf(path, replace(sound, start=start_of(timecode)), facts)
    read_bwf(path).time_reference                # samples since midnight

`bext` (EBU Tech 3285, version 2) carries where on the clock the sound starts, who made it,
how it was coded and how loud it is; `iXML` carries project, scene, take, note, circled and the
timecode rate. Sound is written piece by piece, so length costs no memory; what passes 4 GB
becomes RF64 (EBU Tech 3306) under the same name.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from importlib import import_module
from math import floor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from media._r128 import Loudness, LoudnessMeter
from media.audio import Sound, resample
from media.errors import MediaError
from media.files import atomic_path
from media.time import FrameRate, Timecode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DELIVERY_RATE",
    "BroadcastFacts",
    "BroadcastWriter",
    "broadcast_writer",
    "read_bwf",
    "start_of",
    "write_bwf",
]

DELIVERY_RATE = 48_000
"""Hz, what film sound is delivered at."""
_BITS, _BYTES = 24, 3
_DAY_S = 24 * 3600
_VERSION = 2
_BEXT = struct.Struct("<256s32s32s10s8sIIH64s5h180s")  # 602 bytes, then the coding history
_UNKNOWN = 0x7FFF  # a loudness field that was not measured
_RIFF_LIMIT = 0xFFFFFFFF
_BLOCK = 1 << 16
_IXML_VERSION = "2.10"


@dataclass(frozen=True, slots=True)
class BroadcastFacts:
    """What a broadcast WAV says about itself.

    `description` (256 bytes), `originator` and `originator_reference` (32 bytes) are ASCII in
    the file: other letters are replaced, longer text is cut; iXML keeps the whole `note`.
    `originated` is the moment of making (None: left blank). `time_reference` are samples since
    midnight at `sample_rate`. `history` are the steps of coding before this file. `rate` and
    `drop` name the timecode that the cutting room counts in. `loudness` None is not measured.
    """

    description: str = ""
    originator: str = "Wildline"
    originator_reference: str = ""
    originated: datetime | None = None
    time_reference: int = 0
    history: tuple[str, ...] = ()
    loudness: Loudness | None = None
    project: str = ""
    scene: str = ""
    take: str = ""
    tape: str = ""
    note: str = ""
    circled: bool = False
    track: str = ""
    rate: FrameRate | None = None
    drop: bool = False
    sample_rate: int = DELIVERY_RATE
    other: Mapping[str, str] = field(default_factory=dict)

    @property
    def timecode(self) -> Timecode | None:
        """The frame that the sound starts in, None where the file does not name a rate."""
        if self.rate is None:
            return None
        frame = self.rate.frame_at(Fraction(self.time_reference, self.sample_rate))
        return Timecode(frame, self.rate, self.drop)


def start_of(timecode: Timecode, sample_rate: int = DELIVERY_RATE) -> int:
    """Samples between midnight and the start of a frame (TimeReference), to the nearest.

    Real time: at 23.976 the label 01:00:00:00 is reached after 3603.6 s.
    """
    return floor(timecode.seconds * sample_rate + Fraction(1, 2))


def write_bwf(
    path: Path, sound: Sound, facts: BroadcastFacts | None = None, *, rate: int = DELIVERY_RATE
) -> None:
    """Write `sound` as a broadcast WAV: mono, 24 bit, at `rate` Hz, whole or not at all.

    `sound.start` becomes the TimeReference; loudness is measured and filled in. Samples beyond
    -1..1 are clipped. Raises `OutputError`, and `MediaError` for a start after midnight.
    """
    delivered = resample(sound, rate)
    with broadcast_writer(path, facts, start=delivered.start, rate=rate) as writer:
        writer.write(delivered.samples)


@contextmanager
def broadcast_writer(
    path: Path,
    facts: BroadcastFacts | None = None,
    *,
    start: int = 0,
    rate: int = DELIVERY_RATE,
) -> Iterator[BroadcastWriter]:
    """A writer for sound that comes in pieces; the file appears when the block succeeds.

    `start` are samples since midnight. Raises `OutputError`, and `MediaError` for a start that
    lies outside the day.
    """
    if not 0 <= start < _DAY_S * rate:
        raise MediaError(
            f"a sound cannot start {start / rate:.0f} s after midnight; "
            "give a timecode within the day"
        )
    facts = replace(facts or BroadcastFacts(), time_reference=start, sample_rate=rate)
    with atomic_path(Path(path), suffix=".wav") as temporary, temporary.open("w+b") as stream:
        writer = BroadcastWriter(stream, facts)
        yield writer
        writer.finish()


class BroadcastWriter:
    """Writes the chunks in the order RIFF or RF64, bext, iXML, fmt, data.

    The first 36 bytes after the head are `JUNK`, which becomes `ds64` should the file outgrow
    4 GB, as EBU Tech 3306 proposes. Made by `broadcast_writer`.
    """

    def __init__(self, stream: IO[bytes], facts: BroadcastFacts) -> None:
        self._stream = stream
        self._facts = facts
        self._meter = LoudnessMeter(facts.sample_rate)
        self._samples = 0
        stream.write(b"RIFF\0\0\0\0WAVE" + _chunk(b"JUNK", bytes(28)))
        self._bext_at = stream.tell()
        stream.write(_chunk(b"bext", _bext(facts)))
        stream.write(_chunk(b"iXML", _ixml(facts)))
        rate = facts.sample_rate
        stream.write(
            _chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, rate, rate * _BYTES, _BYTES, _BITS))
        )
        stream.write(b"data\0\0\0\0")
        self._data_at = stream.tell()

    @property
    def samples_written(self) -> int:
        """Samples so far."""
        return self._samples

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append float32 [n] in -1..1, at the file's rate."""
        self._meter.add(samples)
        for first in range(0, len(samples), _BLOCK):
            self._stream.write(_as_24_bit(samples[first : first + _BLOCK]))
        self._samples += len(samples)

    def finish(self) -> None:
        """Fill in sizes and loudness; called by `broadcast_writer`."""
        stream = self._stream
        size = self._samples * _BYTES
        stream.write(b"\0" * (size % 2))
        end = stream.tell()
        facts = replace(self._facts, loudness=self._facts.loudness or self._meter.result())
        stream.seek(self._bext_at)
        stream.write(_chunk(b"bext", _bext(facts)))
        if end - 8 > _RIFF_LIMIT:
            stream.seek(0)
            stream.write(b"RF64" + struct.pack("<I", _RIFF_LIMIT) + b"WAVEds64")
            stream.write(struct.pack("<IQQQI", 28, end - 8, size, self._samples, 0))
            size = _RIFF_LIMIT
        else:
            stream.seek(4)
            stream.write(struct.pack("<I", end - 8))
        stream.seek(self._data_at - 4)
        stream.write(struct.pack("<I", size))
        stream.seek(end)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _as_24_bit(samples: NDArray[np.float32]) -> bytes:
    """Little-endian 24 bit, rounded; -1..1 onto -2^23..2^23 - 1."""
    whole = np.rint(samples.astype(np.float64) * 8_388_608)
    numbers = np.clip(whole, -8_388_608, 8_388_607).astype("<i4")
    return numbers.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def _ascii(text: str, size: int) -> bytes:
    """`size` bytes of ASCII, ended by zeros where there is room."""
    flat = " ".join(text.split())
    return flat.encode("ascii", "replace")[:size].ljust(size, b"\0")


def _bext(facts: BroadcastFacts) -> bytes:
    made = facts.originated
    head = _BEXT.pack(
        _ascii(facts.description, 256),
        _ascii(facts.originator, 32),
        _ascii(facts.originator_reference, 32),
        (made.strftime("%Y-%m-%d") if made else "").encode().ljust(10, b"\0"),
        (made.strftime("%H:%M:%S") if made else "").encode().ljust(8, b"\0"),
        facts.time_reference & 0xFFFFFFFF,
        facts.time_reference >> 32,
        _VERSION,
        bytes(64),
        *_loudness_fields(facts.loudness),
        bytes(180),
    )
    own = f"A=PCM,F={facts.sample_rate},W={_BITS},M=mono,T=Wildline"
    history = "".join(f"{line}\r\n" for line in (*facts.history, own))
    return head + history.encode("ascii", "replace")


def _loudness_fields(loudness: Loudness | None) -> list[int]:
    """Hundredths, in the order of the chunk; what is not known is 0x7FFF."""
    if loudness is None:
        return [_UNKNOWN] * 5
    values = (
        loudness.integrated_lufs,
        loudness.range_lu,
        loudness.true_peak_dbtp,
        loudness.momentary_lufs,
        loudness.short_term_lufs,
    )
    usable = (v is not None and math.isfinite(v) and abs(v) < 300 for v in values)
    return [
        round(100 * float(v)) if known and v is not None else _UNKNOWN
        for v, known in zip(values, usable, strict=True)
    ]


def _ixml(facts: BroadcastFacts) -> bytes:
    """The iXML document (iXML specification 2.10)."""
    root = Xml.Element("BWFXML")

    def put(parent: Xml.Element, **texts: str) -> None:
        for name, text in texts.items():
            Xml.SubElement(parent, name).text = _xml_safe(text)

    put(
        root,
        IXML_VERSION=_IXML_VERSION,
        PROJECT=facts.project,
        SCENE=facts.scene,
        TAKE=facts.take,
        TAPE=facts.tape,
        CIRCLED="TRUE" if facts.circled else "FALSE",
        NOTE=facts.note,
    )
    speed = Xml.SubElement(root, "SPEED")
    if facts.rate is not None:
        rate = f"{facts.rate.value.numerator}/{facts.rate.value.denominator}"
        flag = "DF" if facts.drop else "NDF"
        put(speed, MASTER_SPEED=rate, CURRENT_SPEED=rate, TIMECODE_RATE=rate, TIMECODE_FLAG=flag)
    samples = str(facts.sample_rate)
    put(
        speed,
        FILE_SAMPLE_RATE=samples,
        AUDIO_BIT_DEPTH=str(_BITS),
        DIGITIZER_SAMPLE_RATE=samples,
        TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI=str(facts.time_reference >> 32),
        TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO=str(facts.time_reference & 0xFFFFFFFF),
        TIMESTAMP_SAMPLE_RATE=samples,
    )
    tracks = Xml.SubElement(root, "TRACK_LIST")
    put(tracks, TRACK_COUNT="1")
    put(
        Xml.SubElement(tracks, "TRACK"),
        CHANNEL_INDEX="1",
        INTERLEAVE_INDEX="1",
        NAME=facts.track,
    )
    put(Xml.SubElement(root, "USER"), **dict(facts.other))
    Xml.indent(root, " ")
    return bytes(Xml.tostring(root, encoding="UTF-8", xml_declaration=True))


def _xml_safe(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(c for c in text if c in "\t\n" or (c >= " " and not "\ud800" <= c <= "\udfff"))


# --- reading ---------------------------------------------------------------------------------


def read_bwf(path: Path) -> BroadcastFacts | None:
    """What a broadcast WAV says about itself; None for a WAV without a `bext` chunk.

    Reads RIFF and RF64, `bext` of versions 0 to 2, with or without iXML. Raises `MediaError`
    when the file is missing, is not a WAV, or its chunks are cut off.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            chunks = dict(_chunks(stream, path))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MediaError(f"cannot read '{path}': {reason}; check the path") from error
    if b"bext" not in chunks:
        return None
    facts = _parse_bext(chunks[b"bext"], path)
    if b"fmt " in chunks and len(chunks[b"fmt "]) >= 8:
        facts = replace(facts, sample_rate=struct.unpack_from("<I", chunks[b"fmt "], 4)[0])
    return _parse_ixml(chunks[b"iXML"], facts) if b"iXML" in chunks else facts


def _chunks(stream: IO[bytes], path: Path) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of the small chunks; sound is skipped."""
    head = stream.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise MediaError(f"'{path}' is not a WAV file; give a broadcast WAV")
    long_data = 0
    while len(header := stream.read(8)) == 8:
        name, size = header[:4], struct.unpack("<I", header[4:])[0]
        if name == b"data":
            stream.seek((long_data if size == _RIFF_LIMIT and long_data else size) + size % 2, 1)
            continue
        if name not in (b"bext", b"iXML", b"fmt ", b"ds64"):
            stream.seek(size + size % 2, 1)
            continue
        body = stream.read(size)
        if len(body) < size:
            raise MediaError(f"'{path}' is cut off inside its chunk {name!r}; copy it again")
        if name == b"ds64" and size >= 16:
            long_data = struct.unpack_from("<Q", body, 8)[0]
        stream.read(size % 2)
        yield name, body


def _parse_bext(body: bytes, path: Path) -> BroadcastFacts:
    if len(body) < _BEXT.size:
        raise MediaError(f"the bext chunk of '{path}' is too short; export the file again")
    raw = _BEXT.unpack_from(body)
    text = [part.split(b"\0")[0].decode("ascii", "replace").strip() for part in raw[:5]]
    history = body[_BEXT.size :].split(b"\0")[0].decode("ascii", "replace").splitlines()
    return BroadcastFacts(
        description=text[0],
        originator=text[1],
        originator_reference=text[2],
        originated=_moment(text[3], text[4]),
        time_reference=raw[5] | raw[6] << 32,
        history=tuple(line for line in history if line.strip()),
        loudness=_parse_loudness(raw[9:14]) if raw[7] >= _VERSION else None,
    )


def _moment(day: str, time: str) -> datetime | None:
    """Date and time as written; separators differ between recorders."""
    digits = "".join(c if c.isdigit() else " " for c in f"{day} {time}").split()
    try:
        return datetime(*(int(d) for d in digits[:6])) if len(digits) >= 3 else None  # type: ignore[arg-type]
    except ValueError:
        return None


def _parse_loudness(fields: tuple[int, ...]) -> Loudness | None:
    values = [None if v == _UNKNOWN else v / 100 for v in fields]
    return None if all(v is None for v in values) else Loudness(*values)


def _parse_ixml(body: bytes, facts: BroadcastFacts) -> BroadcastFacts:
    """Facts completed from iXML; a damaged document is as good as none."""
    parser: Any = import_module("defusedxml.ElementTree")  # it has no types
    try:
        root = parser.fromstring(body.rstrip(b"\0").decode("utf-8", "replace").strip().encode())
    except (Xml.ParseError, ValueError, LookupError):  # not XML, or in no known encoding
        return facts

    def text(name: str) -> str:
        return (root.findtext(name) or "").strip()

    try:
        rate = FrameRate.parse(text("SPEED/TIMECODE_RATE")) if text("SPEED/TIMECODE_RATE") else None
    except MediaError:
        rate = None
    user = root.find("USER")
    return replace(
        facts,
        project=text("PROJECT"),
        scene=text("SCENE"),
        take=text("TAKE"),
        tape=text("TAPE"),
        note=text("NOTE"),
        circled=text("CIRCLED").upper() == "TRUE",
        track=text("TRACK_LIST/TRACK/NAME"),
        rate=rate,
        drop=text("SPEED/TIMECODE_FLAG").upper() == "DF",
        other={e.tag: (e.text or "").strip() for e in user} if user is not None else {},
    )
