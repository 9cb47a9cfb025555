"""Two phone alphabets and the way between them: misaki (what Kokoro reads) and ARPAbet.

misaki writes American English with one letter per sound, diphthongs and affricates
included (A = EY, I = AY, O = OW, W = AW, Y = OY, ʤ, ʧ), marks stress just before the
vowel, and writes ER as two letters, ɜɹ or əɹ. ARPAbet is the alphabet of the CMU
dictionary: 39 phones, vowels carry a stress digit.

`phone_ranges` says which characters of a misaki string belong to which ARPAbet phone, so
that the durations a synthesiser gives to characters can be summed per phone: a stress
mark belongs to the phone after it, a length mark to the one before it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from media.errors import TextError

__all__ = [
    "ARPABET",
    "CONSONANTS",
    "VOWELS",
    "PhoneRange",
    "arpabet_to_kokoro",
    "ipa_to_arpabet",
    "kokoro_to_arpabet",
    "parse_pronunciation",
    "phone_ranges",
    "without_stress",
]

_VOWELS_TEXT = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
VOWELS = frozenset(_VOWELS_TEXT.split())
_CONSONANTS_TEXT = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
CONSONANTS = frozenset(_CONSONANTS_TEXT.split())
ARPABET = VOWELS | CONSONANTS

_STRESS = {"ˈ": "1", "ˌ": "2"}
# Every letter of Kokoro's vocabulary that stands for a sound, British and foreign ones as
# the nearest American phone, so that a pronunciation typed by a user is never lost.
_LETTERS = {
    "A": "EY",
    "I": "AY",
    "O": "OW",
    "Q": "OW",
    "W": "AW",
    "Y": "OY",
    "T": "T",
    "S": "SH",
    "a": "AA",
    "b": "B",
    "c": "K",
    "d": "D",
    "e": "EH",
    "f": "F",
    "h": "HH",
    "i": "IY",
    "j": "Y",
    "k": "K",
    "l": "L",
    "m": "M",
    "n": "N",
    "o": "OW",
    "p": "P",
    "q": "K",
    "r": "R",
    "s": "S",
    "t": "T",
    "u": "UW",
    "v": "V",
    "w": "W",
    "x": "K",
    "y": "UW",
    "z": "Z",
    "æ": "AE",
    "ç": "HH",
    "ð": "DH",
    "ø": "ER",
    "ŋ": "NG",
    "œ": "ER",
    "ɐ": "AH",
    "ɑ": "AA",
    "ɒ": "AA",
    "ɔ": "AO",
    "ɕ": "SH",
    "ɖ": "D",
    "ə": "AH",
    "ɚ": "ER",
    "ɛ": "EH",
    "ɜ": "ER",
    "ɟ": "JH",
    "ɡ": "G",
    "g": "G",
    "ɣ": "G",
    "ɤ": "AH",
    "ɥ": "W",
    "ɨ": "IH",
    "ɪ": "IH",
    "ɯ": "UW",
    "ɰ": "W",
    "ɲ": "N",
    "ɳ": "N",
    "ɴ": "NG",
    "ɸ": "F",
    "ɹ": "R",
    "ɻ": "R",
    "ɽ": "R",
    "ɾ": "T",
    "ʁ": "R",
    "ʂ": "SH",
    "ʃ": "SH",
    "ʈ": "T",
    "ʊ": "UH",
    "ʋ": "V",
    "ʌ": "AH",
    "ʎ": "L",
    "ʒ": "ZH",
    "ʔ": "T",
    "ʝ": "Y",
    "ʣ": "Z",
    "ʤ": "JH",
    "ʥ": "JH",
    "ʦ": "T",
    "ʧ": "CH",
    "ʨ": "CH",
    "ꭧ": "CH",
    "β": "V",
    "θ": "TH",
    "χ": "K",
    "ᵊ": "AH",
    "ᵻ": "IH",
}
# One letter that English hears as two phones (foreign affricates).
_BEFORE_R = frozenset("ɜəᵊɚ")

_KOKORO = {
    "AA": "ɑ",
    "AE": "æ",
    "AH": "ʌ",
    "AO": "ɔ",
    "AW": "W",
    "AY": "I",
    "B": "b",
    "CH": "ʧ",
    "D": "d",
    "DH": "ð",
    "EH": "ɛ",
    "ER": "ɜɹ",
    "EY": "A",
    "F": "f",
    "G": "ɡ",
    "HH": "h",
    "IH": "ɪ",
    "IY": "i",
    "JH": "ʤ",
    "K": "k",
    "L": "l",
    "M": "m",
    "N": "n",
    "NG": "ŋ",
    "OW": "O",
    "OY": "Y",
    "P": "p",
    "R": "ɹ",
    "S": "s",
    "SH": "ʃ",
    "T": "t",
    "TH": "θ",
    "UH": "ʊ",
    "UW": "u",
    "V": "v",
    "W": "w",
    "Y": "j",
    "Z": "z",
    "ZH": "ʒ",
}
_ARPABET_TOKEN = re.compile(r"^([A-Z]{1,2})([012]?)$")
# Common IPA that misaki writes with one letter of its own; longest first.
_IPA_TO_MISAKI = (
    ("d͡ʒ", "ʤ"),
    ("t͡ʃ", "ʧ"),
    ("dʒ", "ʤ"),
    ("tʃ", "ʧ"),
    ("eɪ", "A"),
    ("aɪ", "I"),
    ("aʊ", "W"),
    ("ɔɪ", "Y"),
    ("oʊ", "O"),
    ("əʊ", "O"),
    ("ɝ", "ɜɹ"),
    ("ɚ", "əɹ"),
    ("g", "ɡ"),
    ("r", "ɹ"),
    ("ː", ""),
    (".", ""),
    ("͡", ""),
    # Sounds of other languages that Kokoro does not know, as the nearest that it does.
    *zip("ɫɭɬɮɺʟ", "llllll", strict=True),
    *zip("ʀʕ", "ʁʁ", strict=True),
    *zip("ɘɵʉɞʏ", "əʊuɜy", strict=True),
    *zip("ɓɗɠʙ", "bdɡb", strict=True),
    *zip("ɱʍⱱħɦɧ", "mwvhhʃ", strict=True),
    *zip("ʑʐɶ", "ʒʒa", strict=True),
)
# How MFA's English model writes diphthongs; as whole labels only.
_WHOLE_LABELS = {"aj": "AY", "aw": "AW", "ej": "EY", "ow": "OW", "ɔj": "OY", "əw": "OW"}


class PhoneRange(NamedTuple):
    """An ARPAbet phone (vowels with stress digit) and its characters [start, end)."""

    phone: str
    start: int
    end: int


def without_stress(phone: str) -> str:
    """AH0 -> AH."""
    return phone.rstrip("012")


def _is_er(ipa: str, at: int) -> bool:
    """Whether the vowel letter at `at` and the ɹ after it are one ER.

    ɜɹ always; əɹ unless the ɹ opens a stressed syllable (around: AH R AW).
    """
    if ipa[at] not in _BEFORE_R or ipa[at + 1 : at + 2] != "ɹ":
        return False
    return ipa[at] == "ɜ" or ipa[at + 2 : at + 3] not in ("ˈ", "ˌ")


def phone_ranges(ipa: str) -> tuple[PhoneRange, ...]:
    """Cut one misaki word into ARPAbet phones with the characters each one owns.

    The ranges cover the string without gaps, so durations of characters can be summed;
    empty when no character stands for a sound.
    """
    found: list[list[object]] = []
    stress, mark_from, i = "0", None, 0
    while i < len(ipa):
        char = ipa[i]
        if char in _STRESS:
            stress = _STRESS[char]
            mark_from = i if mark_from is None else mark_from
            i += 1
            continue
        phone = _LETTERS.get(char)
        if phone is None:  # length marks, tones, spaces: with the phone before
            i += 1
            if found and mark_from is None:
                found[-1][2] = i
            continue
        end = i + 1
        if _is_er(ipa, i):
            phone, end = "ER", i + 2
        if phone in VOWELS:
            phone, stress = phone + stress, "0"
        start = i if mark_from is None else mark_from
        found.append([phone, start, end])
        mark_from, i = None, end
    return _without_gaps(found, len(ipa))


def _without_gaps(found: list[list[object]], length: int) -> tuple[PhoneRange, ...]:
    """Stretch ranges so that every character has an owner."""
    ranges: list[PhoneRange] = []
    for index, (phone, _, _) in enumerate(found):
        start = 0 if index == 0 else ranges[-1].end
        last = index + 1 == len(found)
        end = length if last else int(str(found[index + 1][1]))
        ranges.append(PhoneRange(str(phone), start, end))
    return tuple(ranges)


def kokoro_to_arpabet(ipa: str) -> tuple[str, ...]:
    """misaki/Kokoro phonemes of one word -> ARPAbet, vowels with stress digits."""
    return tuple(r.phone for r in phone_ranges(ipa))


def arpabet_to_kokoro(phones: tuple[str, ...] | list[str]) -> str:
    """ARPAbet (stress digits optional) -> misaki, stress marks before the vowels.

    Raises `TextError` for anything that is not an ARPAbet phone.
    """
    letters: list[str] = []
    for phone in phones:
        match = _ARPABET_TOKEN.match(phone)
        if match is None or match[1] not in ARPABET:
            raise TextError(f"'{phone}' is not an ARPAbet phone; write for example K AE1 T")
        base, digit = match[1], match[2]
        letter = _KOKORO[base]
        if base in ("AH", "ER") and digit in ("0", ""):
            letter = "ə" if base == "AH" else "əɹ"
        letters.append({"1": "ˈ", "2": "ˌ"}.get(digit, "") + letter)
    return "".join(letters)


def parse_pronunciation(written: str) -> str:
    """A pronunciation as a user writes it -> misaki.

    ARPAbet with spaces ("K AE1 T"), misaki ("kˈæt") or plain IPA ("ˈkæt"). Raises
    `TextError` when it is none of them.
    """
    tokens = written.split()
    if tokens and all(
        (m := _ARPABET_TOKEN.match(t)) is not None and m[1] in ARPABET for t in tokens
    ):
        return arpabet_to_kokoro(tokens)
    ipa = written.strip().strip("/[]").replace(" ", "").replace("'", "ˈ")
    for long, short in _IPA_TO_MISAKI:
        ipa = ipa.replace(long, short)
    unknown = [c for c in ipa if c not in _LETTERS and c not in _STRESS]
    if unknown or not phone_ranges(ipa):
        raise TextError(
            f"'{written}' is not a pronunciation; write ARPAbet like 'K AE1 T' or IPA like 'kˈæt'"
        )
    return _stress_to_vowel(ipa)


def ipa_to_arpabet(phone: str) -> str | None:
    """The nearest ARPAbet phone, without stress, of one IPA label; None for anything else.

    Digraphs ("tʃ", "eɪ", "d͡ʒ"), length, nasality, aspiration and tone marks are understood.
    """
    if phone in _WHOLE_LABELS:
        return _WHOLE_LABELS[phone]
    ipa = unicodedata.normalize("NFD", phone.strip("/[] "))
    ipa = unicodedata.normalize("NFC", ipa.replace("\u0303", ""))
    for long, short in _IPA_TO_MISAKI:
        ipa = ipa.replace(long, short)
    kept = "".join(c for c in ipa if c in _LETTERS or unicodedata.category(c) not in ("Mn", "Lm"))
    if not kept or any(c not in _LETTERS and c not in _STRESS for c in kept):
        return None
    found = phone_ranges(kept)
    return without_stress(found[0].phone) if found else None


def _stress_to_vowel(ipa: str) -> str:
    """Move each stress mark from before the onset (IPA) to before the vowel (misaki)."""
    moved: list[str] = []
    pending = ""
    for char in ipa:
        if char in _STRESS:
            pending = char
        elif pending and _LETTERS[char] in VOWELS:
            moved += [pending, char]
            pending = ""
        else:
            moved.append(char)
    return "".join(moved)
