"""Exact frame rates and SMPTE timecode.

Rates are Fractions and stay so: 23.976 is 24000/1001. Frame n starts at n / rate.
Drop-frame follows SMPTE ST 12-1: labels are skipped, frames are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from media.errors import MediaError

__all__ = ["FrameRate", "Timecode"]

_NTSC = Fraction(1000, 1001)
_FASTEST = 1 << 31  # frames a second; beyond what any container can say
_EXPONENT = re.compile(r"[eE]|.{60}", re.DOTALL)  # 1e999999999 would be worked out for hours
_TIMECODE = re.compile(r"^\s*(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})\s*$")


@dataclass(frozen=True, order=True, slots=True)
class FrameRate:
    """Frames per second as an exact positive Fraction."""

    value: Fraction

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", Fraction(self.value))
        if self.value <= 0:
            raise MediaError(f"a frame rate of {self.value} is not possible; give one above 0")
        if self.value > _FASTEST:
            raise MediaError("that is no frame rate; write 25, 23.976 or 24000/1001")

    @classmethod
    def parse(cls, rate: str | float | int | Fraction) -> FrameRate:
        """From 25, "24000/1001", "23.976" or 29.97; decimals near an NTSC rate become it.

        Raises `MediaError` for anything that is not a positive number.
        """
        written = str(rate) if isinstance(rate, (str, float)) else ""
        try:
            if _EXPONENT.search(written):
                raise ValueError("not written as a rate is")
            exact = Fraction(written or rate)
        except (ValueError, ZeroDivisionError) as error:
            raise MediaError(
                f"'{str(rate)[:40]}' is not a frame rate; write 25, 23.976 or 24000/1001"
            ) from error
        nominal = Fraction(floor(exact + Fraction(1, 2)))
        ntsc = nominal * _NTSC
        # 23.98, 23.976 and 23.97602 all mean 24000/1001; 24 and 25 mean themselves.
        if exact.denominator != 1 and nominal > 0 and abs(exact - ntsc) < Fraction(6, 1000):
            exact = ntsc
        return cls(exact)

    @property
    def nominal(self) -> int:
        """The integer that timecode counts to: 24 for 24000/1001."""
        return floor(self.value + Fraction(1, 2))

    def time_of(self, index: int) -> Fraction:
        """Seconds at which frame `index` starts."""
        return index / self.value

    def frame_at(self, seconds: Fraction | float) -> int:
        """Index of the frame on screen at `seconds`."""
        return floor(Fraction(seconds) * self.value)

    def frames_in(self, seconds: Fraction | float) -> int:
        """Whole frames nearest to a length of `seconds`."""
        return floor(Fraction(seconds) * self.value + Fraction(1, 2))

    def sample_of(self, index: int, sample_rate: int) -> int:
        """First audio sample at or after the start of frame `index`."""
        return -floor(-self.time_of(index) * sample_rate)

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        if self.value.denominator == 1:
            return str(self.value.numerator)
        return f"{float(self.value):.3f}"


@dataclass(frozen=True, slots=True)
class Timecode:
    """A frame count since midnight, shown as HH:MM:SS:FF (`;` before FF when drop-frame).

    Labels start again at midnight, as on the clock of a recorder; `frames` goes on counting.
    """

    frames: int
    rate: FrameRate
    drop: bool = False

    def __post_init__(self) -> None:
        if self.frames < 0:
            raise MediaError("timecode cannot be negative; check the start timecode")
        if self.drop and self.rate.value not in (30 * _NTSC, 60 * _NTSC):
            raise MediaError(
                f"drop-frame timecode exists for 29.97 and 59.94 only, not {self.rate}; use ':'"
            )

    @classmethod
    def parse(cls, text: str, rate: FrameRate) -> Timecode:
        """Read HH:MM:SS:FF; a `;` before the frames means drop-frame.

        Raises `MediaError` for a malformed label or one that drop-frame skips.
        """
        match = _TIMECODE.match(text)
        if match is None:
            raise MediaError(f"'{text}' is not a timecode; write HH:MM:SS:FF")
        hours, minutes, seconds, frames = (int(match[i]) for i in (1, 2, 3, 5))
        drop = match[4] in ";,"
        if hours > 23 or minutes > 59 or seconds > 59 or frames >= rate.nominal:
            raise MediaError(f"timecode {text} does not exist at {rate} frames a second")
        skipped = rate.nominal // 15 if drop else 0
        if drop and minutes % 10 and seconds == 0 and frames < skipped:
            raise MediaError(f"timecode {text} does not exist: drop-frame skips that label")
        total_minutes = hours * 60 + minutes
        count = (total_minutes * 60 + seconds) * rate.nominal + frames
        return cls(count - skipped * (total_minutes - total_minutes // 10), rate, drop)

    def __add__(self, frames: int) -> Timecode:
        return Timecode(self.frames + frames, self.rate, self.drop)

    @property
    def seconds(self) -> Fraction:
        """Real time since midnight."""
        return self.rate.time_of(self.frames)

    def __str__(self) -> str:
        nominal, count = self.rate.nominal, self.frames
        if self.drop:
            skipped = nominal // 15
            per_minute = nominal * 60 - skipped
            per_ten = per_minute * 10 + skipped
            tens, rest = divmod(count, per_ten)
            count += skipped * 9 * tens
            if rest >= nominal * 60:
                count += skipped * (1 + (rest - nominal * 60) // per_minute)
        seconds, frame = divmod(count, nominal)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours % 24:02}:{minutes:02}:{seconds:02}{';' if self.drop else ':'}{frame:02}"
