"""Fitting a voice: the parts against known truths, and one small real fit."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from align.text import speakable
from media.audio import Sound, write_wav
from voice import _fit_gradient, _fit_start
from voice._band import band_filter, band_limited
from voice._fit_gradient import Clock, MelLoss, TimbreLoss
from voice._fit_person import divide
from voice._fit_start import Known, blend, nearest, within_reach
from voice._fit_targets import FRAME_SAMPLES, _durations, make_targets
from voice.archive import CLIP_RATE, Archive, Clip, Source
from voice.engines import get_synthesizer
from voice.fit import Effort, fit_archive
from voice.pitch import median_f0, track_f0
from voice.similarity import cosine, ge2e
from voice.voice import Voice, load_voice

LINES = (
    "The committee will meet again on Thursday afternoon.",
    "My grandmother worked in that factory for thirty years.",
    "Where can I find the nearest hospital?",
    "She sells sea shells by the sea shore.",
)


@pytest.fixture(scope="module")
def bundled() -> dict[str, Voice]:
    """The five bundled packs."""
    from voice.voice import stock_voices

    names = [n for n in stock_voices() if n.startswith(("jf_", "jm_"))]
    return {n: load_voice(f"stock:{n}") for n in names}


@pytest.fixture(scope="module")
def person(bundled: dict[str, Voice]) -> Voice:
    """A person who never was: three packs mixed."""
    women = [v.style for n, v in bundled.items() if n.startswith("jf_")][:3]
    weights = np.array([0.5, 0.2, 0.3], np.float32)
    return Voice("nobody", (weights[:, None] * np.stack(women)).sum(axis=0))


@pytest.fixture(scope="module")
def clips(person: Voice) -> tuple[Clip, ...]:
    """Four sentences by that person, 10 to 15 s."""
    made = []
    for k, line in enumerate(LINES):
        sound = get_synthesizer().speak(speakable(line), person).sound
        path = Path(f"line{k}.wav")
        made.append(
            Clip(path, Fraction(0), sound.duration_s, line, sound, 1.0, 60.0, 0.0, "A", "given")
        )
    return tuple(made)


def clip_of(seconds: float, source: str) -> Clip:
    n = int(seconds * CLIP_RATE)
    sound = Sound(np.zeros(n, np.float32), CLIP_RATE)
    return Clip(Path(source), Fraction(0), Fraction(n, CLIP_RATE), source, sound, 1.0, 40.0, 0.0)


def test_the_card_names_all_that_takes_part() -> None:
    from dataclasses import replace

    from studio._jobs import FIT_WEIGHTS
    from voice.fit import _weights_used

    clean = clip_of(4, "a.wav")
    noisy = replace(clean, noise=clean.sound.samples)
    assert {w.name for w in _weights_used((clean, noisy), None)} == set(FIT_WEIGHTS)
    assert "deepfilternet" not in {w.name for w in _weights_used((clean,), None)}
    assert all(len(w.sha256) == 64 for w in _weights_used((noisy,), ()))


def test_whole_recordings_are_held_out() -> None:
    clips = [clip_of(4, f"{k // 2}.wav") for k in range(40)]
    trained, held = divide(clips)
    assert len(trained) + len(held) == 40
    assert not {c.source for c in trained} & {c.source for c in held}
    assert 4 <= len(held) <= 12
    assert divide(clips) == (trained, held)


def test_nothing_is_held_out_of_very_little() -> None:
    clips = [clip_of(5, "a.wav"), clip_of(5, "a.wav")]
    trained, held = divide(clips)
    assert (len(trained), len(held)) == (2, 0)


def known(name: str, f0: float, direction: int, also: int | None = None) -> Known:
    embedding = np.zeros(256, np.float32)
    embedding[direction] = 1
    if also is not None:
        embedding[also] = 1
    embedding /= np.linalg.norm(embedding)
    style = np.full(256, float(direction), np.float32)
    return Known(Voice(name, style), embedding, embedding, f0)


def test_a_voice_of_another_pitch_is_no_start() -> None:
    voices = [known(f"low{k}", 100 + k, k) for k in range(3)] + [known("high", 220, 9)]
    assert {k.voice.name for k in within_reach(voices, 103)} == {"low0", "low1", "low2"}
    # With nothing near, the nearest three in pitch.
    assert {k.voice.name for k in within_reach(voices, 400)} >= {"high"}
    assert len(within_reach(voices, float("nan"))) == 4


def test_blend_finds_its_weights() -> None:
    voices = [known("a", 200, 0), known("b", 200, 1), known("c", 200, 2)]
    target = np.zeros(256, np.float32)
    target[0], target[1] = 3, 1
    mixed = blend(voices, target)
    assert mixed is not None
    np.testing.assert_allclose(mixed.style, 0.25, atol=1e-6)  # 3/4 of style 0, 1/4 of style 1
    assert blend(voices, voices[2].ge2e) is None  # one voice alone is no mixture


def test_durations_follow_the_warp_and_keep_every_phoneme() -> None:
    frames = np.array([4, 3, 2, 5, 8])
    stretched = np.linspace(0, 88, 45)  # 22 frames of 25 ms made 44
    found = _durations(frames, stretched, 44)
    assert found is not None
    assert found.sum() == 44
    np.testing.assert_array_equal(found, 2 * frames)
    squeezed = np.concatenate([np.zeros(20), np.linspace(0, 20, 25)])
    found = _durations(frames, squeezed, 10)
    assert found is not None
    assert found.sum() == 10
    assert found.min() >= 1
    assert _durations(frames, squeezed, 4) is None


def test_targets_recover_the_engines_own_timing(
    clips: tuple[Clip, ...], person: Voice, bundled: dict[str, Voice]
) -> None:
    """A sentence by the engine, aligned through another voice, gets its true lengths back."""
    other = next(v for n, v in bundled.items() if n.startswith("jf_"))
    (target,) = make_targets(
        clips[:1], get_synthesizer(), other, f0_limits=(70, 500), progress=lambda _: None
    )
    truth = get_synthesizer().speak(speakable(LINES[0]), person)
    frames = truth.durations[1:-1]
    error = np.abs(np.cumsum(target.durations[1:-1]) - np.cumsum(frames))
    error = error - np.median(error)
    assert np.abs(error).mean() < 2.0  # frames of 25 ms
    assert len(target.f0) == len(target.energy) == 2 * target.durations.sum()
    assert len(target.samples) == FRAME_SAMPLES * target.durations.sum()
    # The engine's own curve hums on through consonants, so pitch is compared as heard.
    assert median_f0(target.f0) == pytest.approx(median_f0(track_f0(truth.sound)), rel=0.01)
    # The energy of the speech is on the engine's own scale.
    loud = truth.energy > np.percentile(truth.energy, 60)
    assert abs(np.percentile(target.energy, 80) - np.median(truth.energy[loud])) < 0.5


def test_words_that_were_not_said_are_left_out(
    clips: tuple[Clip, ...], bundled: dict[str, Voice]
) -> None:
    from dataclasses import replace

    voice = next(iter(bundled.values()))
    wrong = replace(clips[0], text="Rain in the hills brings down the river every spring here.")
    found = make_targets(
        [*clips[:3], wrong], get_synthesizer(), voice, f0_limits=(70, 500), progress=lambda _: None
    )
    assert [t.text for t in found] == list(LINES[:3])


def test_mel_loss_is_deaf_outside_the_band_and_below_the_noise() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(CLIP_RATE) / CLIP_RATE
    low = (0.1 * np.sin(2 * np.pi * 500 * time)).astype(np.float32)
    high = (0.1 * np.sin(2 * np.pi * 9000 * time)).astype(np.float32)
    hiss = (0.01 * rng.standard_normal(CLIP_RATE)).astype(np.float32)
    a, b = torch.from_numpy(low), torch.from_numpy(low + high)
    assert float(MelLoss(11_000, None)(a, a)) == 0
    assert float(MelLoss(11_000, None)(a, b)) > 0.1
    assert float(MelLoss(6_000, None)(a, b)) < 0.02
    noisy = torch.from_numpy(low + hiss)
    quiet_loss, informed = MelLoss(11_000, None), MelLoss(11_000, hiss)
    assert float(informed(a, noisy)) < 0.4 * float(quiet_loss(a, noisy))


def test_band_filter_cuts_and_passes() -> None:
    assert band_filter(11_900) is None
    time = np.arange(CLIP_RATE) / CLIP_RATE
    for hz, kept in ((1000, True), (6000, False)):
        tone = Sound(np.sin(2 * np.pi * hz * time).astype(np.float32), CLIP_RATE)
        rms = float(np.sqrt(np.mean(band_limited(tone, 3400).samples[2000:-2000] ** 2)))
        assert (rms == pytest.approx(np.sqrt(0.5), rel=0.02)) if kept else rms < 1e-3
    assert band_limited(tone, 12_000) is tone


def test_known_voices_are_remembered(
    bundled: dict[str, Voice], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path))
    monkeypatch.setattr(_fit_start, "user_cache_dir", lambda: tmp_path)
    one = list(bundled.values())[:1]
    first = _fit_start.known_voices(get_synthesizer(), one)
    saved = list(tmp_path.glob("stock-*.npz"))
    assert len(saved) == 1

    class Silent:
        name = "silent"

        def speak(self, *_: object) -> None:
            raise AssertionError("spoken again")

    again = _fit_start.known_voices(Silent(), one)  # type: ignore[arg-type]
    np.testing.assert_array_equal(first[0].ge2e, again[0].ge2e)
    assert first[0].f0 == again[0].f0
    saved[0].write_bytes(b"not a table")
    assert _fit_start.known_voices(get_synthesizer(), one)[0].f0 == first[0].f0


def test_nearest_prefers_the_alike(bundled: dict[str, Voice], person: Voice) -> None:
    heard = [_fit_start.listen(get_synthesizer(), v) for v in bundled.values()]
    target = _fit_start.listen(get_synthesizer(), person)
    start, near = nearest(get_synthesizer(), heard, target.ge2e, target.f0)
    best = max(cosine(k.ge2e, target.ge2e) for k in within_reach(heard, target.f0))
    assert near >= best - 0.06  # a nearer pitch may win over a little likeness
    assert abs(12 * np.log2(start.f0 / target.f0)) < 6.5


@pytest.mark.slow
def test_gradients_are_the_same_twice(
    clips: tuple[Clip, ...], bundled: dict[str, Voice], kokoro_model
) -> None:
    voice = next(iter(bundled.values()))
    targets = make_targets(
        clips[:1], get_synthesizer(), voice, f0_limits=(70, 500), progress=lambda _: None
    )
    items = _fit_gradient.prepare(kokoro_model, targets)
    aim = ge2e().embed(clips[0].sound)
    loss = TimbreLoss(MelLoss(11_000, None), ge2e(), aim, 11_000)

    def once() -> np.ndarray:
        return np.concatenate(
            [
                fit(  # type: ignore[operator]
                    kokoro_model,
                    items,
                    *more,
                    steps=2,
                    rng=random.Random(3),
                    clock=Clock(),
                    progress=lambda _: None,
                )[...]
                for fit, more in (
                    (_fit_gradient.fit_prosody, (voice.style,)),
                    (
                        lambda *a, **k: _fit_gradient.fit_timbre(*a, **k).half,
                        ([], voice.style, loss),
                    ),
                )
            ]
        )

    np.testing.assert_array_equal(once(), once())


@pytest.mark.slow
def test_a_small_fit_moves_towards_the_person(
    clips: tuple[Clip, ...], person: Voice, bundled: dict[str, Voice], tmp_path: Path
) -> None:
    """A few steps on 12 s: nearer than the start by the encoder, and a card that says so."""
    import soundfile

    sources = []
    for clip in clips:
        path = tmp_path / clip.source.name
        write_wav(path, clip.sound)
        info = soundfile.info(path)
        sources.append(Source(clip.source, "0" * 64, Fraction(info.frames, info.samplerate), 24000))
    start = [v for n, v in bundled.items() if n.startswith("jf_")][2:4]
    said: list[float] = []
    voice = fit_archive(
        Archive(clips, (), tuple(sources)),
        tmp_path / "voice",
        person="Nobody",
        consent_id="none needed",
        effort=Effort(timbre_steps=8, prosody_steps=6),
        starts=start,
        progress=lambda done, _what: said.append(done),
    )
    assert said == sorted(said)
    assert said[-1] == 1

    target = voice.embeddings["ge2e"]

    def heard(v: Voice) -> float:
        return cosine(ge2e().embed(get_synthesizer().speak(speakable(LINES[1]), v).sound), target)

    before = max(heard(v) for v in start)
    assert heard(voice) > before + 0.03
    scores = voice.scores
    assert scores.similarity is not None
    assert scores.similarity_best_stock is not None
    assert scores.wer is not None
    assert scores.wer < 0.3
    again = load_voice(tmp_path / "voice")
    assert not (tmp_path / "voice" / ".unfinished").exists()
    assert again.scores.similarity == pytest.approx(scores.similarity, abs=1e-4)
    assert [s.file for s in again.sources] == [c.source.name for c in clips]
    from studio._jobs import FIT_WEIGHTS

    assert set(FIT_WEIGHTS) - {w.name for w in again.weights} == {
        "kokoro-voices-ja",  # it was told where to start
        "deepfilternet",  # and nothing was noisy
    }
    assert len(again.layers) == 48
    assert any(extra.any() for extra in again.layers.values())
    np.testing.assert_array_equal(again.embeddings["embedder"], voice.embeddings["embedder"])
