"""Kokoro-82M in PyTorch, opened up: every stage can be called, replaced and differentiated.

    text ids ──> encode ──> predict_durations ──> expand ──> f0_energy ──> decode ──> 24 kHz
                 (ALBERT,     (StyleTTS 2           │                        (ISTFTNet with
                  CNN+LSTM)    duration LSTMs)      └──────── asr ──────────>  harmonic source)

A style is float32 [batch, 256]: numbers 0..127 are timbre (decoder), 128..255 prosody
(durations, F0, energy). Time runs in frames of 600 samples (25 ms); F0 and energy have two
values a frame (12.5 ms). Everything is differentiable with respect to the style; `encode`
does not depend on it, so a fit computes it once per sentence.

Sources: StyleTTS 2 (Li et al. 2023, arXiv:2306.07691), iSTFTNet (Kaneko et al. 2022,
arXiv:2203.02395), the neural source filter (Wang et al. 2019, arXiv:1904.12088), ALBERT (Lan et
al. 2020, arXiv:1909.11942), Snake (Ziyin et al. 2020, arXiv:2006.08195). Parameter names are those
of the published checkpoint (weight normalisation folded in).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from voice.engines._snake import EPS, styled_snake
from voice.engines.kokoro_weights import read_state

__all__ = ["FRAME_SAMPLES", "SAMPLE_RATE", "Encoded", "KokoroModel", "expand", "load_model"]

SAMPLE_RATE = 24000
FRAME_SAMPLES = 600
MAX_IDS = 512  # positions of the text encoder, the two end marks included

_TOKENS, _WIDTH, _STYLE = 178, 512, 128
_FFT, _HOP = 20, 5
_UPSAMPLE = 2 * 10 * 6  # decoder block, then two transposed convolutions
_HARMONICS, _SINE_LEVEL, _VOICED_NOISE, _VOICED_HZ = 9, 0.1, 0.003, 10.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """A sentence after the two text encoders, independent of any style.

    `prosodic` float32 [1, T, 512] feeds durations, F0 and energy; `acoustic`
    float32 [1, T, 512] feeds the decoder. T counts tokens with both end marks.
    """

    prosodic: Tensor
    acoustic: Tensor


class KokoroModel(nn.Module):
    """The whole model. Frozen weights are the caller's choice (``requires_grad_(False)``)."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = _Albert()
        self.bert_encoder = nn.Linear(768, _WIDTH)
        self.text_encoder = _TextEncoder()
        self.predictor = _Predictor()
        self.decoder = _Decoder()

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return torch.device(self.bert_encoder.weight.device)

    def ids(self, tokens: Sequence[int]) -> Tensor:
        """Token numbers without end marks -> int64 [1, T] with them, on this device."""
        if not 0 < len(tokens) <= MAX_IDS - 2:
            raise ValueError(f"{len(tokens)} tokens; give 1 to {MAX_IDS - 2}")
        return torch.tensor([[0, *tokens, 0]], dtype=torch.int64, device=self.device)

    def encode(self, ids: Tensor) -> Encoded:
        """Both text encoders on `ids` int64 [1, T]."""
        return Encoded(self.bert_encoder(self.bert(ids)), self.text_encoder(ids))

    def predict_durations(self, encoded: Encoded, style: Tensor) -> tuple[Tensor, Tensor]:
        """(features float32 [1, T, 640], expected durations float32 [1, T] in frames).

        Durations are neither rounded nor divided by a speed.
        """
        prosody = style[:, _STYLE:]
        features: Tensor = self.predictor.text_encoder(encoded.prosodic, prosody)
        hidden, _ = self.predictor.lstm(features)
        return features, torch.sigmoid(self.predictor.duration_proj(hidden)).sum(-1)

    def durations(self, ids: Tensor, style: Tensor, speed: float = 1.0) -> Tensor:
        """Whole durations as the model would speak them, int64 [T], each at least 1 frame."""
        _, frames = self.predict_durations(self.encode(ids), style)
        return torch.round(frames / speed).clamp(min=1).long()[0]

    def f0_energy(
        self, features: Tensor, durations: Tensor, style: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(F0 in Hz, log energy), each float32 [1, 2n] for n = durations.sum() frames.

        F0 at or below 10 Hz means unvoiced. `features` come from `predict_durations`.
        """
        f0, energy = self.predictor.curves(expand(features, durations), style[:, _STYLE:])
        return f0, energy

    @property
    def layers(self) -> dict[str, _StyledInstanceNorm]:
        """The decoder's styled layers by name, in the order of the model."""
        found = self.decoder.named_modules()
        return {name: m for name, m in found if isinstance(m, _StyledInstanceNorm)}

    def set_layers(self, extras: Mapping[str, Tensor]) -> None:
        """Have the decoder's layers add `extras` (name -> float32 [2 C]) to what the style
        gives them; those not named add nothing. Raises `KeyError` for a name it does not have.
        """
        layers = self.layers
        for layer in layers.values():
            layer.extra = None
        for name, extra in extras.items():
            layers[name].extra = extra

    def decode(
        self,
        asr: Tensor,
        f0: Tensor,
        energy: Tensor,
        style: Tensor,
        *,
        noise: float = 0.0,
        generator: torch.Generator | None = None,
        excitation: Tensor | None = None,
    ) -> Tensor:
        """Sound float32 [B, 600 n] at 24 kHz.

        `asr` float32 [B, n, 512] is `expand(encoded.acoustic, durations)` or a slice of it;
        `f0` and `energy` float32 [B, 2n]; `style` [B, 256] (its timbre half is used).
        `noise` scales the random part of the source (1 as in training, 0 as in the ONNX
        file); it is drawn from `generator`, so a seed fixes it. `excitation` [B, 600 n, 9]
        is that random part ready made, in its place.
        """
        if excitation is None and noise > 0:
            excitation = noise * _random_excitation(f0, generator)
        source = self.decoder.generator.source(f0, excitation)
        sound: Tensor = self.decoder(asr.mT, f0, energy, style[:, :_STYLE], source)
        return sound

    def forward(
        self,
        ids: Tensor,
        style: Tensor,
        *,
        durations: Tensor | None = None,
        f0: Tensor | None = None,
        energy: Tensor | None = None,
        speed: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """(sound float32 [600 n], durations int64 [T]); any given curve replaces its own."""
        encoded = self.encode(ids)
        features, expected = self.predict_durations(encoded, style)
        if durations is None:
            durations = torch.round(expected / speed).clamp(min=1).long()[0]
        own_f0, own_energy = self.f0_energy(features, durations, style)
        sound = self.decode(
            expand(encoded.acoustic, durations),
            own_f0 if f0 is None else f0,
            own_energy if energy is None else energy,
            style,
        )
        return sound[0], durations


def expand(features: Tensor, durations: Tensor) -> Tensor:
    """Repeat each token's features for its frames: [1, T, C], int64 [T] -> [1, n, C]."""
    return torch.repeat_interleave(features, durations.reshape(-1), dim=1)


def load_model(onnx_path: Path | None = None, device: str = "cpu") -> KokoroModel:
    """Kokoro in fp32 from its int8 ONNX file, in eval mode with frozen weights.

    `onnx_path` defaults to the registered file. Raises `WeightsError` when it is not Kokoro.
    """
    if onnx_path is None:
        from weights.registry import locate

        onnx_path = locate("kokoro-onnx")
    model = KokoroModel()
    model.load_state_dict({k: torch.tensor(v) for k, v in read_state(onnx_path).items()})
    return model.to(device).eval().requires_grad_(False)


# --- text side ---------------------------------------------------------------------------


class _AlbertAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.dense = (nn.Linear(width, width) for _ in range(4))
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:
            return y.reshape(*y.shape[:2], self.heads, -1).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(x)), split(self.value(x))
        )
        out: Tensor = self.LayerNorm(x + self.dense(mixed.transpose(1, 2).flatten(2)))
        return out


