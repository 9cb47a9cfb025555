"""The Kokoro engine: its stages against the whole graph, its timing, its lengths."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from align.text import speakable
from media.errors import TextError, WeightsError
from voice.engines import get_synthesizer
from voice.engines.kokoro import FRAME_SAMPLES, KokoroSynthesizer
from voice.engines.kokoro_graphs import OnnxStages
from voice.prosody import Prosody

LINE = "We chose to go, and we went."


def test_stages_in_a_row_are_bit_identical_to_the_whole_graph(
    kokoro_onnx, line_tokens, japanese_style
):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    whole = ort.InferenceSession(str(kokoro_onnx), options, providers=["CPUExecutionProvider"])
    ids = np.array([0, *line_tokens[:12], 0], np.int64)
    feed = {"tokens": ids[None], "style": japanese_style, "speed": np.ones(1, np.float32)}
    wanted = whole.run(None, feed)[0]

    stages = OnnxStages.load(kokoro_onnx, threads=1)
    expected, features, acoustic = stages.text(ids, japanese_style)
    frames = np.maximum(np.round(expected), 1).astype(int)
    f0, energy = stages.curves(np.repeat(features, frames, axis=0), japanese_style)
    got = stages.sound(np.repeat(acoustic, frames, axis=0), f0, energy, japanese_style, None, {})
    np.testing.assert_array_equal(got, wanted)


def test_a_damaged_cached_graph_is_made_again(kokoro_onnx, tmp_path, monkeypatch):
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path))
    OnnxStages.load(kokoro_onnx, threads=1)
    for path in (tmp_path / "kokoro").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    ids = np.array([0, 65, 51, 0], np.int64)
    durations, _, _ = OnnxStages.load(kokoro_onnx, threads=1).text(ids, np.zeros((1, 256), "f"))
    assert durations.shape == (4,)


def test_another_onnx_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path))
    other = tmp_path / "other.onnx"
    other.write_bytes(b"\x08\x07")
    with pytest.raises(WeightsError, match="not the Kokoro file"):
        OnnxStages.load(other, threads=1)


def test_sound_durations_and_curves_agree(utterance):
    frames = int(utterance.durations.sum())
    assert len(utterance.sound) == frames * FRAME_SAMPLES
    assert utterance.f0.shape == utterance.energy.shape == (2 * frames,)
    assert utterance.sound.rate == 24_000
    assert np.abs(utterance.sound.samples).max() > 0.1


def test_timing_has_every_word_inside_the_sound(utterance):
    assert [w.label for w in utterance.timing.words] == [
        "We",
        "chose",
        "to",
        "go",
        "and",
        "we",
        "went",
    ]
    assert utterance.timing.duration_s == pytest.approx(float(utterance.sound.duration_s))
    assert utterance.timing.engine == "exact"


def test_the_line_is_loud_inside_and_silent_at_both_ends(utterance):
    samples = utterance.sound.samples
    spoken = utterance.sound.cut(
        utterance.timing.phones[0].start_s, utterance.timing.phones[-1].end_s
    )
    loud = np.sqrt(np.mean(spoken.samples**2))
    for end in (samples[:600], samples[-600:]):
        assert np.sqrt(np.mean(end**2)) < 0.02 * loud


def test_the_first_phone_is_not_cut_off(engine, stock_voice):
    """The whole /s/ of "Stop" sounds inside the model's start mark."""
    said = engine.speak(speakable("Stop!"), stock_voice)
    first = said.timing.phones[0]
    assert first.label == "S"
    hiss = said.sound.cut(first.start_s, first.end_s).samples
    spectrum = np.abs(np.fft.rfft(hiss * np.hanning(len(hiss)))) ** 2
    hz = np.fft.rfftfreq(len(hiss), 1 / 24_000)
    assert first.duration_s > 0.04
    assert spectrum[hz > 3000].sum() > spectrum[hz < 1500].sum()


