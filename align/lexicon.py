"""A production's own pronunciations, in a file.

    lexicon = read_lexicon(Path("names.toml"))
    script = speakable("Siobhan met Nguyen.", lexicon)

TOML has one entry a word, at the top or under `[words]`:

    Siobhan = "SH IH0 V AO1 N"      # ARPAbet, vowels with stress
    Nguyen = "/ˈwɪn/"               # or IPA

Anything else is read as plain text in the manner of the CMU dictionary: a word, blanks, its
pronunciation; `#` and `;;;` begin comments; of several entries for a word the first one
counts. A possessive ("Nguyen's") follows from its noun.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from align.phones import parse_pronunciation
from media.errors import MediaError, TextError

__all__ = ["read_lexicon"]

_VARIANT = re.compile(r"\(\d+\)$")


def read_lexicon(path: Path | str) -> dict[str, str]:
    """Word (lower case) -> pronunciation as written, every one of them proved readable.

    Raises `MediaError` when the file cannot be read, `TextError` naming the place of what
    is no pronunciation.
    """
    source = Path(path)
    try:
        text = source.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise MediaError(f"cannot read the lexicon '{source}': {why}; check the path") from error
    entries = _from_toml(source, text) if source.suffix.lower() == ".toml" else _from_lines(text)
    lexicon: dict[str, str] = {}
    for where, word, said in entries:
        try:
            parse_pronunciation(said)
        except TextError as error:
            raise TextError(f"lexicon '{source}', {where}: {error}") from error
        lexicon.setdefault(_VARIANT.sub("", word.lower()), said)
    if not lexicon:
        raise TextError(f"the lexicon '{source}' has no entry; write one word a line")
    return lexicon


def _from_toml(source: Path, text: str) -> Iterator[tuple[str, str, str]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TextError(f"the lexicon '{source}' is not TOML ({error}); mend it") from error
    table = document.pop("words", {})
    both = {**document, **table} if isinstance(table, dict) else {**document, "words": table}
    for word, said in both.items():
        if not isinstance(said, str):
            raise TextError(
                f"lexicon '{source}', '{word}': a pronunciation is a text in quotes; mend it"
            )
        yield f"'{word}'", word, said


def _from_lines(text: str) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.split(";;;")[0].split("#")[0].strip()
        if entry:
            word, _, said = entry.replace("\t", " ").partition(" ")
            yield f"line {number}", word.rstrip(":=").strip("\"'") or word, said.strip(' "=:')
