"""The jobs end to end on small input, and the decisions they make on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from align.timing import Span, Timing
from media.audio import Sound, read_sound
from media.errors import AlignError, ArchiveError, OutputError, TextError
from studio._sources import files_in, fingerprint, footage_in, line_timing
from studio.consent import Consent, save_consent
from studio.disclosure import read_rows
from studio.ledger import read_ledger
from studio.redub import _that_fits, say
from studio.scene import _placed
from studio.verify import verify_file
from voice.takes import Take, TakeScores, save_take


def _take(seconds: float = 2.0) -> Take:
    sound = Sound(np.zeros(round(48_000 * seconds), np.float32), 48_000)
    phones = (Span("G", 0.1, 0.2), Span("OW", 0.2, 0.5))
    timing = Timing((Span("Go", 0.1, 0.5),), phones, seconds, "exact")
    return Take(sound, timing, "Go", "go", 0, "kokoro", "v", TakeScores())


# --- what users point at ----------------------------------------------------------------------


def test_folders_give_their_visible_files_and_films(tmp_path: Path) -> None:
    (tmp_path / "reel").mkdir()
    for name in ("b.wav", "reel/a.MOV", ".hidden.wav", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    assert [p.name for p in files_in(tmp_path)] == ["b.wav", "notes.txt", "a.MOV"]
    assert [p.name for p in footage_in([tmp_path])] == ["a.MOV"]
    with pytest.raises(ArchiveError, match="nothing at"):
        files_in([tmp_path / "none"])


def test_the_cache_key_follows_content_and_settings_not_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes(b"speech")
    key = fingerprint(tmp_path / "one", {"seed": 0})
    assert key == fingerprint([tmp_path / "two"], {"seed": 0})
    assert key != fingerprint(tmp_path / "one", {"seed": 1})
    (tmp_path / "two" / "cache.tmp").write_bytes(b"")
    assert key == fingerprint(tmp_path / "two", {"seed": 0}, (".wav",))
    (tmp_path / "two" / "a.wav").write_bytes(b"speech!")
    assert key != fingerprint(tmp_path / "two", {"seed": 0})


def test_a_line_brings_its_own_timing_while_it_is_still_its_own(tmp_path: Path) -> None:
    take, path = _take(), tmp_path / "line.wav"
    save_take(take, path)
    times = line_timing(path, take.sound, None, None)
    assert [p.label for p in times.phones] == ["G", "OW"]
    assert times.engine == "exact"
    from studio._sources import _own_timing

    longer = Sound(np.zeros(48_000 * 3, np.float32), 48_000)
    assert _own_timing(path, longer) is None
    path.with_suffix(".json").write_text('{"words": 3}')
    assert _own_timing(path, take.sound) is None


def test_a_given_timing_must_be_of_this_sound(tmp_path: Path) -> None:
    from align.formats import write_timing

    write_timing(_take().timing, tmp_path / "t.TextGrid")
    short = Sound(np.zeros(4800, np.float32), 48_000)
    with pytest.raises(AlignError, match="give the timing of this sound"):
        line_timing(tmp_path / "x.wav", short, None, tmp_path / "t.TextGrid")


def test_a_line_laid_in_later_moves_with_its_timing() -> None:
    take = _take()
    sound, times = _placed(take.sound, take.timing, 1.5)
    assert sound.duration_s == Fraction(7, 2)
    assert times.phones[0].start_s == pytest.approx(1.6)
    assert times.duration_s == pytest.approx(3.5)


# --- a line that must fit ----------------------------------------------------------------------


def _speaker(natural_s: float, asked: list[float | None]) -> Callable[[float | None], Any]:
    def speak(duration_s: float | None) -> Any:
        asked.append(duration_s)
        return SimpleNamespace(take=_take(natural_s if duration_s is None else duration_s))

    return speak


@pytest.mark.parametrize(
    ("natural_s", "at_s", "asked"),
    [(3.0, 0.0, [None]), (4.0, 0.0, [None]), (4.4, 0.0, [None, 4.0]), (3.3, 1.0, [None, 3.0])],
)
def test_a_line_a_little_too_long_is_spoken_faster(
    natural_s: float, at_s: float, asked: list[float | None]
) -> None:
    made: list[float | None] = []
    scene: Any = SimpleNamespace(duration_s=Fraction(4))
    _that_fits(_speaker(natural_s, made), None, scene, at_s)
    assert made == asked


@pytest.mark.parametrize(("natural_s", "at_s"), [(5.0, 0.0), (3.0, 2.0), (1.0, 4.0)])
def test_a_line_much_too_long_is_refused(natural_s: float, at_s: float) -> None:
    scene: Any = SimpleNamespace(duration_s=Fraction(4))
    with pytest.raises(TextError, match="shorten the line"):
        _that_fits(_speaker(natural_s, []), None, scene, at_s)


# --- the real thing ----------------------------------------------------------------------------


def test_only_wav_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a WAV file"):
        say("Hello.", "stock:any", tmp_path / "line.mp3")


@pytest.mark.slow
def test_a_fitted_voice_speaks_figures_marked_signed_and_recorded(
    consent: Consent, tmp_path: Path
) -> None:
    from dataclasses import replace

    from voice.voice import load_voice, stock_voices

    stock = load_voice(f"stock:{stock_voices()[0]}")
    replace(stock, name="anna", person="Anna Example").save(tmp_path / "anna")
    save_consent(consent, tmp_path / "consent.toml")
    out = tmp_path / "line.wav"
    steps: list[tuple[str, int, int | None]] = []
    said = say(
        "Dr. King paid $3.50 in 1963.",
        tmp_path / "anna",
        out,
        consent=tmp_path / "consent.toml",
        takes=1,
        progress=lambda *step: steps.append(step),
    )
    assert said.take.spoken.split()[:3] == ["doctor", "King", "paid"]
    assert "nineteen sixty three" in said.take.spoken
    assert steps[-1] == ("speaking", 1, 1)
    sound = read_sound(out)
    assert sound.rate == 48_000
    findings = verify_file(out)
    assert findings.sound
    assert findings.watermark is not None
    assert findings.watermark.found
    assert findings.credentials.generation["consent"] == "c0ffee"
    facts = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert facts["phones"]
    assert line_timing(out, sound, None, None).engine == "exact"
    assert [e.event for e in read_ledger(tmp_path / "wildline-ledger.jsonl")] == [
        "consent.granted",
        "line.made",
        "line.delivered",
    ]
    (row,) = read_rows(tmp_path / "wildline-disclosure.csv")
    assert (row.project, row.text) == ("The Long Summer", "Dr. King paid $3.50 in 1963.")


def test_a_voice_that_is_nobodys_is_refused_on_record(tmp_path: Path) -> None:
    from dataclasses import replace

    from media.errors import ConsentError
    from voice.voice import load_voice, stock_voices

    stock = load_voice(f"stock:{stock_voices()[0]}")
    replace(stock, name="found", person="").save(tmp_path / "found")
    with pytest.raises(ConsentError, match="does not say whose it is"):
        say("We went.", tmp_path / "found", tmp_path / "line.wav", takes=1)
    (entry,) = read_ledger(tmp_path / "wildline-ledger.jsonl")
    assert entry.event == "output.refused"
    assert "does not say whose it is" in entry.facts["reason"]


@pytest.mark.slow
def test_the_same_line_twice_is_the_same_sound(tmp_path: Path) -> None:
    from voice.voice import stock_voices

    voice = f"stock:{stock_voices()[0]}"
    first = say("We went.", voice, tmp_path / "a.wav", takes=1, seed=3)
    second = say("We went.", voice, tmp_path / "b.wav", takes=1, seed=3)
    assert (read_sound(first.path).samples == read_sound(second.path).samples).all()
    assert verify_file(first.path).credentials.generation["consent"] is None
