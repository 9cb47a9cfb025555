"""Consent, ledger, voices and broadcast WAVs, damaged; and rates that nobody can count."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from faults_damage import BITS, flipped, one_line
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import tone

from media.audio import read_sound, resample
from media.bwf import BroadcastFacts, read_bwf, write_bwf
from media.errors import ConsentError, MediaError, ProvenanceError, WeightsError, WildlineError
from media.time import FrameRate, Timecode
from studio.consent import load_consent
from studio.ledger import Ledger, read_ledger, told, verify
from voice.voice import Voice, load_voice

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

# --- rates and timecode ------------------------------------------------------------------------


@pytest.mark.parametrize("rate", ["1e999999999", "1e-999999999", "1e400", 1e308, "9" * 5000, "inf"])
def test_a_rate_that_nobody_can_count_is_refused_at_once(rate: str | float) -> None:
    with pytest.raises(MediaError) as caught:
        FrameRate.parse(rate)
    assert len(str(caught.value)) < 120


@given(st.text(max_size=12))
def test_any_text_is_a_rate_or_refused(text: str) -> None:
    with suppress(MediaError):
        assert FrameRate.parse(text).value > 0


@given(st.text(alphabet="0123456789:;., ", max_size=14))
def test_any_label_is_a_timecode_or_refused(text: str) -> None:
    rate = FrameRate(Fraction(30000, 1001))
    try:
        read = Timecode.parse(text, rate)
    except MediaError:
        return
    assert Timecode.parse(str(read), rate) == read


# --- ledger ------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ['"x"', "5", "null", "[]", "[" * 100_000, '{"sha256": 1}', "{"])
def test_what_is_no_ledger_line_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ProvenanceError):
        verify(path)
    with pytest.raises(ProvenanceError):
        Ledger(path).append("more")
    assert path.read_text() == line + "\n"


@pytest.mark.parametrize("changed", [{"facts": []}, {"time": 5}, {"event": None}])
def test_a_line_with_a_true_hash_of_wrong_things(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    import hashlib

    path = tmp_path / "ledger.jsonl"
    Ledger(path).append("made", text="Yes.")
    record = {**json.loads(path.read_text()), **changed}
    del record["sha256"]
    plain = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    record["sha256"] = hashlib.sha256(plain.encode()).hexdigest()
    path.write_text(json.dumps(record, separators=(",", ":")) + "\n")
    with pytest.raises(ProvenanceError, match="line 1"):
        verify(path)


@settings(max_examples=80, deadline=None)
@given(bits=BITS)
def test_a_ledger_with_bits_turned_over_names_a_line(
    bits: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "bits.jsonl"
    path.unlink(missing_ok=True)
    for number in range(3):
        Ledger(path).append("made", text=f"Line {number}.", output="out.wav")
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, bits))
    try:
        for entry in read_ledger(path):
            told(entry)
    except ProvenanceError:
        return
    assert path.read_bytes() == whole  # turned back by a second turn


# --- consent -----------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(bits=BITS)
def test_a_damaged_consent_is_read_or_refused(
    bits: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "consent.toml"
    path.write_bytes(flipped((SAMPLES / "consent.toml").read_bytes(), bits))
    try:
        load_consent(path)
    except ConsentError as error:
        one_line(error)


def test_a_consent_of_brackets(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("a = " + "[" * 50_000)
    with pytest.raises(ConsentError):
        load_consent(tmp_path / "a.toml")


# --- voices ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(bits=BITS, which=st.sampled_from(("voice.toml", "voice.safetensors")))
def test_a_damaged_voice_is_refused_or_the_same(
    bits: list[tuple[int, int]], which: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "voice"
    voice = load_voice("stock:mara")
    voice.save(folder)
    whole = (folder / which).read_bytes()
    (folder / which).write_bytes(flipped(whole, bits))
    try:
        read = load_voice(folder)
    except WeightsError as error:
        one_line(error)
        return
    assert np.array_equal(read.style, voice.style)  # the numbers are never other ones


@pytest.mark.parametrize("seed", ["inf", "nan", "[" * 50_000, '"x"'])
def test_a_card_with_an_absurd_number(tmp_path: Path, seed: str) -> None:
    load_voice("stock:mara").save(tmp_path)
    card = tmp_path / "voice.toml"
    card.write_text(card.read_text().replace("seed = 0", f"seed = {seed}"))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_voice(tmp_path)


def test_the_numbers_of_another_fit_are_not_taken(tmp_path: Path) -> None:
    """What a run killed between two renames would leave."""
    for name in ("mara", "alto-1"):
        load_voice(f"stock:{name}").save(tmp_path / name)
    numbers = (tmp_path / "alto-1" / "voice.safetensors").read_bytes()
    (tmp_path / "mara" / "voice.safetensors").write_bytes(numbers)
    with pytest.raises(WeightsError, match="another fit"):
        load_voice(tmp_path / "mara")


def test_a_voice_that_cannot_be_written_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_voice("stock:mara").save(tmp_path)
    real = Path.write_text

    def full(self: Path, *arguments: object, **named: object) -> int:
        if self.suffix == ".toml":
            raise OSError(28, "No space left on device", str(self))
        return real(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(WildlineError, match="no room"):
        load_voice("stock:alto-1").save(tmp_path)
    monkeypatch.undo()
    assert np.array_equal(load_voice(tmp_path).style, load_voice("stock:mara").style)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["voice.safetensors", "voice.toml"]


@pytest.mark.parametrize("embedding", [np.zeros(3), np.full(256, np.nan)])
def test_an_embedding_of_another_shape_or_of_no_numbers(embedding: np.ndarray) -> None:
    with pytest.raises(WeightsError, match="ge2e"):
        Voice("a", np.zeros(256, np.float32), embeddings={"ge2e": embedding})


# --- sound -------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(bits=BITS)
def test_a_broadcast_wav_with_a_damaged_head(
    bits: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "head.wav"
    facts = BroadcastFacts("a line", scene="12A", take="3", rate=FrameRate.parse("23.976"))
    write_bwf(path, tone(0.05), facts)
    whole = path.read_bytes()
    head = whole.index(b"data")
    path.write_bytes(flipped(whole[:head], bits) + whole[head:])
    for read in (read_bwf, read_sound):
        try:
            read(path)
        except MediaError as error:
            one_line(error)


def test_notes_in_an_encoding_that_nobody_knows_are_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_bwf(path, tone(0.05), BroadcastFacts("a line", scene="12A"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"UTF-8", b"UTF-;", 1))
    facts = read_bwf(path)
    assert facts is not None
    assert (facts.description, facts.scene) == ("a line", "")


def test_a_sound_of_2_31_samples_is_refused_at_once(tmp_path: Path) -> None:
    size = (1 << 31) - 64
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8) + b"data" + struct.pack("<I", size)
    with (tmp_path / "a.wav").open("wb") as stream:
        stream.write(head)
        stream.truncate(len(head) + size)  # takes no room on the disk
    with pytest.raises(MediaError, match="too long"):
        read_sound(tmp_path / "a.wav")


def test_a_rate_of_one_hertz_does_not_grow_into_gigabytes() -> None:
    from media.audio import Sound

    with pytest.raises(MediaError, match="too long"):
        resample(Sound(np.zeros(200_000, np.float32), 1), 48_000)
