"""A voice as a folder, and the voices that ship."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from media.errors import OutputError, WeightsError
from voice.voice import Source, Voice, VoiceScores, WeightsUsed, load_voice, stock_voices


@pytest.fixture
def anna() -> Voice:
    rng = np.random.default_rng(0)
    return Voice(
        name="anna",
        style=rng.standard_normal(256).astype(np.float32),
        person="Anna Example",
        consent_id="c-1",
        sources=(Source("a.wav", "0" * 64, 1.25), Source('b "quoted".wav', "1" * 64, 0.5)),
        weights=(WeightsUsed("kokoro-onnx", "2" * 64, "Apache-2.0"),),
        created="2026-01-02",
        scores=VoiceScores(similarity=0.88, wer=0.0),
        f0_median=201.26,
        f0_range=(150.0, 260.0),
        seed=7,
        embeddings={"ge2e": rng.standard_normal(256).astype(np.float32)},
    )


def test_a_saved_voice_comes_back(anna, tmp_path):
    anna.save(tmp_path / "anna")
    back = load_voice(tmp_path / "anna")
    np.testing.assert_array_equal(back.style, anna.style)
    np.testing.assert_array_equal(back.embeddings["ge2e"], anna.embeddings["ge2e"])
    for field in ("name", "person", "consent_id", "sources", "weights", "scores", "seed"):
        assert getattr(back, field) == getattr(anna, field)
    assert back.f0_median == pytest.approx(201.3)
    assert back.f0_range == (150.0, 260.0)


def test_the_card_can_be_read_by_anybody(anna, tmp_path):
    anna.save(tmp_path)
    card = tomllib.loads((tmp_path / "voice.toml").read_text())
    assert card["scores"] == {"similarity": 0.88, "wer": 0.0}
    assert card["sources"][1]["file"] == 'b "quoted".wav'


def test_saving_twice_gives_the_same_bytes(anna, tmp_path):
    for name in ("a", "b"):
        anna.save(tmp_path / name)
    for file in ("voice.toml", "voice.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_folder_without_a_voice_is_refused_with_advice(tmp_path):
    with pytest.raises(WeightsError, match="there is no voice in"):
        load_voice(tmp_path)


@pytest.mark.parametrize("damage", ["voice.toml", "voice.safetensors"])
def test_damaged_files_are_refused(anna, tmp_path, damage):
    anna.save(tmp_path)
    (tmp_path / damage).write_bytes(b"\x00\x01garbage")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_voice(tmp_path)


def test_a_style_must_be_256_finite_numbers():
    with pytest.raises(WeightsError):
        Voice("short", np.zeros(255, np.float32))
    with pytest.raises(WeightsError):
        Voice("nan", np.full(256, np.nan, np.float32))


def test_a_file_in_the_way_is_reported(anna, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError):
        anna.save(tmp_path / "taken")


def test_stock_voices_cover_low_and_high_and_are_blends():
    voices = [load_voice(f"stock:{n}") for n in stock_voices()]
    english = [v for v in voices if v.language == "en"]
    assert len(english) >= 20
    assert len(voices) > len(english)  # the Japanese packs
    f0 = [v.f0_median for v in english]
    assert f0 == sorted(f0)
    assert f0[0] < 120
    assert f0[-1] > 210


def test_every_shipped_style_says_what_it_is_made_of():
    from voice.voice import _stock_cards

    for card in _stock_cards().values():
        assert len(set(card["packs"])) >= 3
        assert sum(card["weights"]) == pytest.approx(1.0)
        assert max(card["weights"]) <= 0.5


def test_an_unknown_stock_voice_names_those_there_are():
    with pytest.raises(WeightsError, match="choose one of"):
        load_voice("stock:nobody")
