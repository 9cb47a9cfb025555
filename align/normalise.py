"""Written English -> spoken words, each tied to the characters it was written with.

`normalise("$3.50 in 1963")` gives three, dollars, and, fifty, cents (all from characters
0-5), in, nineteen, sixty, three (all from 9-13). Rules are tried in order at each
position; a rule is a pattern and a function from its match to pieces. What no rule can
speak (emoji, foreign scripts) is returned as `dropped`, never lost in silence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from align import numbers as say
from align.written import (
    ABBREVIATIONS,
    CURRENCIES,
    KINGLY,
    MONTHS,
    NUMBERED,
    ROMAN,
    SCALES,
    SYMBOLS,
    UNITS,
)

__all__ = ["Piece", "Spoken", "normalise"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One spoken word or one punctuation mark.

    `kind` is "word", "letters" (spell `text` letter by letter) or "punct". `start` and
    `end` are the characters of the written token in the original text.
    """

    text: str
    start: int
    end: int
    kind: str = "word"


@dataclass(frozen=True, slots=True)
class Spoken:
    """The pieces in order, and the characters that could not be spoken."""

    pieces: tuple[Piece, ...]
    dropped: tuple[str, ...]


_NUM = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
_LETTER = r"(?:[^\W\d_][\u0300-\u036f]*)"
_WORD = rf"{_LETTER}+(?:['-]{_LETTER}+)*"
_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_UNIT = "|".join(re.escape(u) for u in sorted(UNITS, key=len, reverse=True))
_SCALE = "|".join(sorted(SCALES, key=len, reverse=True))
_HALF_DAY = r"[AaPp]\.?[Mm]\b\.?"
_FRACTIONS = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅛": "1/8"}
_END = r"(?![\w])"
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
        if not new.isascii() and new not in _PUNCTUATION and new not in _FRACTIONS:
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
    for char in unicodedata.normalize("NFD", word):
        plain = _PLAIN_LETTERS.get(char.lower(), char)
        if unicodedata.combining(char):
            continue
        if not plain.isascii():
            return ""
        out.append(plain.upper() if char.isupper() and plain != char else plain)
    return "".join(out)


class _Pieces(list[Piece]):
    """Collects the pieces of one match; groups give the written span."""

    def __init__(self, match: re.Match[str]) -> None:
        super().__init__()
        self._match = match

    def say(self, words: tuple[str, ...] | str, *groups: int | str, kind: str = "word") -> _Pieces:
        """Add words written by the span from the first to the last of `groups` (0 = all)."""
        spans = [self._match.span(g) for g in (groups or (0,)) if self._match[g] is not None]
        start, end = spans[0][0], spans[-1][1]
        while end > start + 1 and self._match.string[end - 1].isspace():
            end -= 1
        while start < end - 1 and self._match.string[start].isspace():
            start += 1
        for word in (words,) if isinstance(words, str) else words:
            self.append(Piece(word, start, end, kind))
        return self


_Rule = Callable[[re.Match[str]], "list[Piece] | None"]


def _before(match: re.Match[str]) -> str:
    """The word before the match, "" at the start or after punctuation."""
    found = re.search(rf"({_WORD})\s+$", match.string[max(0, match.start() - 40) : match.start()])
    return found[1] if found else ""


def _web(match: re.Match[str]) -> list[Piece]:
    pieces = _Pieces(match)
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


