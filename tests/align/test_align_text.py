"""Written text to spoken words and phones: known readings, and any text at all."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align.lexicon import read_lexicon
from align.numbers import cardinal, ordinal, year
from align.phones import (
    ARPABET,
    arpabet_to_kokoro,
    kokoro_to_arpabet,
    parse_pronunciation,
    phone_ranges,
    without_stress,
)
from align.text import Script, speakable
from media.errors import MediaError, TextError

READINGS = {
    "1963": "nineteen sixty three",
    "in 1905": "in nineteen oh five",
    "2004": "two thousand four",
    "the 1960s": "the nineteen sixties",
    "$3.50": "three dollars and fifty cents",
    "$1": "one dollar",
    "$0.99": "ninety nine cents",
    "£3,200": "three thousand two hundred pounds",
    "€1.2 million": "one point two million euros",
    "3 May 1961": "the third of May nineteen sixty one",
    "May 3, 1961": "May third nineteen sixty one",
    "5/3/1961": "five three nineteen sixty one",
    "1961-05-03": "May third nineteen sixty one",
    "1939–1945": "nineteen thirty nine to nineteen forty five",
    "1st, 22nd and 3rd": "first twenty second and third",
    "10:30": "ten thirty",
    "at 10:05 p.m.": "at ten oh five PM",
    "5 km": "five kilometers",
    "1 km": "one kilometer",
    "10%": "ten percent",
    "3/4": "three quarters",
    "2½ cups": "two and a half cups",
    "May½": "May one half",
    "3.14": "three point one four",
    "-5 °C": "minus five degrees Celsius",
    "5-10 minutes": "five to ten minutes",
    "007": "zero zero seven",
    "Dr. King": "doctor King",
    "St. Paul": "saint Paul",
    "Main St. is long": "Main street is long",
    "Mr. and Mrs. Jones, Jr.": "Mister and Missus Jones Junior",
    "cats, dogs, etc.": "cats dogs et cetera",
    "salt & pepper": "salt and pepper",
    "World War II": "World War two",
    "Henry VIII": "Henry the eighth",
    "J. F. Kennedy": "J F Kennedy",
    "the U.S. army": "the US army",
    "B-52": "B fifty two",
    "www.example.com": "www dot example dot com",
    "call 555-1234": "call five five five one two three four",
    "St. Paul. I saw": "saint Paul I saw",
    "café": "cafe",
    "well -- yes": "well yes",
    "Elizabeth II's reign": "Elizabeth the second's reign",
    "Rocky IV": "Rocky four",
    "+44 20 7946 0958": "plus four four two zero seven nine four six zero nine five eight",
    "call (415) 555-0132": "call four one five five five five zero one three two",
    "5€": "five euros",
    "3,50 €": "three euros and fifty cents",
    "CHF 20 and 5 million EUR": "twenty Swiss francs and five million euros",
    "50p": "fifty pence",
    "in 1080p": "in ten eighty p",
    "$5-$10": "five dollars to ten dollars",
    "9am-5pm": "nine AM to five PM",
    "12.30 pm": "twelve thirty PM",
    "5'10\"": "five foot ten",
    "6 ft 2 in": "six foot two",
    "3/8ths": "three eighths",
    ".5": "zero point five",
    "10^6": "ten to the power of six",
    "5^2": "five squared",
    "Mr Jones and Dr Smith": "Mister Jones and doctor Smith",
    "cats, e.g. lions": "cats for example lions",
    "in 1066": "in ten sixty six",
    "Jan 2020": "January twenty twenty",
    "9/11 and 24/7": "nine eleven and twenty four seven",
    "and/or": "and or",
    "$20/hour": "twenty dollars per hour",
    "w/o sugar": "without sugar",
    "mid-1960s": "mid nineteen sixties",
    "v2.0": "v two point zero",
    "±5": "plus or minus five",
    "Part Ⅷ": "Part eight",
    "example.org/about": "example dot org slash about",
    "anna.b@example.co.uk": "anna dot b at example dot co dot uk",
}


@pytest.mark.parametrize(("written", "spoken"), READINGS.items())
def test_readings(written: str, spoken: str) -> None:
    assert speakable(written).spoken == spoken


def check(script: Script) -> None:
    """What holds for every script."""
    assert len(script.word_of) == len(script.kokoro)
    at = 0
    for index, word in enumerate(script.words):
        assert word.phones
        assert {without_stress(p) for p in word.phones} <= ARPABET
        assert at <= word.start_char < word.end_char <= len(script.text)
        assert script.text[word.start_char : word.end_char] == word.written
        at = word.start_char
        own = "".join(c for c, w in zip(script.kokoro, script.word_of, strict=True) if w == index)
        assert own == word.ipa
    chars = script.phone_chars()
    assert tuple(c.phone for c in chars) == script.phones
    owned = [i for c in chars for i in range(c.start, c.end)]
    assert owned == [i for i, w in enumerate(script.word_of) if w >= 0]


def test_every_spoken_word_knows_its_written_one() -> None:
    text = "In 1963, it cost $3.50."
    script = speakable(text)
    check(script)
    years = [w for w in script.words if w.written == "1963"]
    assert [w.spoken for w in years] == ["nineteen", "sixty", "three"]
    written = [script.words[a].written for a, _ in script.written_words()]
    assert written == ["In", "1963", "it", "cost", "$3.50"]


def test_punctuation_reaches_the_voice_and_belongs_to_no_word() -> None:
    script = speakable('He said "go", and went...')
    check(script)
    assert script.kokoro.endswith("…")
    assert "“" in script.kokoro
    assert all(w == -1 for c, w in zip(script.kokoro, script.word_of, strict=True) if c in " ,…“”")


def test_acronyms_are_words_or_letters() -> None:
    assert speakable("NASA").words[0].phones == ("N", "AE1", "S", "AH0")
    letters = speakable("the FBI").words[1].phones
    assert [without_stress(p) for p in letters] == ["EH", "F", "B", "IY", "AY"]


def test_dropped_is_reported_and_the_rest_spoken() -> None:
    script = speakable("hello 🎉 Москва world")
    assert script.spoken == "hello world"
    assert script.dropped == ("🎉", "Москва")


@pytest.mark.parametrize("text", ["", "  \n", "🎉", "...", "Москва"])
def test_nothing_to_speak(text: str) -> None:
    with pytest.raises(TextError, match="nothing to speak"):
        speakable(text)


def test_user_lexicon_in_arpabet_and_ipa() -> None:
    script = speakable("The Nguyen apple", {"nguyen": "W IH1 N", "APPLE": "/ˈkʌtʃ/"})
    assert script.words[1].phones == ("W", "IH1", "N")
    assert script.words[2].phones == ("K", "AH1", "CH")
    assert script.words[0].phones == ("DH", "AH0")  # not "thee": Nguyen begins with W now
    with pytest.raises(TextError, match="not a pronunciation"):
        speakable("x", {"x": "!!"})


def test_lexicon_files(tmp_path: Path) -> None:
    toml = tmp_path / "names.toml"
    toml.write_text('Nguyen = "W IH1 N"\n[words]\nSiobhan = "/ʃɪˈvɔːn/"\n', "utf-8")
    plain = tmp_path / "names.dict"
    plain.write_text("# ours\nNguyen  W IH1 N\nNGUYEN(2) N UW1\nSiobhan\tʃɪˈvɔːn ;;; Irish\n")
    for path in (toml, plain):
        script = speakable("Siobhan met Nguyen's boss", read_lexicon(path))
        assert script.words[0].phones == ("SH", "IH0", "V", "AO1", "N")
        assert script.words[2].phones == ("W", "IH1", "N", "Z")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.toml", "Nguyen = 3", "a pronunciation is a text"),
        ("a.toml", "Nguyen = ", "is not TOML"),
        ("a.dict", "Nguyen W IH1 N\nBad 12", "line 2"),
        ("a.dict", "# nothing", "has no entry"),
        ("a.dict", "Nguyen", "line 1"),
    ],
)
def test_bad_lexicons_name_the_place(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(TextError, match=says):
        read_lexicon(tmp_path / name)
    with pytest.raises(MediaError, match="cannot read the lexicon"):
        read_lexicon(tmp_path / "none.dict")


def test_compound_keeps_one_written_token() -> None:
    script = speakable("a Zbrx-Kowalczykova line")
    middle = [w for w in script.words if w.written == "Zbrx-Kowalczykova"]
    assert len(middle) == 2


@pytest.mark.parametrize(
    ("ipa", "phones"),
    [
        ("dˈɑktəɹ", "D AA1 K T ER0"),
        ("əɹˈWnd", "AH0 R AW1 N D"),
        ("bˈɜɹd", "B ER1 D"),
        ("ʤˈʌʤᵻz", "JH AH1 JH IH0 Z"),
        ("bjˈuTəfəl", "B Y UW1 T AH0 F AH0 L"),
        ("nˌIntˈin", "N AY2 N T IY1 N"),
        ("mˈʌðəɹ", "M AH1 DH ER0"),
        ("fˈIəɹ", "F AY1 ER0"),
    ],
)
def test_kokoro_to_arpabet(ipa: str, phones: str) -> None:
    assert kokoro_to_arpabet(ipa) == tuple(phones.split())


def test_stress_mark_belongs_to_the_phone_after_it() -> None:
    ranges = phone_ranges("bˈɜɹd")
    assert [(r.start, r.end) for r in ranges] == [(0, 1), (1, 4), (4, 5)]


@given(st.lists(st.sampled_from(sorted(ARPABET)), min_size=1, max_size=12))
def test_arpabet_survives_the_way_through_misaki(phones: list[str]) -> None:
    # Stress every vowel, so that AH R cannot be read as ER.
    marked = [p + "1" if p in ("AH", "ER") or p[0] in "AEIOU" else p for p in phones]
    back = kokoro_to_arpabet(arpabet_to_kokoro(marked))
    assert back == tuple(marked)
    assert kokoro_to_arpabet(parse_pronunciation(" ".join(marked))) == back


def independent_number(words: tuple[str, ...]) -> int:
    """Read number words back, by another road than they were made."""
    small = {w: i for i, w in enumerate(ONES.split())}
    small |= {w: 10 * i for i, w in enumerate(TENS.split(), 2)}
    total = current = 0
    for word in words:
        if word == "hundred":
            current *= 100
        elif word in SCALES:
            total += current * SCALES[word]
            current = 0
        else:
            current += small[word]
    return total + current


ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


@given(st.integers(0, 10**15 - 1))
def test_cardinals_read_back(value: int) -> None:
    assert independent_number(cardinal(str(value))) == value
    assert independent_number(cardinal(f"{value:,}")) == value
    assert len(ordinal(str(value))) == len(cardinal(str(value)))


@given(st.integers(1000, 9999))
def test_years_read_back(value: int) -> None:
    words = year(str(value))
    for cut in range(len(words) + 1):
        head, tail = words[:cut], tuple(w for w in words[cut:] if w != "oh")
        if cut and independent_number(head) * 100 + independent_number(tail) == value:
            return
    assert independent_number(words) == value


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_spoken_or_refused(text: str) -> None:
    with suppress(TextError):
        check(speakable(text))


JUMBLE = (
    "1963 $3.50 Dr. U.S. 5 km 10% 10:30 p.m. -- ... “ ” ( ) ½ 1/2 1/0 3.5.2 0 0/0 99:99 "
    "B-52 'em it's I. II X 1,000 1,00 $ £ & @ # May 31 32 st th é ﬁ ² ٣ a.b@c.de "
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(JUMBLE.split()), max_size=8),
    st.sampled_from([" ", "", "-", ", "]),
)
def test_any_jumble_of_written_english(parts: list[str], glue: str) -> None:
    try:
        check(speakable(glue.join(parts)))
    except TextError:
        assert not any(c.isascii() and c.isalnum() for c in "".join(parts))


def test_pieces_are_short_and_lose_nothing() -> None:
    text = " ".join(f"This is sentence number {i}, and it goes on." for i in range(40))
    script = speakable(text)
    pieces = script.pieces(200)
    assert all(len(p.kokoro) <= 200 for p in pieces)
    assert sum((p.words for p in pieces), ()) == script.words
    assert " ".join(p.kokoro for p in pieces) == script.kokoro
    assert all(p.kokoro.endswith(".") for p in pieces)
    for piece in pieces:
        assert tuple(c.phone for c in piece.phone_chars()) == piece.phones


def test_nothing_under_the_gpl_is_imported() -> None:
    code = (
        "import sys; from align.text import speakable; speakable('Hello Szczepanski 42');"
        "print([m for m in sys.modules if m.split('.')[0] in"
        " ('espeakng_loader','phonemizer','num2words','misaki','spacy','torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_word_of_the_users_lexicon_is_said_in_no_other_way() -> None:
    from align.engines._pronunciations import pronunciations

    line = "the route is read"
    usual = pronunciations(speakable(line))
    given = pronunciations(speakable(line, {"route": "R AW1 T"}))
    assert {"R UW T", "R AW T"} <= set(usual[1])
    assert given[1] == ("R AW T",)
    assert given[3] == usual[3]
