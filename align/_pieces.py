"""The parts that the rules of written English share: pieces, and patterns of words and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["END", "NUM", "WORD", "Piece", "Pieces", "Rule", "before", "close"]

NUM = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
_LETTER = r"(?:[^\W\d_½¼¾⅓⅔⅛][\u0300-\u036f]*)"
WORD = rf"{_LETTER}+(?:['-]{_LETTER}+)*"
END = r"(?![\w])"


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


class Pieces(list[Piece]):
    """Collects the pieces of one match; groups give the written span."""

    def __init__(self, match: re.Match[str]) -> None:
        super().__init__()
        self._match = match

    def say(self, words: tuple[str, ...] | str, *groups: int | str, kind: str = "word") -> Pieces:
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


Rule = Callable[[re.Match[str]], "list[Piece] | None"]


def before(match: re.Match[str]) -> str:
    """The word before the match, "" at the start or after punctuation."""
    found = re.search(rf"({WORD})\s+$", match.string[max(0, match.start() - 40) : match.start()])
    return found[1] if found else ""


def close(pieces: Pieces, match: re.Match[str]) -> list[Piece]:
    """Add the full stop that an abbreviation at the end of the text has swallowed."""
    if match[0].endswith(".") and not match.string[match.end() :].strip(" \t\r\n\"'”’)"):
        pieces.append(Piece(".", match.end() - 1, match.end(), "punct"))
    return pieces
