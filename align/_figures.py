"""Rules for figures: dates, times, money, measures, ranges, fractions, telephone numbers."""

from __future__ import annotations

import re
import unicodedata

from align import numbers as say
from align._pieces import END, NUM, Piece, Pieces, Rule, before
from align.written import CURRENCIES, MONTHS, SCALES, UNITS

__all__ = ["rules_for_figures"]

_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_UNIT = "|".join(re.escape(u) for u in sorted(UNITS, key=len, reverse=True))
_SCALE = "|".join(sorted(SCALES, key=len, reverse=True))
_HALF_DAY = r"[AaPp]\.?[Mm]\b\.?"
_CODES = "|".join(c for c in CURRENCIES if c.isalpha() and len(c) == 3)
_SIGNS = "".join(re.escape(c) for c in CURRENCIES if len(c) == 1 and c not in "¢")
_SMALL = {"¢": ("cent", "cents"), "c": ("cent", "cents"), "p": ("penny", "pence")}
FRACTIONS = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅛": "1/8"}


def _iso_date(match: re.Match[str]) -> list[Piece] | None:
    month, day = int(match["m"]), int(match["d"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    name = list(dict.fromkeys(MONTHS.values()))[month - 1]
    words = (name, *say.ordinal(str(day)), *say.year(match["y"]))
    return Pieces(match).say(words)


def _slashed_date(match: re.Match[str]) -> list[Piece]:
    # Day and month order differs by country, so both are read as plain numbers.
    words = say.cardinal(str(int(match[1]))) + say.cardinal(str(int(match[2])))
    third = match[3]
    last = say.year(third) if len(third) == 4 else say.cardinal(third)
    return Pieces(match).say(words + last)


def _day_month(match: re.Match[str]) -> list[Piece] | None:
    if not 1 <= int(match["d"]) <= 31:
        return None
    pieces = Pieces(match)
    article = () if before(match).lower() == "the" else ("the",)
    of = () if match["of"] else ("of",)
    pieces.say((*article, *say.ordinal(match["d"]), *of), "day")
    if match["of"]:
        pieces.say("of", "of")
    return pieces.say(MONTHS[match["m"].lower().rstrip(".")], "m")


def _month_day(match: re.Match[str]) -> list[Piece] | None:
    if not 1 <= int(match["d"]) <= 31:
        return None
    pieces = Pieces(match).say(MONTHS[match["m"].lower().rstrip(".")], "m")
    return pieces.say(say.ordinal(match["d"]), "day")


def _time(match: re.Match[str]) -> list[Piece] | None:
    hour, minute = int(match["h"]), int(match["m"])
    if hour > 24 or minute > 59:
        return None
    pieces = Pieces(match)
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
    return _add_half_day(Pieces(match).say(say.cardinal(match["h"]), "h"), match)


def _add_half_day(pieces: Pieces, match: re.Match[str]) -> list[Piece]:
    if match["half"]:
        pieces.say(match["half"].replace(".", "").upper(), "half", kind="letters")
    return pieces


def _amount(written: str) -> str:
    """Digits with a point: "1,200.50" and the continental "3,50" alike."""
    if re.fullmatch(r"[0-9]+,[0-9]{2}", written):
        return written.replace(",", ".")
    return written.replace(",", "")


def _small_money(match: re.Match[str]) -> list[Piece]:
    one, many = _SMALL[match["small"]]
    name = one if match["n"] == "1" else many
    return Pieces(match).say((*say.cardinal(match["n"]), name))


def _money(match: re.Match[str]) -> list[Piece]:
    one, many, cent, cents = CURRENCIES[match["sign"]]
    amount, scale = _amount(match["n"]), match["scale"]
    pieces = Pieces(match)
    if scale:
        if match.start("sign") > match.start("n"):  # 5 million €
            return pieces.say((*say.decimal(amount), SCALES[scale.strip()], many))
        pieces.say(say.decimal(amount), "sign", "n")
        return pieces.say((SCALES[scale.strip()], *many.split()), "scale")
    whole, _, part = amount.partition(".")
    if len(part) == 2 and cents:
        words: tuple[str, ...] = ()
        if int(whole) or not int(part):
            words = (*say.cardinal(whole), *(one if int(whole) == 1 else many).split())
        if int(part):
            small = (*say.cardinal(str(int(part))), cent if int(part) == 1 else cents)
            words += ("and", *small) if words else small
        return pieces.say(words)
    return pieces.say((*say.decimal(amount), *(one if amount == "1" else many).split()))


def _decade(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say(say.decade(match[1]))


def _ordinal(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say(say.ordinal(match[1]))


def _telephone(match: re.Match[str]) -> list[Piece] | None:
    """Digit by digit; each written group keeps its own span, so that it gets its own time."""
    if not 7 <= sum(c.isdigit() for c in match[0]) <= 15:
        return None
    pieces = Pieces(match)
    if match[0].startswith("+"):
        pieces.append(Piece("plus", match.start(), match.start() + 1))
    for group in re.finditer(r"[0-9]+", match[0]):
        at = match.start()
        span = (at + group.start(), at + group.end())
        pieces += [Piece(word, *span) for word in say.digits(group[0])]
    return pieces


def _feet_and_inches(match: re.Match[str]) -> list[Piece]:
    pieces = Pieces(match)
    if match["ft"]:
        one = "foot" if match["ft"] == "1" or match["in"] else "feet"
        pieces.say((*say.cardinal(match["ft"]), one), "ft", "mark")
    if match["in"]:
        words = say.decimal(match["in"])
        if not match["ft"]:
            words += ("inch" if match["in"] == "1" else "inches",)
        end = match.end() if match["ft"] or match["quote"] else match.end("in")
        pieces += [Piece(word, match.start("in"), end) for word in words]
    return pieces


def _numeral(match: re.Match[str]) -> list[Piece]:
    """A Roman numeral that is one character."""
    value = int(unicodedata.numeric(match[0]))
    return Pieces(match).say(say.cardinal(str(value)))


def _power(match: re.Match[str]) -> list[Piece]:
    pieces = Pieces(match).say(say.decimal(match[1]), 1)
    names = {"2": ("squared",), "3": ("cubed",)}
    words = names.get(match[2]) or ("to", "the", "power", "of", *say.cardinal(match[2]))
    pieces += [Piece(word, match.end(1), match.end()) for word in words]
    return pieces


def _month_year(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say(MONTHS[match["m"].lower().rstrip(".")], "m")


def _until(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say("to")


def _year_range(match: re.Match[str]) -> list[Piece] | None:
    if not _is_year(match[1]):
        return None
    words = (*say.year(match[1]), "to", *say.year(match[2]))
    return Pieces(match).say(words)


def _range(match: re.Match[str]) -> list[Piece]:
    pieces = Pieces(match).say((*_number(match[1]), "to", *_number(match[2])), 1, 2)
    return _add_unit(pieces, match, match[2])


def _mixed_fraction(match: re.Match[str]) -> list[Piece] | None:
    top, bottom = (FRACTIONS.get(match["f"]) or match["f"]).split("/")
    if int(bottom) == 0:
        return None
    if match["f"] in ("24/7", "9/11", "50/50"):
        return Pieces(match).say((*say.cardinal(top), *say.cardinal(bottom)))
    whole = match["n"]
    words = say.fraction(top, bottom)
    if whole:
        words = (*say.cardinal(whole), "and", *(("a", *words[1:]) if words[0] == "one" else words))
    return _add_unit(Pieces(match).say(words, "n", "f"), match, "1/2")


def _version(match: re.Match[str]) -> list[Piece]:
    return Pieces(match).say(_dotted(match[0]))


def _is_year(text: str) -> bool:
    return len(text) == 4 and text.isdigit() and 1000 <= int(text) <= 2099


def _number(text: str) -> tuple[str, ...]:
    return say.year(text) if _is_year(text) else say.decimal(text)


def _plain_number(match: re.Match[str]) -> list[Piece]:
    number = match["n"]
    sign: tuple[str, ...] = {"-": ("minus",), "+": ("plus",)}.get(match["sign"] or "", ())
    words = say.decimal(number) if match["unit"] or "," in number else _number(number)
    pieces = Pieces(match).say((*sign, *words), "sign", "n")
    return _add_unit(pieces, match, number)


def _add_unit(pieces: Pieces, match: re.Match[str], number: str) -> list[Piece]:
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
    pieces = Pieces(match)
    for part in re.findall(r"[0-9]{3}0s(?![a-z])|[A-Za-z]+|[0-9]+(?:\.[0-9]+)*", match[0]):
        if part.endswith("0s"):
            pieces.say(say.decade(part[:-1]))
        elif part.isdigit():
            pieces.say(_number(part))
        elif part[0].isdigit():
            pieces.say(_dotted(part))
        elif len(part) <= 2 or (part.isupper() and len(part) <= 3):
            pieces.say(part, kind="letters")
        else:
            pieces.say(part)
    return pieces


def _dotted(text: str) -> tuple[str, ...]:
    words: tuple[str, ...] = ()
    for index, part in enumerate(text.split(".")):
        words += (("point",) if index else ()) + say.cardinal(part)
    return words


def rules_for_figures() -> tuple[tuple[str, Rule], ...]:
    """(pattern, rule) in the order in which they are tried."""
    unit = rf"(?P<unit>\s?(?:{_UNIT}){END})?"
    half = rf"(?:\s?(?P<half>{_HALF_DAY}))"
    day = r"(?P<day>(?P<d>[0-9]{1,2})(?:st|nd|rd|th)?)"
    month = rf"(?P<m>(?i:{_MONTH})\b\.?)"
    scale = rf"(?P<scale>\s?(?:{_SCALE}){END})?"
    return (
        (r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})(?![0-9-])", _iso_date),
        (rf"(?P<clock>(?P<h>[0-9]{{1,2}})\.(?P<m>[0-9]{{2}})(?P<s>(?!))?){half}", _time),
        (r"([0-9]{1,2})[/.]([0-9]{1,2})[/.]([0-9]{4}|[0-9]{2})(?![0-9])", _slashed_date),
        (rf"{day}\s+(?:(?P<of>of)\s+)?{month}", _day_month),
        (rf"{month}\s+{day}(?![0-9:.,/%]*[0-9%])(?!\s?(?:{_UNIT}){END})", _month_day),
        (rf"{month}\s+(?=[0-9]{{4}}(?![0-9]))", _month_year),
        (
            r"(?P<clock>(?P<h>[0-9]{1,2}):(?P<m>[0-9]{2})(?::(?P<s>[0-9]{2}))?)(?![0-9:])"
            rf"{half}?",
            _time,
        ),
        (rf"(?P<h>[0-9]{{1,2}}){half}", _hour),
        (
            rf"(?P<sign>US\$|[{_SIGNS}]|(?:{_CODES})(?=\s?[0-9]))\s?(?P<n>{NUM}){scale}",
            _money,
        ),
        (
            rf"(?P<n>{NUM}|[0-9]+,[0-9]{{2}}){scale}\s?(?P<sign>[€£₹]|(?:{_CODES})\b)(?!\s?[0-9])",
            _money,
        ),
        (r"(?P<n>[0-9]{1,2})(?P<small>[¢cp])(?![\w])", _small_money),
        (r"(?P<small>¢)(?P<n>[0-9]+)", _small_money),
        (r"'?([0-9]{4}|[2-9]0)'?s\b", _decade),
        (r"([0-9][0-9,]*)(?:st|nd|rd|th)\b", _ordinal),
        *_telephones(),
        (r"([0-9]{4})\s?[-–—]\s?([0-9]{4}|[0-9]{2})(?![0-9])", _year_range),
        (rf"({NUM})[-–—]({NUM})(?![0-9]){unit}", _range),
        (r"(?<=[0-9mM])[-–—](?=[" + _SIGNS + r"]?[0-9])", _until),
        (rf"(?:(?P<n>[0-9]+)\s?)?(?P<f>[½¼¾⅓⅔⅛]){unit}", _mixed_fraction),
        (
            r"(?:(?P<n>[0-9]+)\s)?(?P<f>[0-9]{1,4}/[0-9]{1,4})(?:ths?|rds?|nds?)?(?![0-9/])"
            rf"{unit}",
            _mixed_fraction,
        ),
        (
            r"(?P<ft>[0-9]+)(?P<mark>'|\s?ft(?=\s?[0-9]+\s?in\b))"
            r"(?:\s?(?P<in>[0-9]{1,2})(?P<quote>\"|\s?in\b\.?)?)?(?!\w)",
            _feet_and_inches,
        ),
        (
            r"(?P<ft>(?!))?(?P<mark>(?!))?(?P<in>[0-9]+(?:\.[0-9]+)?)(?P<quote>\")(?=\s+[a-z])",
            _feet_and_inches,
        ),
        (r"[0-9]+(?:\.[0-9]+){2,}", _version),
        (rf"({NUM})\^([0-9]+)", _power),
        (rf"(?P<sign>(?<![\w.])[-+])?(?P<n>{NUM}){unit}(?![A-Za-z0-9])", _plain_number),
        (r"(?<![0-9])(?P<sign>)(?P<n>\.[0-9]+)(?P<unit>)", _plain_number),
        (
            r"(?=[A-Za-z-]*[0-9])(?=[0-9-]*[A-Za-z])[A-Za-z0-9]+(?:\.[0-9]+)*"
            r"(?:-[A-Za-z0-9]+)*",
            _letters_and_digits,
        ),
        (rf"(?P<sign>)(?P<n>{NUM})(?P<unit>)", _plain_number),
        (r"[Ⅰ-ⅿ]", _numeral),
    )


def _telephones() -> tuple[tuple[str, Rule], ...]:
    """North American numbers, international ones with +, and groups that begin with 0."""
    group = r"[ .-]?\(?[0-9]{2,5}\)?"
    return (
        (
            r"(?:\+?1[ -])?\(?[0-9]{3}\)?[ -][0-9]{3}-[0-9]{4}(?![0-9])"
            r"|[0-9]{3}-[0-9]{4}(?![0-9])",
            _telephone,
        ),
        (rf"\+[0-9]{{1,3}}(?:{group}){{2,5}}(?![0-9])", _telephone),
        (r"\(?0[0-9]{1,4}\)?(?:[ -][0-9]{2,5}){1,4}(?![0-9])", _telephone),
    )
