"""Timings as tables: NIST CTM, the Montreal Forced Aligner's CSV, Rhubarb's mouth cues."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape

from align.phones import ARPABET, without_stress
from align.timing import Span, Timing
from align.visemes import GLIDES, GLIDES_AT, arpabet_of, rhubarb
from media.errors import AlignError

__all__ = [
    "from_ctm",
    "from_mfa",
    "from_mfa_json",
    "from_rhubarb_json",
    "from_rhubarb_tsv",
    "from_rhubarb_xml",
    "rhubarb_cues",
    "to_ctm",
    "to_mfa",
    "to_rhubarb_json",
    "to_rhubarb_tsv",
    "to_rhubarb_xml",
]

_SILENT = frozenset({"", "sil", "sp", "spn", "<eps>"})
# Rhubarb names mouths, not phones; reading one back gives a phone that makes such a mouth.
_PHONE_OF_MOUTH = {
    "A": "M",
    "B": "S",
    "C": "EH",
    "D": "AA",
    "E": "AO",
    "F": "UW",
    "G": "F",
    "H": "L",
}


def _text(seconds: float) -> str:
    """Seconds to the microsecond, without trailing zeros."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def to_ctm(timing: Timing, name: str = "sound", channel: str = "1") -> str:
    """NIST CTM, one line per word: file, channel, start, duration, word, confidence.

    Phones and the length of the sound are not part of the format.
    """
    rows = [
        f"{name} {channel} {_text(w.start_s)} {_text(w.duration_s)} "
        f"{w.label.replace(' ', '_')} {w.confidence:.3f}"
        for w in timing.words
    ]
    return "".join(row + "\n" for row in rows)


def from_ctm(text: str) -> Timing:
    """Words of a CTM; lines that begin with `;;` are comments."""
    words: list[Span] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith(";;"):
            continue
        fields = line.split()
        if len(fields) < 5:
            raise AlignError(f"the line '{line[:40]}' has fewer than five fields; mend it")
        start, length = float(fields[2]), float(fields[3])
        confidence = float(fields[5]) if len(fields) > 5 and fields[5] != "NA" else 1.0
        words.append(Span(fields[4], start, start + length, confidence))
    return Timing(tuple(words), (), words[-1].end_s if words else 0.0, engine="ctm")


def to_mfa(timing: Timing) -> str:
    """CSV as MFA's `--output_format csv`: Begin,End,Label,Type,Speaker."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["Begin", "End", "Label", "Type", "Speaker"])
    for kind, spans in (("words", timing.words), ("phones", timing.phones)):
        for s in spans:
            writer.writerow([_text(s.start_s), _text(s.end_s), s.label, kind, ""])
    return out.getvalue()


def from_mfa(text: str) -> Timing:
    """Words and phones of an MFA CSV; silences and stress digits are taken off."""
    tiers: dict[str, list[Span]] = {"words": [], "phones": []}
    table = csv.DictReader(io.StringIO(text))
    if table.fieldnames and not {"Begin", "End", "Label", "Type"} <= set(table.fieldnames):
        raise AlignError("its first line does not name Begin, End, Label and Type; write it again")
    for row in table:
        label, kind = row["Label"], row["Type"]
        if kind not in tiers or label in _SILENT:
            continue
        if kind == "phones" and without_stress(label) in ARPABET:
            label = without_stress(label)
        tiers[kind].append(Span(label, float(row["Begin"]), float(row["End"])))
    ends = [s.end_s for spans in tiers.values() for s in spans]
    return Timing(tuple(tiers["words"]), tuple(tiers["phones"]), max(ends, default=0.0), "mfa")


def from_mfa_json(document: dict[str, Any]) -> Timing:
    """Words and phones of MFA's (and praatio's) JSON: {"start", "end", "tiers": {name: ...}}."""
    tiers: dict[str, list[Span]] = {"words": [], "phones": []}
    for name, tier in document["tiers"].items():
        kind = str(name).split(" - ")[-1]
        for start, end, label in tier["entries"] if kind in tiers else ():
            if label not in _SILENT:
                plain = without_stress(label) if kind == "phones" else label
                plain = plain if plain in ARPABET else label
                tiers[kind].append(Span(plain, float(start), float(end)))
    for spans in tiers.values():  # of several speakers
        spans.sort(key=lambda s: s.start_s)
    end = float(document.get("end", document.get("xmax", 0.0)))
    return Timing(tuple(tiers["words"]), tuple(tiers["phones"]), end, "mfa")


# Rhubarb's rules: these vowels open wide only when they last.
_LONG_VOWEL_S = {"AH": 0.2, "AY": 0.2, "AW": 0.3}


def _mouths(phone: Span, following: str) -> list[tuple[str, float, float]]:
    """Mouth cues of one phone; diphthongs have two, h has that of what comes next."""
    base = arpabet_of(phone.label)
    if base == "HH" and following:
        return [(rhubarb(following), phone.start_s, phone.end_s)]
    mouth = rhubarb(base)
    if base in _LONG_VOWEL_S:
        mouth = "D" if phone.duration_s >= _LONG_VOWEL_S[base] else "C"
    if base not in GLIDES:
        return [(mouth, phone.start_s, phone.end_s)]
    turn = phone.start_s + GLIDES_AT * phone.duration_s
    second = {"AW": "E", "OW": "F"}.get(base, "B")
    return [(mouth, phone.start_s, turn), (second, turn, phone.end_s)]


def rhubarb_cues(timing: Timing) -> tuple[Span, ...]:
    """Rhubarb mouth cues (A-H, X at rest) from 0 to the end, equal neighbours joined."""
    rows: list[tuple[str, float, float]] = []
    at = 0.0
    for index, phone in enumerate(timing.phones):
        if phone.start_s > at + 1e-9:
            rows.append(("X", at, phone.start_s))
        following = timing.phones[index + 1] if index + 1 < len(timing.phones) else None
        near = following is not None and following.start_s - phone.end_s < 0.05
        rows += _mouths(phone, following.label if following is not None and near else "")
        at = phone.end_s
    if timing.duration_s > at + 1e-9:
        rows.append(("X", at, timing.duration_s))
    joined: list[tuple[str, float, float]] = []
    for mouth, start, end in rows:
        if joined and joined[-1][0] == mouth:
            joined[-1] = (mouth, joined[-1][1], end)
        else:
            joined.append((mouth, start, end))
    return tuple(Span(*row) for row in joined)


def to_rhubarb_tsv(timing: Timing) -> str:
    """Rhubarb Lip Sync's TSV: start and mouth per line, a closing X at the end."""
    rows = [f"{_text(c.start_s)}\t{c.label}" for c in rhubarb_cues(timing)]
    return "\n".join([*rows, f"{_text(timing.duration_s)}\tX"]) + "\n"