class _AlbertLayer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention = _AlbertAttention(width, heads)
        self.ffn = nn.Linear(width, inner)
        self.ffn_output = nn.Linear(inner, width)
        self.full_layer_layer_norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(x)
        inner = F.gelu(self.ffn(x), approximate="tanh")
        out: Tensor = self.full_layer_layer_norm(x + self.ffn_output(inner))
        return out


class _Albert(nn.Module):
    """PL-BERT: ALBERT over phonemes, one layer applied twelve times. [1, T] -> [1, T, 768]."""

    def __init__(self, width: int = 768, embedding: int = 128, times: int = 12) -> None:
        super().__init__()
        self.times = times
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(_TOKENS, embedding),
                "position_embeddings": nn.Embedding(MAX_IDS, embedding),
                "token_type_embeddings": nn.Embedding(2, embedding),
                "LayerNorm": nn.LayerNorm(embedding, eps=1e-12),
            }
        )
        layer = _AlbertLayer(width, 12, 2048)
        group = nn.ModuleDict({"albert_layers": nn.ModuleList([layer])})
        self.encoder = nn.ModuleDict(
            {
                "embedding_hidden_mapping_in": nn.Linear(embedding, width),
                "albert_layer_groups": nn.ModuleList([group]),
            }
        )
        self._layer = (layer,)  # in a tuple, so that it is registered only once

    def forward(self, ids: Tensor) -> Tensor:
        tables = self.embeddings
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        x = tables["word_embeddings"](ids) + tables["position_embeddings"](positions)
        x = tables["LayerNorm"](x + tables["token_type_embeddings"](torch.zeros_like(ids)))
        x = self.encoder["embedding_hidden_mapping_in"](x)
        for _ in range(self.times):
            x = self._layer[0](x)
        out: Tensor = x
        return out


