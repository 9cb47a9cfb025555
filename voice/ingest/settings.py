"""What a dataset is made with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from media.errors import ArchiveError

__all__ = ["REPAIRS", "Settings", "parse_repairs"]

REPAIRS = ("declick", "dehum", "denoise")
"""In the order in which they are done: a click smeared by a notch is harder to find."""
_RATES = (8_000, 192_000)


@dataclass(frozen=True, slots=True)
class Settings:
    """`repair` is "auto" (by measured need), or the repairs to make on everything (perhaps none).

    `rate` in Hz is the dataset's. `speaker` is a recording of the wanted person (None: whoever
    speaks most). `language` is what is spoken; only English can be recognised, other languages
    need transcripts. `licence` is noted beside every clip, `consent_id` in the dataset's card.
    """

    repair: str | tuple[str, ...] = "auto"
    rate: int = 24_000
    language: str = "en"
    speaker: Path | None = None
    licence: str = ""
    consent_id: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if not _RATES[0] <= self.rate <= _RATES[1]:
            raise ArchiveError(
                f"a dataset at {self.rate} Hz is not possible; choose {_RATES[0]} to {_RATES[1]}"
            )

    def wants(self, repair: str, needed: bool) -> bool:
        """Whether `repair` is to be made where it is `needed` or not."""
        return needed if self.repair == "auto" else repair in self.repair


def parse_repairs(text: str) -> str | tuple[str, ...]:
    """ "auto", "none", or names with commas, in the order of `REPAIRS`.

    Raises `ArchiveError` for a name that is no repair.
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if names == ["auto"]:
        return "auto"
    if names == ["none"]:
        return ()
    _refuse_unknown(names, text)
    return tuple(name for name in REPAIRS if name in names)


def _refuse_unknown(names: Iterable[str], text: str) -> None:
    unknown = [name for name in names if name not in REPAIRS]
    if unknown or not text.strip():
        raise ArchiveError(
            f"'{', '.join(unknown) or text}' is no repair; choose auto, none, or of "
            f"{','.join(REPAIRS)}"
        )
