"""Both encoders against constructions of their own, and what a similarity must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from media.audio import Sound, read_sound
from media.errors import NoSpeechError
from voice import similarity
from voice.similarity import centroid, cosine, ge2e, judge, prepare

RATE = 16_000


def babble(seconds: float, f0: float, seed: int = 0) -> Sound:
    """A voiced sound with moving formants: enough like speech to drive an encoder."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = f0 * (1 + 0.1 * np.sin(2 * np.pi * 1.3 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formant = 700 + 300 * np.sin(2 * np.pi * 2.1 * time)
    samples = np.zeros_like(time)
    for k in range(1, 25):
        samples += np.exp(-(((k * pitch - formant) / 400) ** 2)) * np.sin(k * phase)
    samples += 0.01 * rng.standard_normal(len(time))
    return Sound((0.1 * samples).astype(np.float32), RATE)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_in_numpy(mel: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """GE2E from its published equations, float64, one frame at a time."""
    sequence = mel.astype(np.float64)
    for layer in range(3):
        w, r = weights[f"lstm.weight_ih_l{layer}"], weights[f"lstm.weight_hh_l{layer}"]
        b = weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
        h, c = np.zeros(256), np.zeros(256)
        out = []
        for frame in sequence:
            i, f, g, o = np.split(w @ frame + r @ h + b, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            out.append(h)
        sequence = np.stack(out)
    raw = np.maximum(weights["linear.weight"] @ sequence[-1] + weights["linear.bias"], 0)
    return raw / np.linalg.norm(raw)


def test_ge2e_is_the_lstm_it_says_it_is() -> None:
    encoder = ge2e()
    weights = {k: v.numpy().astype(np.float64) for k, v in encoder.state_dict().items()}
    mel = encoder.mel(torch.from_numpy(babble(1.6, 140).samples)[None])
    expected = lstm_in_numpy(mel[0].numpy(), weights)
    np.testing.assert_allclose(encoder(mel)[0].numpy(), expected, atol=2e-5)


def test_ge2e_mel_is_librosas() -> None:
    import librosa

    samples = babble(1.0, 200).samples
    expected = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=400, hop_length=160, n_mels=40
    )
    mel = ge2e().mel(torch.from_numpy(samples)[None])[0].numpy()
    np.testing.assert_allclose(mel.T, expected, rtol=1e-3, atol=1e-5)


def test_ge2e_partials_are_those_published() -> None:
    # 5 s: frames 0, 77, 154, 231, 308; the last would be covered less than three quarters.
    assert similarity._partial_starts(5 * RATE) == [0, 77, 154, 231, 308, 385][:5]
    assert similarity._partial_starts(RATE // 2) == [0]


def test_ge2e_can_be_differentiated() -> None:
    samples = torch.from_numpy(babble(1.6, 140).samples)[None].requires_grad_(True)
    target = torch.from_numpy(ge2e().embed(babble(2.0, 220)))
    (1 - (ge2e().embed_samples(samples)[0] * target).sum()).backward()
    assert samples.grad is not None
    assert float(samples.grad.abs().max()) > 0


def test_one_partial_is_the_embedding_of_the_whole() -> None:
    sound = babble(1.595, 150)
    samples = prepare(sound)
    with torch.no_grad():
        alone = ge2e().embed_samples(torch.from_numpy(samples)[None])[0].numpy()
    assert cosine(ge2e().embed(sound), alone) > 0.999


@pytest.mark.parametrize("encoder", [ge2e, judge])
def test_embedding_has_unit_length_and_ignores_level_and_rate(encoder) -> None:
    sound = babble(3.0, 130)
    embedding = encoder().embed(sound)
    assert embedding.shape == (256,)
    assert embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    from media.audio import resample

    quiet = Sound(sound.samples * np.float32(0.02), RATE)
    assert cosine(encoder().embed(quiet), embedding) > 0.97
    assert cosine(encoder().embed(resample(sound, 24_000)), embedding) > 0.97


@pytest.mark.parametrize("encoder", [ge2e, judge])
def test_silence_has_no_voice(encoder) -> None:
    with pytest.raises(NoSpeechError, match="silent"):
        encoder().embed(Sound(np.zeros(RATE, np.float32), RATE))


@pytest.mark.parametrize("encoder", [ge2e, judge])
def test_a_very_short_sound_still_has_an_embedding(encoder) -> None:
    assert np.isfinite(encoder().embed(babble(0.05, 150))).all()


def test_judge_features_agree_with_a_plain_dft() -> None:
    samples = babble(1.0, 170).samples
    from librosa.filters import mel

    window = np.pad(np.hamming(401)[:400], 56)  # periodic, centred in 512
    features = judge().features(samples)
    filters = mel(sr=RATE, n_fft=512, n_mels=40)
    for frame in (0, 17, 79):
        piece = samples[frame * 160 : frame * 160 + 512] * window
        power = np.abs(np.fft.rfft(piece, 512)) ** 2
        np.testing.assert_allclose(
            features[0, frame], np.log10(filters @ power + 1e-10), rtol=1e-3, atol=1e-3
        )


def test_centroid_and_cosine() -> None:
    a, b = np.eye(256, dtype=np.float32)[:2]
    middle = centroid([a, b])
    assert cosine(a, b) == 0
    assert cosine(middle, a) == pytest.approx(np.sqrt(0.5))
    assert cosine(a, np.zeros(256, np.float32)) == 0


@pytest.mark.parametrize("encoder", [ge2e, judge])
def test_people_are_told_apart(encoder, data_dir: Path) -> None:
    def heard(person: str) -> list[np.ndarray]:
        folder = data_dir / "speech" / "vctk" / person
        return [encoder().embed(read_sound(p)) for p in sorted(folder.glob("*.wav"))[:4]]

    one, other = heard("p225"), heard("p226")
    same = cosine(centroid(one[:2]), centroid(one[2:]))
    assert same > 0.85
    assert same > cosine(centroid(one), centroid(other)) + 0.2
