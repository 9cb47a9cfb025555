"""The footage of one person, out of films that may show others: nobody else is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from media.errors import NoFaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lipsync.engines import BankSource
    from lipsync.likeness import Likeness
    from lipsync.people import FaceChoice
    from lipsync.track import FaceTrack
    from studio._jobs import Progress

__all__ = ["one_person"]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A film and the face that is followed in it."""

    path: Path
    track: FaceTrack


def one_person(
    films: Sequence[Path],
    choice: FaceChoice | None,
    progress: Progress,
    say: Callable[[str], None] = lambda _: None,
) -> list[BankSource]:
    """Those `films` that show one and the same person, with that person's track and own words.

    Who it is says `choice` in the first film that it fits; without it, the first film in which
    a face is alone. That face is looked for in the others; films without it are left out.
    `say` gets a sentence for every film that shows several faces or is left out. Raises
    `NoFaceError` when no film shows a face, or several are in every film and `choice` is None.
    """
    from lipsync.resync import archive_source

    chosen, rest = _reference(films, choice, progress)
    found = [chosen]
    for film in rest:
        try:
            found.append(_Seen(film, _theirs(film, chosen.track.likeness, progress)))
        except NoFaceError as error:
            say(f"left out: {error}")
    progress("reading the footage", len(films), len(films))
    for seen in (s for s in found if s.track.faces > 1):
        how = "that --face chose" if seen is chosen else f"of '{chosen.path.name}'"
        say(f"'{seen.path.name}' shows {seen.track.faces} faces at once; learnt from the one {how}")
    found.sort(key=lambda s: films.index(s.path))
    return [archive_source(s.path, s.track, _cache()) for s in found]


def _cache() -> Path:
    from media.files import user_cache_dir

    return user_cache_dir() / "lipsync"


def _reference(
    films: Sequence[Path], choice: FaceChoice | None, progress: Progress
) -> tuple[_Seen, list[Path]]:
    """The film that says who it is, and the other films."""
    from lipsync.faces import track_faces

    several, reasons = [], []
    for number, film in enumerate(films):
        progress("reading the footage", number, len(films))
        try:
            track = track_faces(film, face=choice, progress=progress, cache=_cache())
        except NoFaceError as error:
            reasons.append(error)
            continue
        if choice is None and track.faces > 1:
            several.append(film)
            continue
        return _Seen(film, track), [f for f in films if f != film]
    if several:
        names = ", ".join(f"'{f.name}'" for f in several)
        raise NoFaceError(
            f"several faces are in the picture at once ({names}) and nothing says whose is learnt; "
            "choose with --face, or give a film in which the person is alone"
        )
    if len(reasons) == 1:
        raise reasons[0]
    what = "a face" if choice is None else "the chosen face"
    raise NoFaceError(
        f"none of the {len(films)} films shows {what} that can be followed; give footage in which "
        "the person's face is near enough and turned to the camera"
    )


def _theirs(film: Path, who: Likeness | None, progress: Progress) -> FaceTrack:
    """The track of `who` in `film`. Raises `NoFaceError` when nobody there looks like them."""
    from lipsync.faces import track_faces
    from lipsync.people import FaceChoice, Person, choose

    track = track_faces(film, progress=progress, cache=_cache())
    if who is None:
        return track
    wanted = FaceChoice("likeness", likeness=who)
    if track.faces > 1:
        return track_faces(film, face=wanted, progress=progress, cache=_cache())
    if track.likeness is not None:
        choose([Person(track.likeness, ())], wanted, film)
    return track