@pytest.mark.parametrize("wish", [1.9, 3.0])
def test_a_wished_length_is_hit_within_a_frame(engine, stock_voice, wish):
    said = engine.speak(speakable(LINE), stock_voice, Prosody(duration_s=wish))
    assert abs(float(said.sound.duration_s) - wish) <= 0.0125 + 1e-9


def test_a_length_out_of_reach_is_refused(engine, stock_voice):
    with pytest.raises(TextError, match="ask for"):
        engine.speak(speakable(LINE), stock_voice, Prosody(duration_s=0.6))
    with pytest.raises(TextError):
        engine.speak(speakable(LINE), stock_voice, Prosody(duration_s=0.1))


def test_slower_is_longer_and_higher_is_higher(engine, stock_voice, utterance):
    wish = Prosody(speed=0.8, semitones=3)
    said = engine.speak(speakable(LINE), stock_voice, wish)
    assert 1.15 < said.durations.sum() / utterance.durations.sum() < 1.3
    ratio = np.median(said.f0[said.f0 > 0]) / np.median(utterance.f0[utterance.f0 > 0])
    assert 12 * np.log2(ratio) == pytest.approx(3, abs=0.7)


def test_the_same_wishes_give_the_same_bytes(engine, stock_voice):
    script, wish = speakable("We went."), Prosody(noise=0.5, seed=3)
    one, two = (engine.speak(script, stock_voice, wish).sound.samples for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = engine.speak(script, stock_voice, Prosody(noise=0.5, seed=4)).sound.samples
    assert not np.array_equal(one, other)


def test_long_text_comes_in_pieces_and_joins_seamlessly(engine, stock_voice, monkeypatch):
    monkeypatch.setattr("voice.engines.kokoro._LONGEST", 20)
    script = speakable("We went. They stayed at home. Nobody knew.")
    parts = list(engine.speak_pieces(script, stock_voice))
    whole = engine.speak(script, stock_voice)
    assert len(parts) >= 2
    assert [w.label for w in whole.timing.words] == [w.written for w in script.words]
    assert len(whole.durations) == len(script.kokoro) + 2
    assert whole.durations.sum() * FRAME_SAMPLES == len(whole.sound)
    assert whole.timing.duration_s == pytest.approx(float(whole.sound.duration_s))


def test_a_length_holds_for_all_pieces_together(engine, stock_voice, monkeypatch):
    monkeypatch.setattr("voice.engines.kokoro._LONGEST", 20)
    script = speakable("We went. They stayed at home.")
    said = engine.speak(script, stock_voice, Prosody(duration_s=3.5))
    assert abs(float(said.sound.duration_s) - 3.5) <= 0.0125 + 1e-9


def test_both_backends_say_the_same(engine, stock_voice):
    pytorch = KokoroSynthesizer()
    pytorch.__dict__["_stages"] = _torch_stages()
    script = speakable("We went.")
    a, b = engine.speak(script, stock_voice), pytorch.speak(script, stock_voice)
    assert abs(int(a.durations.sum()) - int(b.durations.sum())) <= 3
    assert [p.label for p in a.timing.phones] == [p.label for p in b.timing.phones]


def _torch_stages():
    from voice.engines.kokoro import _TorchStages
    from voice.engines.kokoro_model import load_model

    return _TorchStages(load_model())


def test_an_unknown_engine_names_those_there_are():
    with pytest.raises(WeightsError, match="choose one of: kokoro"):
        get_synthesizer("parrot")


def test_sentences_side_by_side_load_the_engine_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []

    def load(_self: KokoroSynthesizer) -> object:
        time.sleep(0.05)
        loaded.append(object())
        return loaded[-1]

    monkeypatch.setattr(KokoroSynthesizer, "_load", load)
    engine = KokoroSynthesizer(threads=1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: engine._stages, range(4)))
    assert len(loaded) == 1
    assert found == loaded * 4
