"""Arrays that lie in a file: what is known of every frame of a long film, read where it is wanted.

    rows = FarRows((478, 3), np.float32)         # a temporary file
    rows.append(points)                          # one frame after another
    marks = rows.array()                         # float32[n, 478, 3], not in memory
    for piece in pieces(marks):                  # slices of 1024 rows
        ...marks[piece]...                       # in memory until the next piece

The array is mapped: the system reads a page when it is looked at, and counts it as this process's
memory until `let_go` gives it back, which loses nothing. What is small is read into memory, since
every mapping holds a descriptor of its file. All functions take arrays in memory, and mappings of
others, as well, and leave them as they are.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from media.errors import OutputError
from media.files import output_error

__all__ = ["FarRows", "Rows", "empty_far", "give_back", "let_go", "mapped", "pieces", "put_away"]

_PIECE = 1024  # rows worked on at once
_NEAR = 1 << 22  # bytes below which a file is not worth its while


class Rows(Protocol):
    """What rows can be taken of: an array, or something that makes them when it is asked."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, key: Any, /) -> Any:
        """The rows of a slice or of an array of numbers, as an array."""


class FarRows:
    """Rows of one shape and type, appended to a temporary file that goes with their last use.

    Raises `OutputError` where there is no folder for temporary files, or a full one.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._shape, self._type = shape, np.dtype(dtype)
        self._size = prod(shape) * self._type.itemsize
        self._count = 0
        try:
            # Without a buffer: what a full disk refused would be tried again when it is closed.
            self._file = tempfile.TemporaryFile(prefix="wildline-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _temporary_error(error) from error
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return self._count

    def append(self, row: NDArray[Any]) -> None:
        """One more row at the end."""
        self._write(self._count, row)
        self._count += 1

    def extend(self, rows: NDArray[Any]) -> None:
        """More rows [k, *shape] at the end."""
        if rows.shape[1:] != self._shape:
            raise ValueError(f"rows of shape {rows.shape[1:]} among rows of {self._shape}")
        self._write_at(self._count, rows)
        self._count += len(rows)

    def replace_last(self, back: int, row: NDArray[Any]) -> None:
        """Another row in the place of the last but `back` - 1."""
        self._write(self._count - back, row)

    def _write(self, index: int, row: NDArray[Any]) -> None:
        if row.shape != self._shape:
            raise ValueError(f"a row of shape {row.shape} among rows of {self._shape}")
        self._write_at(index, row)

    def _write_at(self, index: int, rows: NDArray[Any]) -> None:
        left = np.ascontiguousarray(rows, self._type).reshape(-1).view(np.uint8).data
        try:
            self._file.seek(index * self._size)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _temporary_error(error) from error

    def array(self) -> NDArray[Any]:
        """All rows [n, *shape], to be read and written; rows that are appended later are not in it.

        The file stays as long as the array does.
        """
        return mapped(self._file.fileno(), (self._count, *self._shape), self._type)


def mapped(
    file: int, shape: tuple[int, ...], dtype: DTypeLike, *, offset: int = 0, writing: bool = True
) -> NDArray[Any]:
    """The array that lies at byte `offset` of an open file, to be written to if `writing`.

    In memory where it is small or its file system maps no files, where descriptors have run out.
    Raises `ValueError` when the file is too short, `OSError` when it cannot be read.
    """
    kind, count = np.dtype(dtype), prod(shape)
    if not count or count * kind.itemsize < _NEAR:
        return _read(file, shape, kind, offset, writing)
    start = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    access = mmap.ACCESS_WRITE if writing else mmap.ACCESS_READ
    length = offset - start + count * kind.itemsize
    try:
        there = _Mapping(file, length, access=access, offset=start)
    except OSError:
        return _read(file, shape, kind, offset, writing)
    return np.frombuffer(there, kind, count, offset - start).reshape(shape)


class _Mapping(mmap.mmap):
    """A mapping of ours, shared with its file: pages that are given back are read from there again.
    Private ones (`numpy.memmap` in mode "c") would lose what was written to them.
    """


def _read(
    file: int, shape: tuple[int, ...], kind: np.dtype[Any], offset: int, writing: bool
) -> NDArray[Any]:
    held = np.empty(shape, kind)
    left = held.reshape(-1).view(np.uint8).data
    while left:
        part = os.pread(file, len(left), offset)
        if not part:
            raise ValueError("the file is too short")
        left[: len(part)] = part
        left, offset = left[len(part) :], offset + len(part)
    held.flags.writeable = writing
    return held


def empty_far(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array to be filled, in a temporary file; in memory when it is small or no file can be."""
    size = prod(shape) * np.dtype(dtype).itemsize
    if size < _NEAR:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="wildline-") as file:
            # A file with holes would be a bus error where the disk is full.
            os.posix_fallocate(file.fileno(), 0, size)
            return mapped(file.fileno(), shape, dtype)
    except (OSError, AttributeError):
        return np.empty(shape, dtype)


def put_away(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in a temporary file (`empty_far`); a small array as it is."""
    if array.nbytes < _NEAR:
        return array
    away = empty_far(array.shape, array.dtype)
    for piece in pieces(away, max(1, _NEAR // max(array[:1].nbytes, 1))):
        away[piece] = array[piece]
    return away


def let_go(array: NDArray[Any]) -> None:
    """Give back the memory that holds what was looked at of a far array; nothing is lost."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, _Mapping) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def pieces(array: NDArray[Any], rows: int = _PIECE) -> Iterator[slice]:
    """Slices of `rows` rows, one after the other; each is let go before the next."""
    for first in range(0, len(array), rows):
        yield slice(first, min(first + rows, len(array)))
        let_go(array)


def give_back() -> None:
    """Return freed memory to the system where the C library keeps it (glibc): what was needed
    for a moment is not wanted in the next stage."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _temporary_error(error: OSError) -> OutputError:
    try:
        folder = tempfile.gettempdir()
    except OSError:
        return OutputError(
            "no folder for temporary files can be written; free some space, or let TMPDIR name one"
        )
    return OutputError(
        f"{output_error(Path(folder, 'wildline'), error)} (TMPDIR names the folder for it)"
    )
