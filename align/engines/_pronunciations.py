"""How each word of a script may be said: the script's own phones and the CMU dictionary's.

The dictionary is the one inside the pocketsphinx package (BSD, 134,000 words, no stress).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from align._weights import model_folder
from align.phones import without_stress

if TYPE_CHECKING:
    from align.text import Script

__all__ = ["pronunciations"]


@cache
def _dictionary() -> dict[str, tuple[str, ...]]:
    """word -> its CMU pronunciations (phones joined by spaces)."""
    path = model_folder() / "cmudict-en-us.dict"
    entries: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, phones = line.partition(" ")
        entries.setdefault(word.split("(")[0], []).append(phones.strip())
    return {word: tuple(variants) for word, variants in entries.items()}


def pronunciations(script: Script) -> list[tuple[str, ...]]:
    """For every word its pronunciations, phones joined by spaces, the script's own first.

    A word of the user's lexicon is said as that has it and no other way.
    """
    known = _dictionary()
    found = []
    for word in script.words:
        own = " ".join(map(without_stress, word.phones))
        others = () if word.given else known.get(word.spoken.lower(), ())
        found.append(tuple(dict.fromkeys((own, *others))))
    return found
