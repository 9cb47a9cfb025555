"""What an unfinished fit has reached, kept on disk, so that a crash costs less than a minute.

Arrays only (npz without pickles), each file whole or absent. They are read again only by a fit
of the same recordings with the same settings, and go with its last step.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media.files import atomic_path, output_error
from voice._fit_targets import Target

if TYPE_CHECKING:
    from voice.archive import Clip

__all__ = ["Unfinished", "fingerprint"]

Arrays = Mapping[str, NDArray[Any]]

_FOLDER = ".unfinished"
_FORMAT = 4
_PARTS = ("durations", "f0", "energy", "samples")


def fingerprint(clips: Sequence[Clip], *settings: object) -> str:
    """Names a fit: what it hears, in which order, and how it is set."""
    digest = hashlib.sha256(repr((_FORMAT, settings)).encode())
    for clip in clips:
        digest.update(clip.text.encode())
        digest.update(clip.sound.samples.tobytes())
        digest.update(b"" if clip.noise is None else clip.noise.tobytes())
        digest.update(repr(clip.band).encode())
    return digest.hexdigest()[:24]


class Unfinished:
    """The stages of one fit in `folder`/.unfinished; with None nothing is kept."""

    def __init__(self, folder: Path | None, mark: str) -> None:
        self._place = None if folder is None else folder / _FOLDER / mark

    def read(self, stage: str) -> dict[str, NDArray[Any]] | None:
        """What `keep` kept of a stage; None when there is nothing usable."""
        if self._place is None:
            return None
        try:
            with (
                (self._place / f"{stage}.npz").open("rb") as stream,
                np.load(stream, allow_pickle=False) as stored,
            ):
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None

    def keep(self, stage: str, arrays: Arrays) -> None:
        """Keep what a stage has reached, in place of what was kept before.

        Raises `OutputError` when it cannot be written.
        """
        if self._place is None:
            return
        try:
            self._place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self._place, error) from error
        with (
            atomic_path(self._place / f"{stage}.npz") as temporary,
            temporary.open("wb") as stream,
        ):
            np.savez(stream, **arrays)  # type: ignore[arg-type]

    def targets(self, stage: str) -> list[Target] | None:
        """Targets kept by `keep_targets`."""
        arrays = self.read(stage)
        if arrays is None:
            return None
        rows = json.loads(str(arrays["rows"]))
        return [
            Target(
                text=row["text"],
                tokens=tuple(row["tokens"]),
                speech=(row["speech"][0], row["speech"][1]),
                cost=row["cost"],
                number=row["number"],
                band=None if row["band"] is None else tuple(row["band"]),
                **{part: arrays[f"{part}.{i}"] for part in _PARTS},
            )
            for i, row in enumerate(rows)
        ]

    def keep_targets(self, stage: str, targets: Sequence[Target]) -> None:
        """Keep the aligned clips. Raises `OutputError`."""
        rows = [
            {"text": t.text, "tokens": t.tokens, "speech": t.speech}
            | {"cost": float(t.cost), "number": t.number, "band": t.band}
            for t in targets
        ]
        arrays = {f"{part}.{i}": getattr(t, part) for i, t in enumerate(targets) for part in _PARTS}
        self.keep(stage, {"rows": np.array(json.dumps(rows)), **arrays})

    def discard(self) -> None:
        """The fit is finished: nothing of it is needed, nor of those begun before it here."""
        if self._place is not None:
            shutil.rmtree(self._place.parent, ignore_errors=True)
