"""Written English -> spoken words, each tied to the characters it was written with.

`normalise("$3.50 in 1963")` gives three, dollars, and, fifty, cents (all from characters
0-5), in, nineteen, sixty, three (all from 9-13). Rules are tried in order at each
position; a rule is a pattern and a function from its match to pieces. What no rule can
speak (emoji, foreign scripts) is returned as `dropped`, never lost in silence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from align import numbers as say
from align._figures import FRACTIONS, rules_for_figures
from align._pieces import END, WORD, Piece, Pieces, Rule, before, close
from align.written import ABBREVIATIONS, KINGLY, NUMBERED, ROMAN, SYMBOLS

__all__ = ["Piece", "Spoken", "normalise"]

_PER = "hour|hr|day|week|month|year|person|minute|min|second|sec|mile|km|h|s"


@dataclass(frozen=True, slots=True)
class Spoken:
    """The pieces in order, and the characters that could not be spoken."""

    pieces: tuple[Piece, ...]
    dropped: tuple[str, ...]


_PUNCTUATION = {
    ",": ",",
    ".": ".",
    "!": "!",
    "?": "?",
    ";": ";",
    ":": ":",
    "—": "—",
    "–": "—",
    "…": "…",
    "“": "“",
    "”": "”",
    "(": "(",
    ")": ")",
    "[": "(",
    "]": ")",
    "{": "(",
    "}": ")",
    "。": ".",
    "、": ",",
    "¡": "",
    "¿": "",
    "«": "“",
    "»": "”",
}
_SAME_LENGTH = {
    "‘": "'",
    "’": "'",
    "ʼ": "'",
    "`": "'",
    "´": "'",
    "‐": "-",
    "‑": "-",
    "‒": "–",
    "―": "—",
    "−": "-",
    "„": "“",
    "\u00a0": " ",
    "\u00ad": "\u200b",
}
_PLAIN_LETTERS = {
    "ß": "ss",
    "æ": "ae",
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "þ": "th",
    "ð": "th",
    "ı": "i",
    "œ": "oe",
}


def _fold(text: str) -> str:
    """The same text, character for character, in the forms that the rules know."""
    folded = []
    for char in text:
        new = _SAME_LENGTH.get(char, char)
        if not new.isascii() and new not in _PUNCTUATION and new not in FRACTIONS:
            value = unicodedata.decimal(new, None)
            compatible = unicodedata.normalize("NFKC", new)
            if value is not None:
                new = str(value)
            elif len(compatible) == 1:
                new = compatible
        folded.append(new)
    return "".join(folded)


def _latin(word: str) -> str:
    """`word` in plain letters: accents off, ß as ss; "" when it is not in Latin script."""
    out = []
    for char in unicodedata.normalize("NFKD", word):
        plain = _PLAIN_LETTERS.get(char.lower(), char)
        if unicodedata.combining(char):
            continue
        if not plain.isascii():
            return ""
        out.append(plain.upper() if char.isupper() and plain != char else plain)
    return "".join(out)


def _web(match: re.Match[str]) -> list[Piece]:
    pieces = Pieces(match)
    address = re.sub(r"^https?://", "", match[0])
    for part in re.findall(r"[A-Za-z]+|[0-9]+|[.@/_-]", address):
        if part == "www" or (len(part) == 1 and part.isalpha()):
            pieces.say(part, kind="letters")
        elif part.isalpha():
            pieces.say(part)
        elif part.isdigit():
            pieces.say(say.cardinal(part))
        else:
            names = {".": "dot", "@": "at", "/": "slash", "_": "underscore", "-": "dash"}
            pieces.say(names[part])
    return pieces


def _abbreviation(match: re.Match[str]) -> list[Piece] | None:
    key = match[1]
    text, end = match.string, match.end()
    following = re.match(rf"\s+({WORD}|[0-9])", text[end:])
    next_word = following[1] if following else ""
    if key in ("No", "no", "Nos", "p", "pp", "vol", "Vol", "Fig", "fig"):
        if not next_word.isdigit():
            return None
        words = {"n": "number", "p": "page", "v": "volume", "f": "figure"}[key[0].lower()]
        if key in ("Nos", "pp"):
            words += "s"
        return Pieces(match).say(words)
    if key in ("St", "Dr"):
        previous = before(match)
        street = not next_word[:1].isupper() and previous[:1].isupper()
        names = {"St": ("saint", "street"), "Dr": ("doctor", "drive")}[key]
        return close(Pieces(match).say(names[street]), match)
    if ABBREVIATIONS.get(key) is None:
        return None
    return close(Pieces(match).say(tuple(ABBREVIATIONS[key].split())), match)


def _initials(match: re.Match[str]) -> list[Piece]:
    pieces = Pieces(match)
    pieces.say(match[0].replace(".", "").upper(), kind="letters")
    return close(pieces, match)


def _initial(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say(match[1], kind="letters")


def _roman(match: re.Match[str]) -> list[Piece] | None:
    previous, value = before(match), ROMAN.get(match[1])
    if value is None or not previous[:1].isupper():
        return None
    words: tuple[str, ...] = ()
    if previous.lower() in KINGLY and match[1] != "I":
        words = ("the", *say.ordinal(str(value)))
    elif previous.lower() in NUMBERED or len(match[1]) > 1:  # World War II, Rocky IV
        words = say.cardinal(str(value))
    if not words:
        return None
    return Pieces(match).say((*words[:-1], words[-1] + (match[2] or "")))


def _title(match: re.Match[str]) -> list[Piece]:
    names = {"Dr": "doctor"}
    return Pieces(match).say(names.get(match[0], ABBREVIATIONS.get(match[0], match[0])))


def _slashed_word(match: re.Match[str]) -> list[Piece]:
    names = {"w/o": ("without",), "c/o": ("care", "of"), "w/": ("with",)}
    return Pieces(match).say(names[match[0]])


def _per(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say("per")


def _word(match: re.Match[str]) -> list[Piece] | None:
    plain = _latin(match[0]).rstrip("'")
    return Pieces(match).say(plain) if plain else None


def _symbol(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say(tuple(SYMBOLS[match[0]].split()))


def _dash(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say("—", kind="punct")


def _dots(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say("…", kind="punct")


def _quote(match: re.Match[str]) -> list[Piece]:
    after = match.string[match.end() : match.end() + 1]
    opening = after.strip() and (
        match.start() == 0 or match.string[match.start() - 1] in " \t\n\r([—-"
    )
    return Pieces(match).say("“" if opening else "”", kind="punct")


def _punctuation(match: re.Match[str]) -> list[Piece]:
    mark = _PUNCTUATION[match[0]]
    return Pieces(match).say(mark, kind="punct") if mark else []


@cache
def _rules() -> tuple[tuple[re.Pattern[str], Rule], ...]:
    symbols = "".join(re.escape(s) for s in SYMBOLS if s != "~")
    marks = "".join(re.escape(m) for m in _PUNCTUATION)
    table: tuple[tuple[str, Rule], ...] = (
        (r"(?:https?://|www\.)[A-Za-z0-9.@/_-]*[A-Za-z0-9/]", _web),
        (r"[A-Za-z0-9._-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b", _web),
        (
            r"[A-Za-z0-9-]+\.(?:com|org|net|gov|edu|co\.uk|tv)\b(?:/[A-Za-z0-9._-]*[A-Za-z0-9])*",
            _web,
        ),
        *rules_for_figures(),
        (r"~(?=\s?[0-9$£€])", _symbol),
        (r"(?:w/o|c/o|w/)(?![\w/])", _slashed_word),
        (rf"(?<=\w)/(?=(?:{_PER}){END})", _per),
        (r"(e\.g|i\.e|[A-Z][a-z]+|[a-z]+)\.", _abbreviation),
        (r"(?:Mr|Mrs|Ms|Dr|Prof)(?=\s+[A-Z])", _title),
        (r"(?:[A-Za-z]\.){2,}(?:[A-Za-z](?![\w']))?", _initials),
        (r"([B-HJ-Z])\.(?=\s+[A-Z])", _initial),
        (r"([IVX]+)('s)?\b(?!['-])", _roman),
        (r"(?:'(?=(?:em|tis|twas|til|cause|bout|round|n)\b))?" + WORD + r"(?:'(?!\w))?", _word),
        (r"-{2,3}|(?<=\s)[-–](?=\s)", _dash),
        (r"\.{2,}", _dots),
        (r"\"", _quote),
        (rf"[{symbols}]", _symbol),
        (rf"[{marks}]", _punctuation),
    )
    return tuple((re.compile(pattern), rule) for pattern, rule in table)


def _scan(folded: str) -> Iterator[Piece | tuple[int, int]]:
    """Pieces in order, and (start, end) of what no rule could speak."""
    at = 0
    silent = re.compile(r"\s+|['\-_*~^|/\\\u200b-\u200f\ufe0f]")
    while at < len(folded):
        blank = silent.match(folded, at)
        # A minus or an apostrophe may begin a number or a word, so rules come first.
        for pattern, rule in _rules():
            match = pattern.match(folded, at)
            pieces = rule(match) if match and match.end() > at else None
            if match is not None and pieces is not None:
                yield from pieces
                at = match.end()
                break
        else:
            if blank:
                at = blank.end()
                continue
            word = re.compile(WORD).match(folded, at)
            end = word.end() if word else at + 1
            yield (at, end)
            at = end


def normalise(text: str) -> Spoken:
    """Spoken words and punctuation of `text`, in order; see the module's docstring.

    Never raises: text without anything to speak gives no words.
    """
    pieces: list[Piece] = []
    dropped: list[str] = []
    for found in _scan(_fold(text)):
        if isinstance(found, Piece):
            repeated = found.kind == "punct" and pieces and pieces[-1].kind == "punct"
            if not (repeated and found.text in (pieces[-1].text, "?", "!", ".", ",")):
                pieces.append(found)
        else:
            part = text[found[0] : found[1]]
            if unicodedata.category(part[0])[0] not in "MC":
                dropped.append(part)
    return Spoken(tuple(pieces), tuple(dropped))
