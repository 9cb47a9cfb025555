"""All cue sheets of a production, read and held against it and one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from studio.cues.columns import cues_of_table
from studio.cues.cue import Cue, CueProblem, CueSheet, Variant, safe_name
from studio.cues.fountain import read_fountain
from studio.cues.places import FootageBook
from studio.cues.subtitles import read_subtitles
from studio.cues.tables import read_csv, read_xlsx
from studio.cues.timeline import read_edl, read_otio
from studio.production import CueSource, Production, ProductionError, VariantRule

__all__ = ["read_cues", "read_source"]


def _csv(source: CueSource, production: Production) -> CueSheet:
    return cues_of_table(read_csv(source.file), source, production)


def _xlsx(source: CueSource, production: Production) -> CueSheet:
    return cues_of_table(read_xlsx(source.file, source.sheet), source, production)


_READERS: dict[str, Callable[[CueSource, Production], CueSheet]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".tab": _csv,
    ".txt": _csv,
    ".xlsx": _xlsx,
    ".xlsm": _xlsx,
    ".srt": read_subtitles,
    ".vtt": read_subtitles,
    ".ass": read_subtitles,
    ".edl": read_edl,
    ".otio": read_otio,
    ".fountain": read_fountain,
}


def read_source(source: CueSource, production: Production) -> CueSheet:
    """One sheet, by its ending. A sheet that cannot be read at all is one problem."""
    reader = _READERS.get(source.file.suffix.lower())
    try:
        if reader is None:
            known = ", ".join(_READERS)
            raise ProductionError(
                f"{source.file}: cue sheets of this kind are not read; export one of {known}"
            )
        if not source.file.is_file():
            raise ProductionError(
                f"there is no cue sheet '{source.file}'; check [[cues]] in production.toml"
            )
        sheet = reader(source, production)
    except ProductionError as error:
        return CueSheet((), (CueProblem(source.file.name, 0, "", str(error)),))
    wanted = {name.casefold() for name in source.only}
    if wanted:
        sheet = replace(
            sheet, cues=tuple(c for c in sheet.cues if c.character.casefold() in wanted)
        )
    return sheet


def read_cues(production: Production, *, footage: FootageBook | None = None) -> CueSheet:
    """Every cue that can be made, variants included, and every problem with the others.

    Held against the production: unknown characters, scenes without footage, cues outside
    their footage; and against one another: numbers given twice, overlaps of one character.
    """
    read = CueSheet.joined(read_source(source, production) for source in production.cues)
    numbered = _numbered(read.cues)
    checker = _Checker(production, footage or FootageBook(production))
    kept = [cue for cue in numbered if checker.accepts(cue)]
    versions = [v for cue in kept for v in _with_rules(cue, production.variants).versions()]
    _warn_of_overlaps(kept, checker.problems)
    order = {source.file.name: n for n, source in enumerate(production.cues)}
    problems = (*read.problems, *checker.problems)
    unknown = [
        CueProblem(
            production.file.name, 0, f"variants.{name}", f"there is no cue '{number}'", fatal=False
        )
        for name, rule in production.variants.items()
        for number in rule.cues
        if number not in {c.number for c in kept}
    ]
    ranked = sorted(problems, key=lambda p: (order.get(p.file, len(order)), p.row))
    return CueSheet(tuple(versions), (*ranked, *unknown))


def _numbered(cues: Sequence[Cue]) -> list[Cue]:
    """Cues without a number get one: character, reel, count, as in MAR2014."""
    taken = {cue.number for cue in cues}
    counts: dict[str, int] = {}
    numbered = []
    for cue in cues:
        if not cue.number:
            stem = safe_name(cue.character).replace("_", "")[:3].upper() + safe_name(cue.reel)
            stem = stem.removesuffix("cue") if not cue.reel else stem
            number = ""
            while not number or number in taken:
                counts[stem] = counts.get(stem, 0) + 1
                number = f"{stem}{counts[stem]:03}"
            taken.add(number)
            cue = replace(cue, number=number)
        numbered.append(cue)
    return numbered


def _with_rules(cue: Cue, rules: dict[str, VariantRule]) -> Cue:
    """The cue with the variants that the production asks for; the sheet gives the words."""
    named = {v.name: v for v in cue.variants}
    for name, rule in rules.items():
        own = named.get(name)
        if own is None and (
            rule.language is not None or (rule.cues and cue.number not in rule.cues)
        ):
            continue  # another language needs the sheet's own words
        named[name] = Variant(
            name,
            own.dialogue if own is not None else None,
            rule.language,
            rule.speed,
            rule.duration_s,
            rule.seed,
            rule.delivery,
        )
    return replace(cue, variants=tuple(named.values()))


@dataclass(slots=True)
class _Checker:
    """Holds cues against the production, and gathers what is wrong."""

    production: Production
    footage: FootageBook
    problems: list[CueProblem] = field(default_factory=list)
    _seen: dict[str, Cue] = field(default_factory=dict)

    def accepts(self, cue: Cue) -> bool:
        """Whether the cue can be made; otherwise the reason is among the problems."""
        why = self._duplicate(cue) or self._nobody(cue) or self._picture(cue)
        if why is not None:
            self.problems.append(_problem_at(cue, *why))
            return False
        self._seen[cue.id.casefold()] = cue
        return True

    def _duplicate(self, cue: Cue) -> tuple[str, str] | None:
        earlier = self._seen.get(cue.id.casefold())
        if earlier is None:
            return None
        return "number", f"cue {cue.number} is also in {earlier.where}; give it another number"

    def _nobody(self, cue: Cue) -> tuple[str, str] | None:
        if self.production.person_of(cue.character) is not None:
            return None
        known = ", ".join(p.name for p in self.production.people.values()) or "nobody"
        return (
            "character",
            f"nobody in the production is '{cue.character}' (there is {known}); add the name to "
            "that person's characters",
        )

    def _picture(self, cue: Cue) -> tuple[str, str] | None:
        """What is wrong with the picture of a cue that is to have one."""
        if cue.start is None or cue.end is None or cue.on_screen is False:
            return None
        if cue.scene and cue.scene not in self.production.scenes:
            if not cue.on_screen:
                return None
            return "scene", f"scene {cue.scene} is not in {self.production.file.name}; add it there"
        try:
            place = self.footage.place_of(cue.scene)
        except ProductionError as error:
            return "scene", str(error)
        if place is None:
            if cue.on_screen:
                return "scene", f"scene '{cue.scene}' has no footage; name it or mark the cue off"
            return None
        if cue.start.frames < place.start.frames or cue.end.frames > place.stop.frames:
            return (
                "start" if cue.start.frames < place.start.frames else "end",
                f"the cue, {cue.start} to {cue.end}, lies outside '{place.footage.name}', which "
                f"goes from {place.start} to {place.stop}",
            )
        return None


def _problem_at(cue: Cue, column: str, sentence: str, fatal: bool = True) -> CueProblem:
    file, _, row = cue.where.rpartition(":")
    return CueProblem(file, int(row or 0), column, sentence, fatal)


def _warn_of_overlaps(cues: Iterable[Cue], problems: list[CueProblem]) -> None:
    """One character cannot say two lines at once; it is said, and both are made."""
    last: dict[tuple[str, str], Cue] = {}
    timed = [c for c in cues if c.start is not None and c.end is not None]
    for cue in sorted(timed, key=lambda c: c.start.frames if c.start else 0):
        key = (cue.character.casefold(), cue.reel)
        earlier = last.get(key)
        if (
            earlier is not None
            and earlier.end
            and cue.start
            and cue.start.frames < earlier.end.frames
        ):
            sentence = (
                f"the cue starts at {cue.start}, before {earlier.number} ends at {earlier.end}"
            )
            problems.append(_problem_at(cue, "start", sentence, fatal=False))
        if earlier is None or (earlier.end and cue.end and cue.end.frames > earlier.end.frames):
            last[key] = cue
