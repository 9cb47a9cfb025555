"""Words that are written alike and spoken differently: read, lead, live, record, close ...

`choose(words)` looks at the words around each of them and names the part of speech where
it can be known; the dictionary has a pronunciation for each. Rules, not a model: articles,
possessives, prepositions, pronouns, auxiliaries, signs of the past, and for a dozen words
the company that they keep ("lead pipe", "took a bow"). Where nothing tells, the
dictionary's own default stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

__all__ = ["OWN_READINGS", "choose"]

NOUN, VERB, ADJ, PAST = "NOUN", "VERB", "ADJ", "VBD"

# What the dictionary lacks; misaki's alphabet.
OWN_READINGS: Mapping[str, Mapping[str, str]] = {
    "lead": {"METAL": "lˈɛd", "DEFAULT": "lˈid"},
    "resume": {NOUN: "ɹˈɛzəmˌA", "DEFAULT": "ɹəzˈum"},
    "aged": {ADJ: "ˈAʤɪd", "DEFAULT": "ˈAʤd"},
    "blessed": {ADJ: "blˈɛsɪd", "DEFAULT": "blˈɛst"},
    "protest": {VERB: "pɹətˈɛst", "DEFAULT": "pɹˈOtˌɛst"},
    "protests": {VERB: "pɹətˈɛsts", "DEFAULT": "pɹˈOtˌɛsts"},
    "export": {VERB: "ɪkspˈɔɹt", "DEFAULT": "ˈɛkspˌɔɹt"},
    "exports": {VERB: "ɪkspˈɔɹts", "DEFAULT": "ˈɛkspˌɔɹts"},
    "bases": {"DEFAULT": "bˈAsᵻz", "OF": "bˈAsˌiz"},
    "used": {"TO": "jˈust", "DEFAULT": "jˈuzd"},
    "bow": {"BEND": "bˈW", "DEFAULT": "bˈO"},
    "bows": {"BEND": "bˈWz", "DEFAULT": "bˈOz"},
    "tear": {"RIP": "tˈɛɹ", "DEFAULT": "tˈɪɹ"},
    "tears": {"RIP": "tˈɛɹz", "DEFAULT": "tˈɪɹz"},
    "deserts": {"DUE": "dəzˈɜɹts", VERB: "dəzˈɜɹts", "DEFAULT": "dˈɛzəɹts"},
    "live": {ADJ: "lˈIv", VERB: "lˈɪv", "DEFAULT": "lˈɪv"},
    "lives": {NOUN: "lˈIvz", VERB: "lˈɪvz", "DEFAULT": "lˈIvz"},
}


@cache
def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DETERMINERS = _set(
    "a an the this that these those my your his her its our their whose some any no every each "
    "another either neither which what several many few both such"
)
_POSSESSIVES = _set("my your his her its our their whose")
_PREPOSITIONS = _set(
    "of in on for with by from at into about without against under over after before during "
    "between through upon within toward towards near behind beyond across per via as like than"
)
_SUBJECTS = _set("i you we they he she it who")
_OBJECTS = _set("me him us them her it you")
_THIRD = _set("he she it who which that this everyone everybody someone nobody one")
_MODALS = _set(
    "will would can could shall should may might must cannot can't won't couldn't wouldn't "
    "shouldn't mustn't shan't i'll you'll we'll they'll he'll she'll it'll i'd you'd we'd they'd "
    "he'd she'd let's"
)
_DO = _set("do does did don't doesn't didn't")
_BE = _set(
    "be am is are was were been being isn't aren't wasn't weren't i'm you're we're they're it's "
    "he's she's that's there's"
)
_HAVE = _set(
    "have has had having haven't hasn't hadn't i've you've we've they've could've would've "
    "should've"
)
_CAUSING = _set("let make makes made help helps helped see saw watch watched hear heard please")
_SKIPPED = _set(
    "not never always also just ever still then now only really often already even simply soon "
    "n't truly first once"
)
_ENDS = _set(". ! ? … ; : , — “ ” ( )") | {""}
_PAST_SIGNS = _set(
    "yesterday ago last was were had did said went came took gave saw made knew thought told got "
    "left felt found stood sat ran began wrote lay held kept brought heard became once then "
    "earlier previously recently"
)
_LIVE_THINGS = _set(
    "music show shows broadcast broadcasts audience concert concerts performance performances "
    "recording recordings television tv event events wire wires coverage stream streams feed "
    "ammunition round rounds animal animals bait birth births action album version band bands "
    "sound update updates report reports radio theater theatre streaming transmission take cattle "
    "link picture pictures footage"
)
_AFTER_LEAD_METAL = _set(
    "pipe pipes paint poisoning bullet bullets shot weight weights acid lined roof roofs sheet "
    "sheets mine mines ore crystal glass solder foil pencil coffin free based"
)
_BEFORE_LEAD_METAL = _set("of in molten liquid white red heavy like as with from contain")
_AFTER_BASS = _set(
    "guitar guitars player players drum drums line lines clef note notes voice singer solo part "
    "section speaker speakers fiddle clarinet baritone amp track"
)
_TORN = _set(
    "fabric cloth paper coat dress jacket sleeve shirt film canvas sail muscle ligament net"
)
_WOUND_ON = _set("up around down through its his her along back past tight tightly about onto")
_DOVE_ON = _set("into in under down off for behind headfirst deep straight back toward towards")
# Plurals that stand before nouns: "a sales record", "the sports desert".
_COMPOUNDING = _set("sales arms sports news goods customs works systems savings rights women men")
_ADJECTIVE_ENDS = ("al", "ive", "ous", "ful", "ic", "able", "ible", "less", "ary", "ish", "est")
_ADJECTIVES = _set(
    "new old good bad big small great long short high low first last next own other same final "
    "early late fresh public own major main full real best worst better world current certain "
    "little"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """A word among its neighbours; marks and the edges of the text are neighbours too."""

    words: Sequence[str]
    at: int

    @property
    def word(self) -> str:
        return self.words[self.at]

    def near(self, by: int) -> str:
        """The neighbour `by` places away, "" beyond the edges."""
        index = self.at + by
        return self.words[index] if 0 <= index < len(self.words) else ""

    def before(self) -> tuple[str, str]:
        """The two words before, adverbs left out."""
        found: list[str] = []
        index = self.at - 1
        while index >= 0 and len(found) < 2:
            word = self.words[index]
            if word not in _SKIPPED and not (word.endswith("ly") and len(word) > 4):
                found.append(word)
            index -= 1
        return (*found, "", "")[0], (*found, "", "")[1]

    def sentence(self) -> Sequence[str]:
        """All words of the sentence."""
        first, last = self.at, self.at
        while first > 0 and self.words[first - 1] not in _set(". ! ? …"):
            first -= 1
        while last + 1 < len(self.words) and self.words[last] not in _set(". ! ? …"):
            last += 1
        return self.words[first : last + 1]


def _is_content(word: str) -> bool:
    """Not a mark, an edge or a small word."""
    small = _DETERMINERS | _PREPOSITIONS | _SUBJECTS | _OBJECTS | _MODALS | _DO | _BE | _HAVE
    return word not in _ENDS and word not in small and word not in _set("to and or but nor so if")


def _opens_object(word: str) -> bool:
    return word in _DETERMINERS or word in _OBJECTS


def _verbal(place: _Place) -> bool | None:
    """Whether the word is a verb (True), is none (False), or cannot be told (None)."""
    prev, prev2 = place.before()
    following = place.near(1)
    if prev == "to":
        return prev2 not in _set("due thanks according subject access addition regard relation")
    if prev in _MODALS or prev in _DO or prev in _set("please let's"):
        return True
    if prev in _OBJECTS - {"her", "it", "you"} or (prev in _OBJECTS and prev2 in _CAUSING):
        return prev2 in _CAUSING or None
    if prev in _SUBJECTS or _asked(place):
        return True
    if prev in _DETERMINERS - _set("that which what") or prev == "of" or prev.endswith("'s"):
        return False
    if prev in _PREPOSITIONS or prev in _BE or prev in _HAVE:
        return False
    return _verbal_by_company(place, prev, prev2, following)


def _asked(place: _Place) -> bool:
    """ "Does anyone object?", "can people use it?": an auxiliary opens, one word between."""
    opens = place.near(-3) in _ENDS | _set("and but how why where when what")
    return opens and place.near(-2) in _DO | _MODALS and _is_content(place.near(-1))


def _verbal_by_company(place: _Place, prev: str, prev2: str, following: str) -> bool | None:
    if following in _set("of is was are were has had will would can could may"):
        return False
    if prev in _ADJECTIVES or prev.endswith(_ADJECTIVE_ENDS):
        return False
    if prev in _ENDS:  # "Record the sound." but "Objects in the mirror"
        return _opens_object(following) or None
    if prev in _set("that which who"):
        return _opens_object(following) or following in _PREPOSITIONS or None
    many = _plural(prev) and prev not in _COMPOUNDING and not place.word.endswith("s")
    if many and prev2 in _DETERMINERS | _ENDS and following in _PREPOSITIONS | _ENDS:
        return True  # "the soldiers desert at night", "muscles contract"
    if prev2 in _DETERMINERS or prev2 in _POSSESSIVES:
        # "the cameras record it", "the witness objects to"; but "the world record".
        agree = _plural(prev) != place.word.endswith("s")
        return agree and (_opens_object(following) or following == "to")
    if _is_content(prev) and (_opens_object(following) or following == "to"):
        return True
    return None


def _plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "us", "is"))


def _general(place: _Place, keys: frozenset[str]) -> str | None:
    """NOUN, VERB or ADJ for words whose readings differ by it."""
    if ADJ in keys and _adjectival(place):
        return ADJ
    verb = _verbal(place)
    if verb is None:
        return None
    if verb:
        return VERB
    return NOUN if NOUN in keys and not _adjectival(place) else "DEFAULT_OR_ADJ"


def _adjectival(place: _Place) -> bool:
    """Before a noun inside its phrase ("a separate room"), or said of something ("is perfect")."""
    prev, _ = place.before()
    following = place.near(1)
    if prev in _BE or prev in _set("very so too more most quite rather seem seems seemed"):
        return not _opens_object(following)
    return (prev in _DETERMINERS or prev in _ADJECTIVES) and _is_content(following)


def _read(place: _Place) -> str | None:
    prev, prev2 = place.before()
    if prev in _HAVE or prev in _BE or prev2 in _HAVE or prev == "well":
        return PAST
    if prev == "to" or prev in _MODALS or prev in _DO or prev in _CAUSING or prev in _ENDS:
        return None
    asked = set(place.words[max(0, place.at - 4) : place.at]) & (_DO | _MODALS | _CAUSING)
    if asked or prev in _DETERMINERS - _set("which that what"):
        return None
    past = bool(set(place.sentence()) & _PAST_SIGNS) or any(
        w.endswith("ed") and len(w) > 4 for w in place.sentence()
    )
    if prev in _set("he she it who"):
        return PAST  # the present would be "reads"
    if prev in _set("i you we they and"):
        return PAST if past else None
    singular = _is_content(prev) and not prev.endswith("s")
    return PAST if singular or past else None


def _live(place: _Place) -> str | None:
    prev, _ = place.before()
    following = place.near(1)
    if following in _LIVE_THINGS and prev not in _set("to who they we i you"):
        return ADJ
    if prev in _BE or prev in _set("a the recorded broadcast performed filmed shown go goes going"):
        return ADJ
    if prev in _set(
        "went come coming televised streamed streaming perform performing play playing"
    ):
        return ADJ
    if following == "on" and place.near(2) in _set("television tv radio air stage screen camera"):
        return ADJ
    return ADJ if prev in _ENDS and following == "from" else VERB


def _lives(place: _Place) -> str | None:
    prev, _ = place.before()
    if prev in _THIRD or place.near(1) in _set("in at on here there with by alone under near"):
        return NOUN if prev in _DETERMINERS - _set("that which this") else VERB
    return NOUN


def _lead(place: _Place) -> str | None:
    prev, _ = place.before()
    if place.near(1) in _AFTER_LEAD_METAL and prev != "to":
        return "METAL"
    made = prev in _BEFORE_LEAD_METAL and place.near(1) in _ENDS | {"and", "or"}
    return "METAL" if made and place.near(-2) not in _set("sort kind") else None


def _used(place: _Place) -> str | None:
    if place.near(1) != "to":
        return "DEFAULT"
    prev, _ = place.before()
    target = place.near(2)
    if prev in _BE or prev in _set("been be"):  # "was used to make" / "is used to the noise"
        familiar = target in _DETERMINERS or target in _OBJECTS or target.endswith("ing")
        return "TO" if familiar else "DEFAULT"
    return "TO"


def _bow(place: _Place) -> str | None:
    prev, prev2 = place.before()
    following = place.near(1)
    if following in _set("tie ties legged string strings window windows hunting"):
        return "DEFAULT"
    if following == "and" and place.near(2) in _set("arrow arrows"):
        return "DEFAULT"
    took = _set("take takes took taking taken final last deep low") & {prev, prev2}
    ship = following in _set("of and") and place.near(2) in _set("the stern")
    ship = ship or (prev2 in _set("across over from") and prev in _set("the her its"))
    if took or ship or _verbal(place) or following in _set("to down out before in low"):
        return "BEND"
    return "DEFAULT"


def _tear(place: _Place) -> str | None:
    following = place.near(1)
    if place.near(-1) == "and" and place.near(-2) == "wear":
        return "RIP"
    if following in _set("gas drop drops duct ducts stained filled jerker"):
        return "DEFAULT"
    if following == "in" and set(place.words[place.at + 2 : place.at + 4]) & _TORN:
        return "RIP"
    away = following in _set("up down apart off out away into through open")
    return "RIP" if _verbal(place) or away else "DEFAULT"


def _wound(place: _Place) -> str | None:
    prev, _ = place.before()
    does = prev in _SUBJECTS and _opens_object(place.near(1))
    return PAST if does or (place.near(1) in _WOUND_ON and prev not in _DETERMINERS) else None


def _dove(place: _Place) -> str | None:
    prev, _ = place.before()
    return VERB if place.near(1) in _DOVE_ON and prev not in _set("a the white") else None


def _bass(place: _Place) -> str | None:
    prev, _ = place.before()
    played = prev in _set("double play plays played playing electric upright deep on")
    return ADJ if played or place.near(1) in _AFTER_BASS else None


def _minute(place: _Place) -> str | None:
    following = place.near(1)
    tiny = following in _set("detail details amount amounts particle particles quantity quantities")
    tiny = tiny or following in _set(
        "fraction fractions difference differences traces crack cracks"
    )
    return ADJ if tiny else None


def _close(place: _Place) -> str | None:
    following = place.near(1)
    prev, _ = place.before()
    if following in _set("to by together up-to") or prev in _set("so too very come came get stay"):
        return VERB if prev in _set("to will must") and following != "to" else None
    return VERB if _verbal(place) or (prev in _set("the a") and following == "of") else None


def _deserts(place: _Place) -> str | None:
    return "DUE" if place.near(-1) == "just" else _general(place, frozenset({VERB}))


def _content(place: _Place) -> str | None:
    prev, _ = place.before()
    if prev.endswith("'s") or prev in _BE or prev in _set("very feel felt"):
        return "DEFAULT"
    noun = prev in _DETERMINERS or prev in _PREPOSITIONS or place.near(1) in _set("of is was")
    return NOUN if noun or prev.endswith(_ADJECTIVE_ENDS) else None


def _wind(place: _Place) -> str | None:
    prev, _ = place.before()
    on = place.near(1) in _set("up down back forward around it")
    verb = _verbal(place)
    turns = on and prev not in _DETERMINERS and (verb is None or _plural(prev))
    return VERB if verb or turns else None


def _participle(place: _Place) -> str | None:
    """aged, blessed, learned: two syllables before a noun."""
    prev, _ = place.before()
    following = place.near(1)
    before_noun = prev in _DETERMINERS and _is_content(following) and not following.isdigit()
    return ADJ if before_noun else None


def _bases(place: _Place) -> str | None:
    return "OF" if place.near(1) in _set("of for") else None


_SPECIAL: Mapping[str, Callable[[_Place], str | None]] = {
    "read": _read,
    "live": _live,
    "lives": _lives,
    "lead": _lead,
    "used": _used,
    "bow": _bow,
    "bows": _bow,
    "tear": _tear,
    "tears": _tear,
    "wound": _wound,
    "dove": _dove,
    "bass": _bass,
    "minute": _minute,
    "close": _close,
    "deserts": _deserts,
    "content": _content,
    "wind": _wind,
    "winds": _wind,
    "aged": _participle,
    "blessed": _participle,
    "learned": _participle,
    "bases": _bases,
}


def choose(words: Sequence[str], index: int, readings: Mapping[str, str]) -> str | None:
    """The pronunciation of `words[index]` among `readings` (part of speech -> phonemes).

    `words` are the spoken words and marks of the text in lower case. None when the word
    has only one reading that part of speech decides; the default reading where nothing
    tells.
    """
    word = words[index]
    readings = OWN_READINGS.get(word, readings)
    keys = frozenset(readings)
    if not keys & {NOUN, VERB, ADJ, PAST, "METAL", "TO", "BEND", "RIP", "DUE", "OF"}:
        return None
    place = _Place(words, index)
    special = _SPECIAL.get(word)
    found = special(place) if special else _general(place, keys)
    if found == "DEFAULT_OR_ADJ":
        found = ADJ if ADJ in keys and _adjectival(place) else "DEFAULT"
    return readings.get(found or "DEFAULT") or readings["DEFAULT"]
