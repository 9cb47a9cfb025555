"""How a line is to be played, written into the line itself.

    We *chose* to go.                      stress on a word
    We chose [pause 0.4] to go.            silence, in seconds
    [speed 0.8] We chose to go. [speed 1] And we went.
    The word is tomato{T AH0 M AA1 T OW0}.      a pronunciation, for this place alone

`parse_directions` takes the marks out and keeps where they stood; `direct` ties them to the
words of a `Script`. A lexicon (`align.lexicon`) gives pronunciations for every place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from align.phones import kokoro_to_arpabet, parse_pronunciation
from align.text import Script, speakable
from media.errors import TextError
from voice.prosody import PAUSES, PLAIN, WordWishes

__all__ = ["Directions", "direct", "parse_directions", "with_pauses"]

_MARK = re.compile(
    r"(?P<stress>(?<![\w*])\*(?=\S)(?P<words>[^*\n]*?\S)\*(?![\w*]))"
    r"|(?P<said>(?<=\w)\{(?P<phones>[^{}\n]*)\})"
    r"|(?P<order>\[(?P<what>[^\[\]\n]*)\])"
)
_ORDER = re.compile(r"^\s*(?P<name>pause|speed)\s+(?P<value>\d+(?:\.\d+)?|\.\d+)\s*s?\s*$", re.I)
_LONGEST_PAUSE_S = 20.0
_SLOWEST, _FASTEST = 0.4, 2.5
_PRIMARY, _SECONDARY = "ˈ", "ˌ"
_VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻɐ")


@dataclass(frozen=True, slots=True)
class Directions:
    """A line without its marks, and what they ask for.

    Places are characters of `text`: `stressed` and `said` are spans, `pauses` (place, seconds),
    `paces` (from where, speed).
    """

    text: str
    stressed: tuple[tuple[int, int], ...] = ()
    said: tuple[tuple[int, int, str], ...] = ()
    pauses: tuple[tuple[int, float], ...] = ()
    paces: tuple[tuple[int, float], ...] = ()


def parse_directions(marked: str) -> Directions:
    """Read the marks of a line.

    Raises `TextError` for something in square brackets that is no direction, an impossible
    value, or a pronunciation that cannot be read.
    """
    plain: list[str] = []
    stressed: list[tuple[int, int]] = []
    said: list[tuple[int, int, str]] = []
    orders: dict[str, list[tuple[int, float]]] = {"pause": [], "speed": []}
    at = 0

    def keep(text: str) -> int:
        if not plain or plain[-1].endswith((" ", "\n")) or not "".join(plain):
            text = text.lstrip(" ")  # where a mark stood alone one space is enough
        if text:
            plain.append(text)
        return sum(map(len, plain))

    for match in _MARK.finditer(marked):
        here = keep(marked[at : match.start()])
        at = match.end()
        if match["stress"]:
            inside = parse_directions(match["words"])
            end = keep(inside.text)
            stressed.append((here, end))
            said += [(here + a, here + b, ipa) for a, b, ipa in inside.said]
        elif match["said"]:
            start = here - len(re.search(r"[\w'’-]+$", "".join(plain))[0])  # type: ignore[index]
            said.append((start, here, parse_pronunciation(match["phones"])))
        else:
            name, value = _order(match["order"], match["what"])
            orders[name].append((here, value))
    keep(marked[at:])
    return Directions(
        "".join(plain).rstrip(" ") if at else marked,
        tuple(stressed),
        tuple(said),
        tuple(orders["pause"]),
        tuple(orders["speed"]),
    )


def _order(whole: str, what: str) -> tuple[str, float]:
    match = _ORDER.match(what)
    if match is None:
        raise TextError(
            f"'{whole}' is not a direction; write [pause 0.4] or [speed 0.8], or take the "
            "brackets away"
        )
    name, value = match["name"].lower(), float(match["value"])
    if name == "pause" and not 0 < value <= _LONGEST_PAUSE_S:
        raise TextError(f"{whole} is not possible; a pause lasts up to {_LONGEST_PAUSE_S:.0f} s")
    if name == "speed" and not _SLOWEST <= value <= _FASTEST:
        raise TextError(f"{whole} cannot be spoken; choose a speed of {_SLOWEST} to {_FASTEST}")
    return name, value


def direct(marked: str, lexicon: Mapping[str, str] | None = None) -> tuple[Script, WordWishes]:
    """The script of a marked line, and its directions tied to the script's words.

    Raises `TextError` when there is nothing to speak or a mark cannot be read.
    """
    asked = parse_directions(marked)
    script = speakable(asked.text, lexicon)  # its `text` is the line without marks
    if asked == Directions(asked.text):
        return script, PLAIN
    script = _pronounced(script, asked.said)
    stressed = frozenset(
        i
        for i, word in enumerate(script.words)
        for a, b in asked.stressed
        if word.start_char < b and word.end_char > a
    )
    script = _stressed(script, stressed)
    pauses: dict[int, float] = {}
    for place, seconds in asked.pauses:
        word = _word_at(script, place)
        pauses[word] = pauses.get(word, 0.0) + seconds
    paces = {_word_at(script, place): speed for place, speed in asked.paces}
    script = with_pauses(script, [w for w in pauses if 0 < w < len(script.words)])
    return script, WordWishes(stressed, tuple(sorted(pauses.items())), tuple(sorted(paces.items())))


def _word_at(script: Script, place: int) -> int:
    """The first word that begins at or after a character; the number of words at the end."""
    starts = (i for i, word in enumerate(script.words) if word.start_char >= place)
    return next(starts, len(script.words))


def _parts(script: Script) -> tuple[list[str], list[str]]:
    """(what stands before each word and after the last, the words' phonemes)."""
    between, words = [""], [""] * len(script.words)
    for char, owner in zip(script.kokoro, script.word_of, strict=True):
        if owner < 0:
            between[-1] += char
        else:
            if not words[owner]:
                between.append("")
            words[owner] += char
    return between, words


def _rebuilt(script: Script, between: list[str], words: list[str]) -> Script:
    """The script with other phonemes and other marks between its words."""
    kokoro, owner = between[0], [-1] * len(between[0])
    for i, ipa in enumerate(words):
        kokoro += ipa + between[i + 1]
        owner += [i] * len(ipa) + [-1] * len(between[i + 1])
    spoken = tuple(
        word if word.ipa == ipa else replace(word, ipa=ipa, phones=kokoro_to_arpabet(ipa))
        for word, ipa in zip(script.words, words, strict=True)
    )
    return replace(script, words=spoken, kokoro=kokoro, word_of=tuple(owner))


def _pronounced(script: Script, said: tuple[tuple[int, int, str], ...]) -> Script:
    """Words said as written into the line; a token of several spoken words becomes one."""
    for start, end, ipa in said:
        inside = [
            i for i, w in enumerate(script.words) if w.start_char < end and w.end_char > start
        ]
        if not inside:
            continue
        between, words = _parts(script)
        first, last = inside[0], inside[-1]
        words[first : last + 1] = [ipa]
        between[first + 1 : last + 2] = [between[last + 1]]
        whole = replace(
            script.words[first],
            ipa=ipa,
            phones=kokoro_to_arpabet(ipa),
            end_char=script.words[last].end_char,
        )
        kept = (*script.words[:first], whole, *script.words[last + 1 :])
        script = _rebuilt(replace(script, words=kept), between, words)
    return script


def _stressed(script: Script, stressed: frozenset[int]) -> Script:
    """A main stress in every stressed word; "the" and "a" get one too."""
    if not stressed:
        return script
    between, words = _parts(script)
    for i in stressed:
        ipa = words[i]
        if _PRIMARY in ipa:
            continue
        if _SECONDARY in ipa:
            words[i] = ipa.replace(_SECONDARY, _PRIMARY, 1)
        else:
            at = next((k for k, c in enumerate(ipa) if c in _VOWELS), 0)
            words[i] = ipa[:at] + _PRIMARY + ipa[at:]
    return _rebuilt(script, between, words)


def with_pauses(script: Script, before: list[int]) -> Script:
    """A comma before each of these words where no punctuation stands already."""
    between, words = _parts(script)
    for i in before:
        if not any(c in PAUSES for c in between[i]):
            between[i] = "," + (between[i] or " ")
    return _rebuilt(script, between, words)
