"""What a fit listens to: standing differences, bands, noise; against known truths."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfiltfilt
from torch.nn import functional as F  # noqa: N812

from align.text import speakable
from media.audio import Sound
from voice import fit
from voice._band import band_limited
from voice._fit_clean import without_noise
from voice._fit_gradient import MelLoss, _standing
from voice._fit_person import Person
from voice._fit_targets import Target, make_targets
from voice.archive import CLIP_RATE, Clip
from voice.engines import get_synthesizer
from voice.engines._snake import styled_snake
from voice.pitch import lowest_hz
from voice.voice import Voice, load_voice, stock_voices

LINE = "The committee will meet again on Thursday afternoon."


@pytest.fixture(scope="module")
def voice() -> Voice:
    return load_voice(f"stock:{stock_voices()[0]}")


@pytest.fixture(scope="module")
def spoken(voice: Voice) -> Sound:
    return get_synthesizer().speak(speakable(LINE), voice).sound


def telephone(sound: Sound) -> Sound:
    band = butter(8, (300, 3400), "bandpass", fs=sound.rate, output="sos")
    return replace(sound, samples=sosfiltfilt(band, sound.samples).astype(np.float32))


def clip_of(sound: Sound, snr_db: float = 60.0) -> Clip:
    return Clip(
        Path("a.wav"), Fraction(0), sound.duration_s, LINE, sound, 1.0, snr_db, 0.0, "A", "given"
    )


def test_a_standing_difference_is_what_stays_on_the_average() -> None:
    generator = torch.Generator().manual_seed(0)
    colour = torch.linspace(-0.3, 0.3, 12)[:, None]
    owner = torch.arange(300) // 10 % 2  # two sounds in turn, coloured the other way round
    signs = 1.0 - 2.0 * owner
    chance = torch.randn(12, 300, generator=generator)
    louder = 2.0  # all of it, which is no colour
    difference = colour * signs + louder
    truth = float(colour.abs().mean())
    assert float(_standing(difference, owner)) == pytest.approx(truth, rel=1e-5)
    assert float(_standing(difference, torch.zeros_like(owner))) == pytest.approx(0, abs=1e-5)
    # Chance three times as strong as the colour hardly hides it from the mean.
    found = float(_standing(difference + chance, owner))
    assert found == pytest.approx(truth, rel=0.35)
    assert float(_standing(chance, owner)) < 0.5 * truth


def test_the_mel_loss_sees_a_colour_through_chance() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((2, CLIP_RATE)) * 0.05
    tilt = butter(1, 2500, "highpass", fs=CLIP_RATE, output="sos")
    coloured = second + 0.3 * sosfiltfilt(tilt, second)
    coloured *= np.sqrt(np.mean(second**2) / np.mean(coloured**2))
    a, plain, other = (torch.from_numpy(x.astype(np.float32)) for x in (first, second, coloured))
    loss = MelLoss(11_000, None)
    sounds = torch.arange(40) // 5
    frames = float(loss(a, other) - loss(a, plain))
    all_three = float(loss(a, other, sounds) - loss(a, plain, sounds))
    assert all_three > 2.5 * frames > 0
    assert float(loss(a, a, sounds)) == 0


def test_the_styled_snake_and_its_gradient_are_those_of_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x, gain, bias = drawn(2, 3, 19), 1 + 0.3 * drawn(2, 3, 1), drawn(2, 3, 1)
    alpha = 0.5 + drawn(1, 3, 1).abs()
    inner = gain * F.instance_norm(x, eps=1e-5) + bias
    wanted = inner + torch.sin(alpha * inner) ** 2 / alpha
    torch.testing.assert_close(styled_snake(x, gain, bias, alpha), wanted)
    given = [t.requires_grad_(True) for t in (x, gain, bias)]
    assert torch.autograd.gradcheck(lambda *a: styled_snake(*a, alpha), given)


@pytest.mark.parametrize(("kind", "near"), [(torch.float32, 2e-5), (torch.bfloat16, 2e-2)])
def test_the_snake_in_one_pass_is_the_same_on_any_number_of_threads(
    kind: torch.dtype, near: float
) -> None:
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    x, gain, bias = (3 * drawn(2, 5, 401) + 1).to(kind), 1 + 0.3 * drawn(2, 5, 1), drawn(2, 5, 1)
    alpha, grad = 0.5 + 8 * drawn(1, 5, 1).abs(), drawn(2, 5, 401).to(kind)

    def found(threads: int, x: torch.Tensor, grad: torch.Tensor) -> list[torch.Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            given = [t.clone().requires_grad_(True) for t in (x, gain, bias)]
            out = styled_snake(*given, alpha)
            return [out.detach(), *torch.autograd.grad(out, given, grad.to(out.dtype))]
        finally:
            torch.set_num_threads(before)

    one, three = found(1, x, grad), found(3, x, grad)
    assert one[0].dtype == one[1].dtype == kind
    for a, b in zip(one, three, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    gain, bias, alpha = gain.double(), bias.double(), alpha.double()
    for ours, wanted in zip(one, found(1, x.double(), grad.double()), strict=True):
        assert float((ours - wanted).abs().max()) <= near * float(wanted.abs().max())


def test_a_telephone_lacks_the_fundamental(spoken: Sound, voice: Voice) -> None:
    from voice.pitch import median_f0, track_f0

    pitch = median_f0(track_f0(spoken))
    assert lowest_hz(spoken, pitch) == 0.0
    assert 200 < lowest_hz(telephone(spoken), pitch) < 450
    assert lowest_hz(spoken, float("nan")) == 0.0


def test_a_band_with_a_lower_edge_cuts_on_both_sides() -> None:
    time = np.arange(CLIP_RATE) / CLIP_RATE
    for hz, kept in ((120, False), (1000, True), (6000, False)):
        tone = Sound(np.sin(2 * np.pi * hz * time).astype(np.float32), CLIP_RATE)
        rms = float(np.sqrt(np.mean(band_limited(tone, 3400, 300).samples[4000:-4000] ** 2)))
        assert rms == pytest.approx(np.sqrt(0.5) if kept else 0, abs=0.02)


def test_targets_of_a_telephone_line_keep_the_level_within_its_band(
    spoken: Sound, voice: Voice
) -> None:
    """The same performance through a telephone is no louder inside the band than it was."""
    narrow = telephone(spoken)
    person = Person((), (), np.zeros(256, "f"), np.zeros(256, "f"), 180, (90, 300), 3400, 300)
    (target,) = make_targets(
        [clip_of(narrow)],
        get_synthesizer(),
        voice,
        f0_limits=(70, 500),
        progress=lambda _: None,
        band=person.band,
    )
    assert target.cost < 0.1
    loud = np.sort(target.samples**2)[-len(target.samples) // 5 :].mean()
    wanted = np.sort(narrow.samples**2)[-len(narrow.samples) // 5 :].mean()
    assert 10 * np.log10(loud / wanted) == pytest.approx(0, abs=1.0)


def test_noise_is_taken_out_and_told_apart(spoken: Sound) -> None:
    rng = np.random.default_rng(0)
    level = float(np.sqrt(np.mean(spoken.samples**2))) * 10 ** (-10 / 20)
    hiss = (level * rng.standard_normal(len(spoken))).astype(np.float32)
    noisy = Sound(spoken.samples + hiss, spoken.rate)
    good = clip_of(spoken)
    kept, mended = without_noise([good, clip_of(noisy, 10.0)])
    assert kept is good
    left = mended.sound.samples - spoken.samples
    assert np.mean(left**2) < 0.35 * np.mean(hiss**2)
    assert mended.noise is not None
    np.testing.assert_allclose(mended.sound.samples + mended.noise, noisy.samples, atol=1e-6)
    assert without_noise([good]) == (good,)


def test_one_noisy_clip_blinds_the_fit_no_more_than_its_share() -> None:
    rng = np.random.default_rng(1)
    speech, hiss = (rng.standard_normal(48_000).astype(np.float32) for _ in range(2))
    speech[24_000:36_000] *= 0.001  # a pause
    clean = clip_of(Sound(speech, 24_000))
    cleaned = replace(clip_of(Sound(speech, 24_000), 8.0), noise=0.4 * hiss)
    none, no_curve = np.zeros(0, np.int64), np.zeros(0, np.float32)
    target = Target("", (), none, no_curve, no_curve, 2 * speech, speech=(0, 80), cost=0.0)
    found = fit._noise([replace(target, number=n) for n in range(10)], [cleaned, *[clean] * 9])
    assert found is not None
    assert len(found) == pytest.approx(48_000, rel=0.01)  # of 480,000
    assert np.abs(found).max() > 2  # twice as loud, as the target is
    assert np.abs(found).mean() == pytest.approx(0.1 * 2 * 0.4 * np.sqrt(2 / np.pi), rel=0.1)