def from_rhubarb_tsv(text: str) -> Timing:
    """Mouth cues as phones that make those mouths; words are not part of the format."""
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    starts = [(float(r[0]), r[1].strip()) for r in rows]
    if not starts:
        raise AlignError("there are no mouth cues in it; write it again")
    cues = [(a[0], b[0], a[1]) for a, b in pairwise(starts)]
    return _from_cues(cues, starts[-1][0])


def to_rhubarb_xml(timing: Timing) -> str:
    """Rhubarb Lip Sync's XML."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<rhubarbResult>",
        f"  <metadata><duration>{_text(timing.duration_s)}</duration></metadata>",
        "  <mouthCues>",
    ]
    for cue in rhubarb_cues(timing):
        start, end = _text(cue.start_s), _text(cue.end_s)
        lines.append(f'    <mouthCue start="{start}" end="{end}">{escape(cue.label)}</mouthCue>')
    return "\n".join([*lines, "  </mouthCues>", "</rhubarbResult>"]) + "\n"


def to_rhubarb_json(timing: Timing) -> str:
    """Rhubarb Lip Sync's JSON."""
    cues = [
        {"start": round(c.start_s, 6), "end": round(c.end_s, 6), "value": c.label}
        for c in rhubarb_cues(timing)
    ]
    document = {"metadata": {"duration": round(timing.duration_s, 6)}, "mouthCues": cues}
    return json.dumps(document, indent=2) + "\n"


def from_rhubarb_json(document: dict[str, Any]) -> Timing:
    """Mouth cues of a Rhubarb JSON; see `from_rhubarb_tsv`."""
    cues = [(float(c["start"]), float(c["end"]), str(c["value"])) for c in document["mouthCues"]]
    length = document.get("metadata", {}).get("duration")
    return _from_cues(cues, float(length or max((c[1] for c in cues), default=0.0)))


def from_rhubarb_xml(text: str) -> Timing:
    """Mouth cues of a Rhubarb XML; see `from_rhubarb_tsv`."""
    from xml.etree import ElementTree

    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise AlignError("it declares entities, which mouth cues never do; write it again")
    root = ElementTree.fromstring(text)
    if root.tag != "rhubarbResult":
        raise AlignError("it is not a Rhubarb result; write it again")
    cues = [
        (float(c.attrib["start"]), float(c.attrib["end"]), (c.text or "").strip())
        for c in root.iter("mouthCue")
    ]
    length = root.findtext("metadata/duration")
    return _from_cues(cues, float(length) if length else max((c[1] for c in cues), default=0.0))


def _from_cues(cues: list[tuple[float, float, str]], duration: float) -> Timing:
    phones = tuple(
        Span(_PHONE_OF_MOUTH[mouth], start, end)
        for start, end, mouth in cues
        if mouth != "X" and end > start
    )
    return Timing((), phones, duration, engine="rhubarb")
