"""Numbers as English words: cardinals, ordinals, years, decimals, digits.

American reading ("three thousand two hundred", no "and"), because the voices are
American. Every function returns a tuple of lower-case words; hyphenless, so that each
word can be looked up and timed by itself.
"""

from __future__ import annotations

__all__ = [
    "cardinal",
    "decade",
    "decimal",
    "digits",
    "fraction",
    "ordinal",
    "year",
]

_ONES_TEXT = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_ONES = _ONES_TEXT.split()
_TENS_TEXT = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = _TENS_TEXT.split()
_SCALES = ("", "thousand", "million", "billion", "trillion", "quadrillion")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_LONGEST = 3 * len(_SCALES)


def _below_thousand(value: int) -> list[str]:
    words: list[str] = []
    hundreds, rest = divmod(value, 100)
    if hundreds:
        words += [_ONES[hundreds], "hundred"]
    if rest >= 20:
        tens, ones = divmod(rest, 10)
        words.append(_TENS[tens])
        if ones:
            words.append(_ONES[ones])
    elif rest:
        words.append(_ONES[rest])
    return words


def digits(text: str) -> tuple[str, ...]:
    """Digit by digit: "007" is zero zero seven. Anything but 0-9 is skipped."""
    return tuple(_ONES[int(c)] for c in text if c in "0123456789")


def cardinal(text: str) -> tuple[str, ...]:
    """A whole number, thousands separators allowed: "3,200" is three thousand two hundred.

    Leading zeros and numbers beyond quadrillions are read digit by digit.
    """
    plain = text.replace(",", "")
    if len(plain) > _LONGEST or (len(plain) > 1 and plain[0] == "0"):
        return digits(plain)
    value = int(plain)
    if value == 0:
        return ("zero",)
    groups: list[int] = []
    while value:
        value, group = divmod(value, 1000)
        groups.append(group)
    words: list[str] = []
    for power in range(len(groups) - 1, -1, -1):
        if groups[power]:
            words += _below_thousand(groups[power])
            if power:
                words.append(_SCALES[power])
    return tuple(words)


def ordinal(text: str) -> tuple[str, ...]:
    """ "21" is twenty first; digit-by-digit numbers keep their last digit as an ordinal."""
    *head, last = cardinal(text)
    if last in _ORDINALS:
        last = _ORDINALS[last]
    else:
        last = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return (*head, last)


def decimal(text: str) -> tuple[str, ...]:
    """ "3.14" is three point one four; without a point the same as `cardinal`."""
    whole, dot, part = text.partition(".")
    if not dot:
        return cardinal(whole)
    return (*(cardinal(whole) if whole else ("zero",)), "point", *digits(part))


def year(text: str) -> tuple[str, ...]:
    """Four digits as a year: 1963 nineteen sixty three, 1905 nineteen oh five, 2004 two thousand
    four, 1900 nineteen hundred. Anything else as a cardinal.
    """
    if len(text) != 4 or text[0] == "0":
        return cardinal(text)
    high, low = int(text[:2]), int(text[2:])
    if high % 10 == 0 and low < 10:
        return cardinal(text)
    head = tuple(_below_thousand(high))
    if low == 0:
        return (*head, "hundred")
    if low < 10:
        return (*head, "oh", _ONES[low])
    return (*head, *_below_thousand(low))


def decade(text: str) -> tuple[str, ...]:
    """ "1960" (from "1960s") is nineteen sixties, "60" is sixties."""
    words = year(text) if len(text) == 4 else cardinal(text)
    *head, last = words
    if last.endswith("y"):
        return (*head, last[:-1] + "ies")
    return (*head, last + ("es" if last.endswith("x") else "s"))


def fraction(top: str, bottom: str) -> tuple[str, ...]:
    """Three quarters for 3/4, one half for 1/2; beyond twentieths seven over ninety nine."""
    below = int(bottom)
    many = int(top) != 1
    if below == 2:
        name: tuple[str, ...] = ("halves" if many else "half",)
    elif below == 4:
        name = ("quarters" if many else "quarter",)
    elif 3 <= below <= 20:
        (word,) = ordinal(str(below))
        name = (word + "s" if many else word,)
    else:
        return (*cardinal(top), "over", *cardinal(bottom))
    return (*cardinal(top), *name)
