"""One page that holds everything, loads nothing, and stays fit for mail."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from mara_production import SAMPLES, make_production

from align.timing import Span, Timing
from media.audio import Sound, write_wav
from media.errors import OutputError
from studio.batch.results import decide
from studio.disclosure import Row, append_row
from studio.ledger import Ledger
from studio.production import Production, load_production
from studio.report import drawings, write_report

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def original_production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (SAMPLES / "presenter.mp4").is_file():
        pytest.skip("samples/presenter.mp4 is not there; make it with samples/make_presenter.py")
    folder = tmp_path_factory.mktemp("production") / "harbour"
    production = make_production(folder, small=True)
    write_report(production, folder / "report.html")  # the drawings are kept for the tests
    return folder


@pytest.fixture
def production(original_production: Path, tmp_path: Path) -> Production:
    shutil.copytree(original_production, tmp_path / "harbour")
    return load_production(tmp_path / "harbour")


class _Addresses(HTMLParser):
    """Everything that a page would load, and whether its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [v or "" for k, v in attrs if k in ("src", "href", "data", "poster")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass  # SVG's rect and line close themselves

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _parsed(path: Path) -> tuple[str, _Addresses]:
    text, reader = path.read_text("utf-8"), _Addresses()
    reader.feed(text)
    return text, reader


def test_the_page_holds_everything_and_loads_nothing(
    production: Production, tmp_path: Path
) -> None:
    facts = write_report(production, tmp_path / "report.html")
    text, reader = _parsed(facts.path)
    assert (facts.cues, facts.drawn) == (3, 3)
    assert facts.size == facts.path.stat().st_size < 400_000
    assert reader.open == []
    assert all(a.startswith(("data:image/jpeg;base64,", "#cue-")) for a in reader.loaded)
    assert sum(a.startswith("data:") for a in reader.loaded) == 2  # contact sheets
    assert "<script" not in text
    assert "default-src 'none'" in text
    for words in (
        "She greets the town",
        "Good evening, I&#39;m Mara Voss.",
        "lips shut on p, b, m",
        "valid today",
        "sample-mara-voss",
        'class="wave"',
        'class="spectra"',
    ):
        assert words in text
    assert text.count('class="shut"') >= 3  # m of "I'm Mara", b and p further on


def test_consent_disclosure_ledger_and_people_are_on_it(
    production: Production, tmp_path: Path
) -> None:
    decide(production, "MAR101", "1.1", by=EVIL, comment=EVIL, approved=True, rating=4)
    row = dict.fromkeys(Row.__dataclass_fields__, "") | {"weights": "perth (MIT)", "approver": "I."}
    append_row(production.disclosure, Row(**row))
    facts = write_report(production, tmp_path / "report.html")
    text, reader = _parsed(facts.path)
    assert reader.open == []
    assert "<script" not in text
    assert "approved by &lt;script&gt;" in text
    assert "perth (MIT)" in text
    assert "1 lines, the chain is whole" in text
    ledger = production.ledger
    ledger.write_text(ledger.read_text("utf-8").replace("4", "5", 1), "utf-8")
    text, _ = _parsed(write_report(production, tmp_path / "report.html").path)
    assert "line 1 of" in text
    assert "was altered" in text


def test_a_revoked_consent_and_a_missing_record_are_said(
    production: Production, tmp_path: Path
) -> None:
    record = production.folder / "consent.toml"
    record.write_text(record.read_text("utf-8").replace("# revoked = 2030", "revoked = 2026"))
    text, _ = _parsed(write_report(production, tmp_path / "report.html").path)
    assert "was revoked on" in text
    record.unlink()
    text, _ = _parsed(write_report(production, tmp_path / "report.html").path)
    assert "there is no consent record" in text


def test_what_fails_is_kept_when_room_is_short(production: Production, tmp_path: Path) -> None:
    whole = write_report(production, tmp_path / "report.html").size
    facts = write_report(production, tmp_path / "small.html", most_bytes=whole * 2 // 3)
    text, _ = _parsed(facts.path)
    assert facts.size <= whole * 2 // 3
    assert 0 < facts.drawn < 3
    assert 'id="cue-MAR102"' in text  # the one that misses its objectives
    assert "in this table only" in text
    assert "MAR101" in text


def test_drawings_are_made_again_only_for_what_changed(
    production: Production, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(production, tmp_path / "report.html")
    drawn: list[str] = []
    real = drawings.waveform

    def counted(sound: Sound, timing: Timing | None, **where: object) -> str:
        if timing is not None:
            drawn.append(timing.words[0].label)
        return real(sound, timing, **where)  # type: ignore[arg-type]

    monkeypatch.setattr(drawings, "waveform", counted)
    write_report(production, tmp_path / "report.html")
    assert drawn == []
    take = production.work / "steps" / "takes-MAR102" / "take-1.wav"
    write_wav(take, Sound(np.zeros(48_000, np.float32), 48_000))
    write_report(production, tmp_path / "report.html")
    assert drawn == ["For"]


@pytest.mark.parametrize("lost", ["take", "film", "timing"])
def test_a_missing_file_is_said_and_the_rest_goes_on(
    production: Production, tmp_path: Path, lost: str
) -> None:
    step = production.work / "steps" / "takes-MAR101"
    if lost == "take":
        (step / "take-1.wav").unlink()
    elif lost == "timing":
        (step / "take-1.json").write_text("{}", "utf-8")
    else:
        (production.folder / "footage" / "presenter.mp4").unlink()
        shutil.rmtree(production.work / "report")
    path = production.work / "cues" / "MAR101.json"
    assert json.loads(path.read_text("utf-8"))["chosen"] == "1.1"
    facts = write_report(production, tmp_path / "report.html")
    text, _ = _parsed(facts.path)
    assert facts.cues == (0 if lost == "film" else 3)
    assert re.search(r'class="red[^"]*">[^<]*(take-1|presenter)', text)


def test_a_place_that_cannot_be_written(production: Production, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_report(production, tmp_path / "none" / "report.html")


def test_a_production_with_no_cue_yet(tmp_path: Path) -> None:
    (tmp_path / "production.toml").write_text('title = "T"\nrate = 25\n', "utf-8")
    production = load_production(tmp_path)
    Ledger(production.ledger).append("test")
    facts = write_report(production, tmp_path / "report.html")
    assert (facts.cues, facts.drawn) == (0, 0)
    assert "there" not in drawings.spectra({})


# --- the drawings ------------------------------------------------------------------------------


def test_a_tone_is_loudest_in_its_own_band() -> None:
    t = np.arange(48_000) / 48_000
    for hz, band in ((1000, 11), (2000, 14), (250, 5)):
        noise = np.random.default_rng(0).normal(0, 1e-3, len(t))
        sound = Sound((0.3 * np.sin(2 * np.pi * hz * t) + noise).astype(np.float32), 48_000)
        levels = drawings.bands(sound)
        assert int(np.nanargmax(levels)) == band
        assert np.nanmean(levels) == pytest.approx(0, abs=1e-9)
    quiet = drawings.bands(Sound(0.1 * sound.samples, 48_000))
    np.testing.assert_allclose(quiet, levels, atol=1e-3)  # level is not spectrum


def test_silence_short_sounds_and_low_rates_are_drawn_without_fuss() -> None:
    assert np.isnan(drawings.bands(Sound(np.zeros(48_000, np.float32), 48_000))).all()
    assert np.isnan(drawings.bands(Sound(np.ones(10, np.float32), 48_000))).all()
    rng = np.random.default_rng(0)
    low = drawings.bands(Sound(rng.normal(0, 0.1, 16_000).astype(np.float32), 16_000))
    assert np.isnan(low[-2:]).all()
    assert np.isfinite(low[:-3]).all()
    svg = drawings.spectra({"a <b>": low})
    assert "nan" not in svg
    assert "a &lt;b&gt;" in svg


def test_a_label_cannot_break_the_drawing() -> None:
    sound = Sound(np.zeros(4800, np.float32), 48_000)
    timing = Timing((Span(EVIL, 0.0, 0.1),), (Span("<P>", 0.0, 0.1),), 0.1)
    svg = drawings.waveform(sound, timing, span=(0.0, 0.01), start=0.0)
    assert "<script" not in svg
