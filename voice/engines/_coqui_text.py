"""What a coqui-tts model reads: its characters for a script, and which word each one says.

A checkpoint reads one of three alphabets, which its configuration tells:

* "misaki", the phonemes of `align.text` themselves: every model trained here. The
  configuration says ``phonemizer: "misaki"`` and ``use_phonemes: false``, so that coqui-tts takes
  the texts as they are and needs no espeak;
* "ipa", plain IPA as espeak writes it: published models with ``use_phonemes: true``. Ours are
  spelt out in it (A is eɪ, ʤ is dʒ);
* "graphemes", letters as written, lower case where its cleaner makes them so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from align.text import Script

__all__ = ["MISAKI_LETTERS", "MISAKI_PUNCTUATION", "Reading", "alphabet_of", "reading"]

MISAKI_LETTERS = (
    "AIOQSTWYabcdefghijklmnopqrstuvwxyzæçðøŋœɐɑɒɔɕɖəɚɛɜɟɡɣɤɥɨɪɯɰɲɳɴɸɹɻɽɾʁʂʃʈʊʋʌʎʒʔʝʣʤʥʦʧʨꭧβθχᵊᵻˈˌː"
)
"""What `align.text` may write, in the order of the tokens of models trained here."""
MISAKI_PUNCTUATION = ';:,.!?—…"()“” '
_MARKER = "phonemizer"
# misaki's own letters as espeak's IPA has them.
_IPA = {
    "A": "eɪ",
    "I": "aɪ",
    "O": "oʊ",
    "Q": "əʊ",
    "W": "aʊ",
    "Y": "ɔɪ",
    "T": "ɾ",
    "S": "ʃ",
    "ʤ": "dʒ",
    "ʧ": "tʃ",
    "ʦ": "ts",
    "ʣ": "dz",
    "ᵊ": "ə",
    "ɐ": "ə",
    "—": "-",
    "…": ".",
    "“": '"',
    "”": '"',
}
_KEEPS_CASE = frozenset({"phoneme_cleaners", "multilingual_phoneme_cleaners", "no_cleaners"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A script as a model reads it.

    `owner` has, for each of `characters`, the index of the character of `Script.kokoro` that it
    says. With `by_word` the letters of a word all name its first one, because letters do not
    tell which sound they stand for.
    """

    characters: str
    owner: tuple[int, ...]
    by_word: bool = False


def alphabet_of(config: Mapping[str, Any]) -> str:
    """Which of the three alphabets a model with this config.json reads."""
    if config.get(_MARKER) in ("misaki", "ipa") and not config.get("use_phonemes"):
        return str(config[_MARKER])
    return "ipa" if config.get("use_phonemes") else "graphemes"


def lowers(config: Mapping[str, Any]) -> bool:
    """Whether a model with this config.json never sees capitals."""
    cleaner = config.get("text_cleaner")
    if cleaner is not None and cleaner not in _KEEPS_CASE:
        return True
    characters = config.get("characters") or {}
    return not any(c.isupper() for c in str(characters.get("characters") or "A"))


def reading(script: Script, config: Mapping[str, Any]) -> Reading:
    """`script` in the characters of the model with this config.json."""
    alphabet = alphabet_of(config)
    if alphabet == "graphemes":
        return _letters(script, lowers(config))
    characters: list[str] = []
    owner: list[int] = []
    for index, char in enumerate(script.kokoro):
        said = _IPA.get(char, char) if alphabet == "ipa" else char
        characters.append(said)
        owner += [index] * len(said)
    return Reading("".join(characters), tuple(owner))


def _letters(script: Script, lower: bool) -> Reading:
    """The spoken words ("nineteen sixty three") with the script's own punctuation."""
    characters: list[str] = []
    owner: list[int] = []
    last = -1
    for index, (char, word) in enumerate(zip(script.kokoro, script.word_of, strict=True)):
        if word >= 0 and word == last:
            continue
        said = char if word < 0 else script.words[word].spoken
        said = said.lower() if lower else said
        said = said if word >= 0 else _IPA.get(said, said)
        characters.append(said)
        owner += [index] * len(said)
        last = word
    return Reading("".join(characters), tuple(owner), by_word=True)
