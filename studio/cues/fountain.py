"""Fountain screenplays: the dialogue, by character, as wild lines."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from studio.cues.cue import Cue, CueProblem, CueSheet
from studio.cues.tables import read_text
from studio.production import CueSource, Production, ProductionError

__all__ = ["read_fountain"]

_EXTENSION = re.compile(r"\s*\(([^)]*)\)")
_UNSEEN = ("o.s", "os", "v.o", "vo", "o.c", "oc", "off")


def read_fountain(source: CueSource, production: Production) -> CueSheet:
    """One cue a speech: its character, words and scene; parentheticals become notes.

    A screenplay has no timecode, so every cue is a wild line; (O.S.) and (V.O.) are off
    screen. Rows are lines of the file.
    """
    from screenplain.parsers import fountain

    del production
    text = read_text(source.file)
    lines = text.splitlines()
    try:
        cues = list(_cues(fountain.parse(io.StringIO(text)), lines, source))
    except Exception as error:  # screenplain lets through whatever a damaged page makes it meet
        why = " ".join(str(error).split())[:160]
        raise ProductionError(
            f"{source.file} cannot be read as a screenplay ({why}); export it again"
        ) from error
    if not cues:
        sentence = (
            "there is no dialogue in it (a character's name in capitals with a line below); "
            "check that it is a screenplay"
        )
        return CueSheet((), (CueProblem(source.file.name, 0, "", sentence),))
    return CueSheet(tuple(cues))


def _cues(screenplay: object, lines: list[str], source: CueSource) -> Iterator[Cue]:
    from screenplain.types import Dialog, DualDialog, Slug

    scene, count, at = source.scene or "", 0, 0
    for part in screenplay:  # type: ignore[attr-defined]
        if isinstance(part, Slug):
            count += 1
            numbered = _plain(part.scene_number) if part.scene_number else str(count)
            scene = source.scene or numbered
        speeches = [part.left, part.right] if isinstance(part, DualDialog) else [part]
        for speech in speeches:
            if isinstance(speech, Dialog):
                at = _row_of(_plain(speech.character), lines, at)
                cue = _cue(speech, scene, f"{source.file.name}:{at}", source)
                if cue is not None:
                    yield cue


def _cue(speech: object, scene: str, where: str, source: CueSource) -> Cue | None:
    named = _plain(speech.character)  # type: ignore[attr-defined]
    blocks = [(aside, _plain(t)) for aside, t in speech.blocks]  # type: ignore[attr-defined]
    words = " ".join(t for aside, t in blocks if not aside).split()
    if not words:
        return None
    asides = [t.strip("() ") for aside, t in blocks if aside]
    extensions = [e.casefold().rstrip(".") for e in _EXTENSION.findall(named)]
    character = _EXTENSION.sub("", named).rstrip("^ ").strip()
    return Cue(
        number="",
        character=character or source.character or "",
        dialogue=" ".join(words),
        scene=scene,
        reel=source.reel or "",
        on_screen=False if any(e in _UNSEEN for e in extensions) else None,
        notes="; ".join(asides),
        where=where,
    )


def _row_of(character: str, lines: list[str], after: int) -> int:
    """The line (from 1) on which a character is next named; the last one if it is not found."""
    for number in range(after, len(lines)):
        line = lines[number].strip().lstrip("@")
        if line.startswith(character):
            return number + 1
    return after


def _plain(text: object) -> str:
    """Words without emphasis marks."""
    segments = getattr(text, "segments", None)
    if segments is None:
        return str(text)
    return "".join(str(s.text) for s in segments)