class _ChannelNorm(nn.Module):
    """Layer norm over channels of [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.mT, self.gamma.shape, self.gamma, self.beta, 1e-5).mT


class _TextEncoder(nn.Module):
    """Phonemes for the decoder: three convolutions and an LSTM. [1, T] -> [1, T, 512]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_TOKENS, _WIDTH)
        self.cnn = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(_WIDTH, _WIDTH, 5, padding=2), _ChannelNorm(_WIDTH), nn.LeakyReLU(0.2)
            )
            for _ in range(3)
        )
        self.lstm = _bilstm(_WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids).mT
        for layer in self.cnn:
            x = layer(x)
        out: Tensor = self.lstm(x.mT)[0]
        return out


def _bilstm(inputs: int) -> nn.LSTM:
    return nn.LSTM(inputs, _WIDTH // 2, batch_first=True, bidirectional=True)


# --- durations, F0, energy ---------------------------------------------------------------


class _StyledLayerNorm(nn.Module):
    """AdaLN: layer norm of [B, T, C] whose gain and bias come from the style."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(_STYLE, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, bias = self.fc(style)[:, None].chunk(2, dim=-1)
        return torch.addcmul(bias, 1 + gain, F.layer_norm(x, x.shape[-1:], eps=1e-5))


class _DurationEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        pairs = ((_bilstm(_WIDTH + _STYLE), _StyledLayerNorm(_WIDTH)) for _ in range(3))
        self.lstms = nn.ModuleList(module for pair in pairs for module in pair)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        along = style[:, None].expand(-1, x.shape[1], -1)
        x = torch.cat((x, along), dim=-1)
        for lstm, norm in zip(self.lstms[::2], self.lstms[1::2], strict=True):
            x = torch.cat((norm(lstm(x)[0], style), along), dim=-1)
        return x


class _Predictor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.text_encoder = _DurationEncoder()
        self.lstm = _bilstm(_WIDTH + _STYLE)
        self.duration_proj = nn.Sequential()
        self.duration_proj.add_module("linear_layer", nn.Linear(_WIDTH, 50))
        self.shared = _bilstm(_WIDTH + _STYLE)
        self.F0, self.N = _curve_blocks(), _curve_blocks()
        self.F0_proj, self.N_proj = nn.Conv1d(_WIDTH // 2, 1, 1), nn.Conv1d(_WIDTH // 2, 1, 1)

    def curves(self, features: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """F0 and energy, [1, 2n] each, from features [1, n, 640]."""
        shared = self.shared(features)[0].mT
        f0 = energy = shared
        for block in self.F0:
            f0 = block(f0, style)
        for block in self.N:
            energy = block(energy, style)
        return self.F0_proj(f0)[:, 0], self.N_proj(energy)[:, 0]


def _curve_blocks() -> nn.ModuleList:
    half = _WIDTH // 2
    return nn.ModuleList(
        (
            _StyledBlock(_WIDTH, _WIDTH),
            _StyledBlock(_WIDTH, half, upsample=True),
            _StyledBlock(half, half),
        )
    )


class _StyledInstanceNorm(nn.Module):
    """AdaIN (Huang & Belongie 2017) over the time of [B, C, T].

    `extra` [2 C], where set, is added to the gains and biases that the style gives.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(_STYLE, 2 * channels)
        self.extra: Tensor | None = None

    def forward(self, x: Tensor, style: Tensor, alpha: Tensor | None = None) -> Tensor:
        """The norm, and after it Snake where its `alpha` [1, C, 1] is given."""
        with torch.autocast(style.device.type, enabled=False):  # few numbers, each counts
            both = self.fc(style)
        if self.extra is not None:
            both = both + self.extra
        gain, bias = both[..., None].chunk(2, dim=1)
        if alpha is not None:
            return styled_snake(x, 1 + gain, bias, alpha)
        return torch.addcmul(bias, 1 + gain, F.instance_norm(x, eps=EPS))


class _StyledBlock(nn.Module):
    """Residual block, normalised by style; `upsample` doubles the rate."""

    def __init__(self, inputs: int, outputs: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.upsample = upsample
        self.norm1, self.norm2 = _StyledInstanceNorm(inputs), _StyledInstanceNorm(outputs)
        self.conv1 = nn.Conv1d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv1d(outputs, outputs, 3, padding=1)
        self.conv1x1 = (
            nn.Conv1d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        )
        self.pool: nn.Module = nn.Identity()
        if upsample:
            self.pool = nn.ConvTranspose1d(
                inputs, inputs, 3, stride=2, padding=1, output_padding=1, groups=inputs
            )

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        residual = self.pool(F.leaky_relu(self.norm1(x, style), 0.2))
        residual = self.norm2(self.conv1(residual), style)
        residual = self.conv2(F.leaky_relu(residual, 0.2))
        if self.upsample:
            x = x.repeat_interleave(2, dim=-1)
        out: Tensor = (residual + self.conv1x1(x)) * math.sqrt(0.5)
        return out


# --- decoder -----------------------------------------------------------------------------


class _Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        inner = 2 * _WIDTH + 64 + 2
        self.encode = _StyledBlock(_WIDTH + 2, 2 * _WIDTH)
        self.decode = nn.ModuleList(
            (
                *(_StyledBlock(inner, 2 * _WIDTH) for _ in range(3)),
                _StyledBlock(inner, _WIDTH, upsample=True),
            )
        )
        self.F0_conv = nn.Conv1d(1, 1, 3, stride=2, padding=1)
        self.N_conv = nn.Conv1d(1, 1, 3, stride=2, padding=1)
        self.asr_res = nn.Sequential(nn.Conv1d(_WIDTH, 64, 1))
        self.generator = _Generator()

    def forward(
        self,
        asr: Tensor,
        f0: Tensor,
        energy: Tensor,
        style: Tensor,
        source: Tensor,
    ) -> Tensor:
        curves = torch.cat((self.F0_conv(f0[:, None]), self.N_conv(energy[:, None])), dim=1)
        residual = self.asr_res(asr)
        x = self.encode(torch.cat((asr, curves), dim=1), style)
        for block in self.decode:
            x = block(torch.cat((x, residual, curves), dim=1), style)
        sound: Tensor = self.generator(x, style, source)
        return sound


class _SnakeBlock(nn.Module):
    """Dilated residual convolutions with Snake activations, normalised by style."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2)
            for d in (1, 3, 5)
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in range(3)
        )
        self.adain1 = nn.ModuleList(_StyledInstanceNorm(channels) for _ in range(3))
        self.adain2 = nn.ModuleList(_StyledInstanceNorm(channels) for _ in range(3))
        self.alpha1 = nn.ParameterList(torch.ones(1, channels, 1) for _ in range(3))
        self.alpha2 = nn.ParameterList(torch.ones(1, channels, 1) for _ in range(3))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        for i in range(3):
            y = self.convs1[i](self.adain1[i](x, style, self.alpha1[i]))
            x = x + self.convs2[i](self.adain2[i](y, style, self.alpha2[i]))
        return x


class _Generator(nn.Module):
    """iSTFTNet: features at 80 Hz and a harmonic source -> magnitude, phase -> sound."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        bins, widths = _FFT + 2, (_WIDTH // 2, _WIDTH // 4)
        self.m_source = nn.ModuleDict({"l_linear": nn.Linear(_HARMONICS, 1)})
        self.ups = nn.ModuleList(
            (
                nn.ConvTranspose1d(_WIDTH, widths[0], 20, 10, padding=5),
                nn.ConvTranspose1d(widths[0], widths[1], 12, 6, padding=3),
            )
        )
        self.noise_convs = nn.ModuleList(
            (nn.Conv1d(bins, widths[0], 12, 6, padding=3), nn.Conv1d(bins, widths[1], 1))
        )
        self.noise_res = nn.ModuleList((_SnakeBlock(widths[0], 7), _SnakeBlock(widths[1], 11)))
        self.resblocks = nn.ModuleList(_SnakeBlock(w, k) for w in widths for k in (3, 7, 11))
        self.conv_post = nn.Conv1d(widths[1], bins, 7, padding=3)
        self.register_buffer("window", torch.hann_window(_FFT), persistent=False)

    def forward(self, x: Tensor, style: Tensor, source: Tensor) -> Tensor:
        for i, up in enumerate(self.ups):
            excitation = self.noise_res[i](self.noise_convs[i](source), style)
            x = up(F.leaky_relu(x, 0.1))
            if i == 1:
                x = F.pad(x, (1, 0), mode="reflect")
            x = x + excitation
            blocks = [block(x, style) for block in self.resblocks[3 * i : 3 * i + 3]]
            x = (blocks[0] + blocks[1] + blocks[2]) / 3
        log_magnitude, phase = self.conv_post(F.leaky_relu(x)).split(_FFT // 2 + 1, dim=1)
        spectrum = torch.polar(torch.exp(log_magnitude), torch.sin(phase))
        return torch.istft(spectrum, _FFT, _HOP, _FFT, self.window)

    @torch.no_grad()
    def source(self, f0: Tensor, excitation: Tensor | None) -> Tensor:
        """Spectrum (magnitude, then phase) of the harmonic source: [B, 2n] -> [B, 22, 120n+1]."""
        sines = (_harmonics(f0) * _voiced(f0) * _SINE_LEVEL).mT
        if excitation is not None:
            sines = sines + excitation
        merged = torch.tanh(self.m_source["l_linear"](sines))[..., 0]
        spectrum = torch.stft(merged, _FFT, _HOP, _FFT, self.window, return_complex=True)
        return torch.cat((spectrum.abs(), spectrum.angle()), dim=1)


def _voiced(f0: Tensor) -> Tensor:
    """1 where voiced, at 24 kHz: [B, 2n] -> [B, 1, 600n]."""
    return (f0 > _VOICED_HZ).to(f0).repeat_interleave(_HOP * _UPSAMPLE // 2, dim=-1)[:, None]


def _random_excitation(f0: Tensor, generator: torch.Generator | None) -> Tensor:
    """[B, 600n, 9]: faint where voiced, loud where not, as in training."""
    voiced = _voiced(f0).mT
    # Drawn on the CPU, so that a seed means the same sound on every device.
    drawn = torch.randn((*voiced.shape[:2], _HARMONICS), generator=generator).to(voiced)
    return (voiced * _VOICED_NOISE + (1 - voiced) * _SINE_LEVEL / 3) * drawn


def _harmonics(f0: Tensor) -> Tensor:
    """Sines of F0 and its 8 overtones: Hz [B, m] -> [B, 9, 300 m], phase continuous.

    Phase is linear between the middles of the 12.5 ms steps and held at both ends. It is
    summed in double precision and whole turns are dropped, so long lines stay clean.
    """
    step = _HOP * _UPSAMPLE // 2
    numbers = torch.arange(1, _HARMONICS + 1, dtype=torch.float64)[None, :, None]
    turns = (f0.cpu().double()[:, None] * numbers / SAMPLE_RATE).remainder(1) * step
    phase = F.pad(turns.cumsum(-1).remainder(1), (1, 0), value=0.0)
    phase[..., :1] = phase[..., 1:2]  # before the first middle: held
    rise = turns.clone()
    rise[..., 0] = 0.0
    rise = F.pad(rise, (0, 1))  # after the last middle: held
    at = (torch.arange(step, dtype=torch.float64) + 0.5) / step
    segments = phase[..., None] + rise[..., None] * at
    samples = segments.flatten(-2)[..., step // 2 : step // 2 + step * f0.shape[-1]]
    return torch.sin(2 * math.pi * samples.remainder(1).to(f0.dtype).to(f0.device))