def _iso_date(match: re.Match[str]) -> list[Piece] | None:
    month, day = int(match["m"]), int(match["d"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    name = list(dict.fromkeys(MONTHS.values()))[month - 1]
    words = (name, *say.ordinal(str(day)), *say.year(match["y"]))
    return _Pieces(match).say(words)


def _slashed_date(match: re.Match[str]) -> list[Piece]:
    # Day and month order differs by country, so both are read as plain numbers.
    words = say.cardinal(str(int(match[1]))) + say.cardinal(str(int(match[2])))
    third = match[3]
    last = say.year(third) if len(third) == 4 else say.cardinal(third)
    return _Pieces(match).say(words + last)


def _day_month(match: re.Match[str]) -> list[Piece] | None:
    if not 1 <= int(match["d"]) <= 31:
        return None
    pieces = _Pieces(match)
    article = () if _before(match).lower() == "the" else ("the",)
    of = () if match["of"] else ("of",)
    pieces.say((*article, *say.ordinal(match["d"]), *of), "day")
    if match["of"]:
        pieces.say("of", "of")
    return pieces.say(MONTHS[match["m"].lower().rstrip(".")], "m")


def _month_day(match: re.Match[str]) -> list[Piece] | None:
    if not 1 <= int(match["d"]) <= 31:
        return None
    pieces = _Pieces(match).say(MONTHS[match["m"].lower().rstrip(".")], "m")
    return pieces.say(say.ordinal(match["d"]), "day")


def _time(match: re.Match[str]) -> list[Piece] | None:
    hour, minute = int(match["h"]), int(match["m"])
    if hour > 24 or minute > 59:
        return None
    pieces = _Pieces(match)
    words = say.cardinal(str(hour))
    if minute == 0:
        if hour > 12 or hour == 0:
            words += ("hundred",)
        elif not match["half"]:
            words += ("o'clock",)
    elif minute < 10:
        words += ("oh", *say.cardinal(str(minute)))
    else:
        words += say.cardinal(str(minute))
    if match["s"]:
        words += ("and", *say.cardinal(str(int(match["s"]))), "seconds")
    pieces.say(words, "clock")
    return _add_half_day(pieces, match)


def _hour(match: re.Match[str]) -> list[Piece] | None:
    if not 0 < int(match["h"]) <= 12:
        return None
    return _add_half_day(_Pieces(match).say(say.cardinal(match["h"]), "h"), match)


def _add_half_day(pieces: _Pieces, match: re.Match[str]) -> list[Piece]:
    if match["half"]:
        pieces.say(match["half"].replace(".", "").upper(), "half", kind="letters")
    return pieces


def _money(match: re.Match[str]) -> list[Piece]:
    one, many, cent, cents = CURRENCIES[match["sign"]]
    amount, scale = match["n"].replace(",", ""), match["scale"]
    pieces = _Pieces(match)
    if scale:
        pieces.say(say.decimal(amount), "sign", "n")
        return pieces.say((SCALES[scale.strip()], many), "scale")
    whole, _, part = amount.partition(".")
    if len(part) == 2 and cents:
        words: tuple[str, ...] = ()
        if int(whole) or not int(part):
            words = (*say.cardinal(whole), one if int(whole) == 1 else many)
        if int(part):
            small = (*say.cardinal(str(int(part))), cent if int(part) == 1 else cents)
            words += ("and", *small) if words else small
        return pieces.say(words)
    return pieces.say((*say.decimal(amount), one if amount == "1" else many))


def _decade(match: re.Match[str]) -> list[Piece]:
    return _Pieces(match).say(say.decade(match[1]))


def _ordinal(match: re.Match[str]) -> list[Piece]:
    return _Pieces(match).say(say.ordinal(match[1]))


def _telephone(match: re.Match[str]) -> list[Piece]:
    return _Pieces(match).say(say.digits(match[0]))


def _year_range(match: re.Match[str]) -> list[Piece] | None:
    if not _is_year(match[1]):
        return None
    words = (*say.year(match[1]), "to", *say.year(match[2]))
    return _Pieces(match).say(words)


def _range(match: re.Match[str]) -> list[Piece]:
    pieces = _Pieces(match).say((*_number(match[1]), "to", *_number(match[2])), 1, 2)
    return _add_unit(pieces, match, match[2])


def _mixed_fraction(match: re.Match[str]) -> list[Piece] | None:
    top, bottom = (_FRACTIONS.get(match["f"]) or match["f"]).split("/")
    if int(bottom) == 0:
        return None
    if match["f"] == "24/7":
        return _Pieces(match).say(("twenty", "four", "seven"))
    whole = match["n"]
    words = say.fraction(top, bottom)
    if whole:
        words = (*say.cardinal(whole), "and", *(("a", *words[1:]) if words[0] == "one" else words))
    return _add_unit(_Pieces(match).say(words, "n", "f"), match, "1/2")


def _version(match: re.Match[str]) -> list[Piece]:
    words: tuple[str, ...] = ()
    for index, part in enumerate(match[0].split(".")):
        words += (("point",) if index else ()) + say.cardinal(part)
    return _Pieces(match).say(words)


def _is_year(text: str) -> bool:
    return len(text) == 4 and text.isdigit() and 1100 <= int(text) <= 2099


def _number(text: str) -> tuple[str, ...]:
    return say.year(text) if _is_year(text) else say.decimal(text)


def _plain_number(match: re.Match[str]) -> list[Piece]:
    number = match["n"]
    sign: tuple[str, ...] = {"-": ("minus",), "+": ("plus",)}.get(match["sign"] or "", ())
    words = say.decimal(number) if match["unit"] or "," in number else _number(number)
    pieces = _Pieces(match).say((*sign, *words), "sign", "n")
    return _add_unit(pieces, match, number)


def _add_unit(pieces: _Pieces, match: re.Match[str], number: str) -> list[Piece]:
    """The unit gets its own written span when a space stands before it."""
    unit = match["unit"]
    if not unit:
        return pieces
    one, many = UNITS[unit.strip()]
    words = tuple((one if number == "1" else many).split())
    if unit[0].isspace():
        return pieces.say(words, "unit")
    start, end = pieces[0].start, match.end("unit")
    together = [Piece(p.text, start, end, p.kind) for p in pieces]
    return together + [Piece(w, start, end) for w in words]


def _letters_and_digits(match: re.Match[str]) -> list[Piece]:
    """B-52, MP3, COVID-19, 1080p, H2O: short runs of letters are spelt, digits are numbers."""
    pieces = _Pieces(match)
    for part in re.findall(r"[A-Za-z]+|[0-9]+", match[0]):
        if part.isdigit():
            pieces.say(_number(part))
        elif len(part) <= 2 or (part.isupper() and len(part) <= 3):
            pieces.say(part, kind="letters")
        else:
            pieces.say(part)
    return pieces


def _abbreviation(match: re.Match[str]) -> list[Piece] | None:
    key = match[1]
    text, end = match.string, match.end()
    following = re.match(rf"\s+({_WORD}|[0-9])", text[end:])
    next_word = following[1] if following else ""
    if key in ("No", "no", "Nos", "p", "pp", "vol", "Vol", "Fig", "fig"):
        if not next_word.isdigit():
            return None
        words = {"n": "number", "p": "page", "v": "volume", "f": "figure"}[key[0].lower()]
        if key in ("Nos", "pp"):
            words += "s"
        return _Pieces(match).say(words)
    if key in ("St", "Dr"):
        previous = _before(match)
        street = not next_word[:1].isupper() and previous[:1].isupper()
        names = {"St": ("saint", "street"), "Dr": ("doctor", "drive")}[key]
        return _close(_Pieces(match).say(names[street]), match)
    if ABBREVIATIONS.get(key) is None:
        return None
    return _close(_Pieces(match).say(tuple(ABBREVIATIONS[key].split())), match)


def _close(pieces: _Pieces, match: re.Match[str]) -> list[Piece]:
    """Add the full stop that an abbreviation at the end of the text has swallowed."""
    if match[0].endswith(".") and not match.string[match.end() :].strip(" \t\r\n\"'”’)"):
        pieces.append(Piece(".", match.end() - 1, match.end(), "punct"))
    return pieces


def _initials(match: re.Match[str]) -> list[Piece]:
    pieces = _Pieces(match)
    pieces.say(match[0].replace(".", "").upper(), kind="letters")
    return _close(pieces, match)


def _initial(match: re.Match[str]) -> list[Piece]:
    return _Pieces(match).say(match[1], kind="letters")


def _roman(match: re.Match[str]) -> list[Piece] | None:
    previous, value = _before(match), ROMAN.get(match[0])
    if value is None or not previous[:1].isupper():
        return None
    if previous.lower() in NUMBERED:
        return _Pieces(match).say(say.cardinal(str(value)))
    if previous.lower() in KINGLY and match[0] != "I":
        return _Pieces(match).say(("the", *say.ordinal(str(value))))
    return None


def _word(match: re.Match[str]) -> list[Piece] | None:
    plain = _latin(match[0]).rstrip("'")
    return _Pieces(match).say(plain) if plain else None


def _symbol(match: re.Match[str]) -> list[Piece]:
    return _Pieces(match).say(tuple(SYMBOLS[match[0]].split()))


def _dash(match: re.Match[str]) -> list[Piece]:
    return _Pieces(match).say("—", kind="punct")


def _dots(match: re.Match[str]) -> list[Piece]:
    return _Pieces(match).say("…", kind="punct")


def _quote(match: re.Match[str]) -> list[Piece]:
    after = match.string[match.end() : match.end() + 1]
    opening = after.strip() and (
        match.start() == 0 or match.string[match.start() - 1] in " \t\n\r([—-"
    )
    return _Pieces(match).say("“" if opening else "”", kind="punct")


def _punctuation(match: re.Match[str]) -> list[Piece]:
    mark = _PUNCTUATION[match[0]]
    return _Pieces(match).say(mark, kind="punct") if mark else []


@cache
def _rules() -> tuple[tuple[re.Pattern[str], _Rule], ...]:
    unit = rf"(?P<unit>\s?(?:{_UNIT}){_END})?"
    half = rf"(?:\s?(?P<half>{_HALF_DAY}))"
    suffix = r"(?:st|nd|rd|th)?"
    day = rf"(?P<day>(?P<d>[0-9]{{1,2}}){suffix})"
    month = rf"(?P<m>(?i:{_MONTH})\b\.?)"
    symbols = "".join(re.escape(s) for s in SYMBOLS)
    marks = "".join(re.escape(m) for m in _PUNCTUATION)
    table: tuple[tuple[str, _Rule], ...] = (
        (r"(?:https?://|www\.)[A-Za-z0-9.@/_-]*[A-Za-z0-9/]", _web),
        (r"[A-Za-z0-9._-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b", _web),
        (r"[A-Za-z0-9-]+\.(?:com|org|net|gov|edu|co\.uk|tv)\b", _web),
        (r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})(?![0-9-])", _iso_date),
        (r"([0-9]{1,2})[/.]([0-9]{1,2})[/.]([0-9]{4}|[0-9]{2})(?![0-9])", _slashed_date),
        (rf"{day}\s+(?:(?P<of>of)\s+)?{month}", _day_month),
        (rf"{month}\s+{day}(?![0-9:.,/%]*[0-9%])(?!\s?(?:{_UNIT}){_END})", _month_day),
        (
            rf"(?P<clock>(?P<h>[0-9]{{1,2}}):(?P<m>[0-9]{{2}})(?::(?P<s>[0-9]{{2}}))?)(?![0-9:]){half}?",
            _time,
        ),
        (rf"(?P<h>[0-9]{{1,2}}){half}", _hour),
        (rf"(?P<sign>US\$|[$£€¥])\s?(?P<n>{_NUM})(?P<scale>\s?(?:{_SCALE}){_END})?", _money),
        (r"'?([0-9]{4}|[2-9]0)'?s\b", _decade),
        (r"([0-9][0-9,]*)(?:st|nd|rd|th)\b", _ordinal),
        (
            r"(?:\+?1[ -])?\(?[0-9]{3}\)?[ -][0-9]{3}-[0-9]{4}(?![0-9])|[0-9]{3}-[0-9]{4}(?![0-9])",
            _telephone,
        ),
        (r"([0-9]{4})\s?[-–—]\s?([0-9]{4}|[0-9]{2})(?![0-9])", _year_range),
        (rf"({_NUM})[-–—]({_NUM})(?![0-9]){unit}", _range),
        (rf"(?:(?P<n>[0-9]+)\s?)?(?P<f>[½¼¾⅓⅔⅛]){unit}", _mixed_fraction),
        (rf"(?:(?P<n>[0-9]+)\s)?(?P<f>[0-9]{{1,4}}/[0-9]{{1,4}})(?![0-9/]){unit}", _mixed_fraction),
        (r"[0-9]+(?:\.[0-9]+){2,}", _version),
        (rf"(?P<sign>(?<![\w.])[-+])?(?P<n>{_NUM}){unit}(?![A-Za-z])", _plain_number),
        (
            r"(?=[A-Za-z-]*[0-9])(?=[0-9-]*[A-Za-z])[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*",
            _letters_and_digits,
        ),
        (rf"(?P<sign>)(?P<n>{_NUM})(?P<unit>)", _plain_number),
        (r"([A-Z][a-z]+|[a-z]+|e\.g|i\.e)\.", _abbreviation),
        (r"(?:[A-Za-z]\.){2,}(?:[A-Za-z](?![\w']))?", _initials),
        (r"([B-HJ-Z])\.(?=\s+[A-Z])", _initial),
        (r"[IVX]+\b(?!['-])", _roman),
        (r"(?:'(?=(?:em|tis|twas|til|cause|bout|round|n)\b))?" + _WORD + r"(?:'(?!\w))?", _word),
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
    silent = re.compile(r"\s+|['\-_*~^|\\\u200b-\u200f\ufe0f]")
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
            word = re.compile(_WORD).match(folded, at)
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
