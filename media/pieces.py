"""Coded pictures on disk, piece by piece: what a run that is killed leaves for the next one.

    pieces = Pieces(folder)                       # what is there already is found
    with FootageWriter(out, like=info, pieces=pieces) as writer:
        for picture in read_pictures(path, writer.frames_written):
            writer.write_changed(picture)
            if writer.frames_written % 150 == 0:
                writer.end_piece(b"what the painter must remember")

Every piece was coded on its own, so it begins with a key frame and depends on nothing before it;
laid end to end they are the same film whether they were coded in one run or in several. A piece
appears under its name when it is whole. What the disk of the pieces refuses is a `PieceError`.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from media.errors import OutputError
from media.files import atomic_path, output_error

if TYPE_CHECKING:
    from av.packet import Packet

__all__ = ["Piece", "PieceError", "Pieces"]

_MAGIC = b"WLpiece1"
_SUFFIX = ".coded"
# Of a packet: time stamps and length in ticks, whether it is a key frame, bytes that follow.
_PACKET = struct.Struct("<qqqBI")
# At the very end: bytes of the facts before it, their and the packets' checksum, the magic.
_END = struct.Struct("<II8s")


class PieceError(OutputError):
    """A piece cannot be kept, or read again: the trouble is the pieces' disk, not the film's."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A whole piece.

    `frames` pictures end with it, counted from the film's first; `origin` is when that first one
    was shown (seconds), `tick` and `length` when the last one of the piece is, and for how long
    (ticks of the file).
    """

    path: Path
    frames: int
    origin: Fraction
    tick: int
    length: int

    @property
    def note(self) -> bytes:
        """What whoever painted the pictures left for the next; read from the disk at every call.

        Raises `PieceError`.
        """
        with _told(self.path), self.path.open("rb") as stream:
            return bytes.fromhex(_facts(stream)["note"])

    def packets(self) -> Iterator[Packet[Any]]:
        """The coded pictures, in the order of the file. Raises `PieceError`."""
        import av

        stored = _stored(self.path)
        while True:
            with _told(self.path):
                found = next(stored, None)
            if found is None:
                return
            pts, dts, duration, key, data = found
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.duration = pts, dts, duration
            packet.is_keyframe = key
            yield packet


class Pieces:
    """The pieces in `folder` (which exists), as far as they follow each other without a gap.

    Anything else there that looks like a piece, or like half of one, is removed. With `every` and
    `total` so are pieces that do not end where they must: at every `every` pictures, the last one
    at `total`.
    """

    def __init__(self, folder: Path, *, every: int | None = None, total: int = 0) -> None:
        self.folder = folder
        self._kept: list[Piece] = []
        for number in range(len(list(folder.glob(f"*{_SUFFIX}")))):
            piece = _read(self._path(number))
            ends = every is None or (
                piece is not None and piece.frames == min((number + 1) * every, total)
            )
            if piece is None or not ends:
                break
            self._kept.append(piece)
        whole = {piece.path for piece in self._kept}
        for path in folder.glob(f"*{_SUFFIX}"):
            if path not in whole:
                path.unlink(missing_ok=True)
        self._draft: _Draft | None = None

    @property
    def kept(self) -> tuple[Piece, ...]:
        """The whole pieces, in order."""
        return tuple(self._kept)

    def add(self, packets: Iterable[Packet[Any]]) -> None:
        """Coded pictures of the piece that is being made. Raises `PieceError`."""
        with _told(self._path(len(self._kept))):
            if self._draft is None:
                self._draft = _Draft(self._path(len(self._kept)))
            self._draft.add(packets)

    def end(self, frames: int, origin: Fraction, tick: int, length: int, note: bytes) -> None:
        """The piece is whole; see `Piece`. Raises `PieceError`."""
        assert self._draft is not None
        draft, self._draft = self._draft, None
        piece = Piece(draft.path, frames, origin, tick, length)
        with _told(draft.path):
            draft.end(piece, note)
        self._kept.append(piece)

    def abandon(self) -> None:
        """Let go of a piece that will not become whole."""
        if self._draft is not None:
            self._draft.abandon()
            self._draft = None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}{_SUFFIX}"


class _Draft:
    """A piece that is being written, under a name of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = ExitStack()
        self._sum = 0
        temporary = self._guard.enter_context(atomic_path(path))
        try:
            self._stream = self._guard.enter_context(temporary.open("wb"))
        except OSError as error:
            self.abandon()
            raise output_error(path, error) from error

    def add(self, packets: Iterable[Packet[Any]]) -> None:
        for packet in packets:
            data = bytes(packet)
            assert packet.pts is not None
            assert packet.dts is not None
            head = (packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, len(data))
            self._write(_PACKET.pack(*head) + data)

    def end(self, piece: Piece, note: bytes) -> None:
        facts = {
            "frames": piece.frames,
            "origin": str(piece.origin),
            "tick": piece.tick,
            "length": piece.length,
            "note": note.hex(),
        }
        written = json.dumps(facts).encode()
        self._write(written)
        self._write(_END.pack(len(written), self._sum, _MAGIC))
        self._guard.close()

    def abandon(self) -> None:
        # `atomic_path` keeps what is written by a block that ends well.
        with suppress(_AbandonedError), self._guard:
            raise _AbandonedError

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            self.abandon()
            raise output_error(self.path, error) from error
        self._sum = zlib.crc32(data, self._sum)


class _AbandonedError(Exception):
    """The piece is not wanted any more."""


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Trouble with the disk of the pieces, as a `PieceError`."""
    try:
        yield
    except OutputError as error:
        raise PieceError(str(error)) from error
    except OSError as error:
        raise PieceError(str(output_error(path, error))) from error
    except (struct.error, ValueError, KeyError) as error:
        raise PieceError(f"'{path}' was damaged while it was used; start again") from error


def _facts(stream: BinaryIO) -> dict[str, Any]:
    """The facts of a whole piece."""
    end = stream.seek(-_END.size, 2)
    length, _, _ = _END.unpack(stream.read(_END.size))
    stream.seek(end - length)
    facts: dict[str, Any] = json.loads(stream.read(length))
    return facts


def _read(path: Path) -> Piece | None:
    """The facts of a piece; None when it is not whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            stream.seek(size - _END.size)
            _, total, magic = _END.unpack(stream.read(_END.size))
            stream.seek(0)
            found, left = 0, size - _END.size
            while left > 0:
                block = stream.read(min(left, 1 << 20))
                if not block:
                    return None
                found, left = zlib.crc32(block, found), left - len(block)
            facts = _facts(stream)
        if magic != _MAGIC or found != total:
            return None
        origin = Fraction(facts["origin"])
        return Piece(path, facts["frames"], origin, facts["tick"], facts["length"])
    except (OSError, ValueError, KeyError, struct.error):
        return None


def _stored(path: Path) -> Iterator[tuple[int, int, int, bool, bytes]]:
    """(pts, dts, duration, key frame, data) of a whole piece's packets."""
    with path.open("rb") as stream:
        end = stream.seek(-_END.size, 2)
        length, _, _ = _END.unpack(stream.read(_END.size))
        stop = end - length
        stream.seek(0)
        while stream.tell() < stop:
            pts, dts, duration, key, size = _PACKET.unpack(stream.read(_PACKET.size))
            yield pts, dts, duration, bool(key), stream.read(size)
