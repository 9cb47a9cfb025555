"""Our PyTorch Kokoro against the ONNX file that its weights came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from media.errors import WeightsError
from voice.engines.kokoro_model import FRAME_SAMPLES, SAMPLE_RATE, _harmonics, expand
from voice.engines.kokoro_weights import _module_path, read_state


@pytest.fixture(scope="module")
def reference(kokoro_onnx, line_tokens, japanese_style):
    """The untouched graph with its inner tensors shown: sound, durations, F0, energy."""
    import onnx
    import onnxruntime as ort

    model = onnx.load(str(kokoro_onnx))
    names = ["/encoder/Clip_output_0", "/encoder/Reshape_output_0", "/encoder/Reshape_1_output_0"]
    for name in names:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs = session.run(
        None,
        {
            "tokens": np.array([[0, *line_tokens, 0]], np.int64),
            "style": japanese_style,
            "speed": np.ones(1, np.float32),
        },
    )
    return [np.asarray(o).ravel() for o in outputs]


def log_mel(sound):
    import librosa

    mel = librosa.feature.melspectrogram(
        y=sound, sr=SAMPLE_RATE, n_fft=1024, hop_length=256, n_mels=80
    )
    return np.log(mel + 1e-5)


def cosine(a, b):
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_every_learned_number_finds_its_place(kokoro_onnx, kokoro_model):
    state = read_state(kokoro_onnx)
    assert set(state) == set(kokoro_model.state_dict())
    assert all(np.isfinite(v).all() for v in state.values())


def test_rows_that_rounded_to_zero_stay_zero(kokoro_onnx):
    state = read_state(kokoro_onnx)
    convolutions = [v for k, v in state.items() if k.endswith("weight") and v.ndim == 3]
    zero_rows = sum(int((np.abs(v).sum((1, 2)) == 0).sum()) for v in convolutions)
    assert zero_rows > 0  # the case exists in this file; weight_norm would divide 0 by 0 there


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(WeightsError, match=r"model\.onnx"):
        read_state(path)


def test_scopes_of_shared_layers_lose_their_call_numbers():
    name = "/encoder/bert/encoder/albert_layer_groups.0/albert_layers.0/attention_3/query_3/MatMul"
    assert _module_path(name).endswith("albert_layers.0.attention.query")
    assert _module_path("/encoder/F0.1/conv1/Conv_quant") == "predictor.F0.1.conv1"


def test_durations_equal_the_onnx_file(kokoro_model, reference, line_tokens, japanese_style):
    got = kokoro_model.durations(kokoro_model.ids(line_tokens), torch.tensor(japanese_style))
    wanted = reference[1]
    assert got.shape == wanted.shape
    difference = np.abs(got.numpy() - wanted)
    assert difference.max() <= 1  # int8 activations against fp32
    assert (difference == 0).mean() >= 0.8


def test_f0_and_energy_follow_the_onnx_file(kokoro_model, reference, line_tokens, japanese_style):
    style = torch.tensor(japanese_style)
    encoded = kokoro_model.encode(kokoro_model.ids(line_tokens))
    features, _ = kokoro_model.predict_durations(encoded, style)
    durations = torch.tensor(reference[1]).long()
    f0, energy = (x[0].numpy() for x in kokoro_model.f0_energy(features, durations, style))
    voiced = (reference[2] > 10) & (f0 > 10)
    assert np.mean((reference[2] > 10) == (f0 > 10)) > 0.95
    assert np.abs(np.log2(f0[voiced] / reference[2][voiced])).mean() < 0.03  # octaves
    assert np.abs(energy - reference[3]).mean() < 0.1


def test_decoder_sounds_like_the_onnx_file(kokoro_model, reference, line_tokens, japanese_style):
    sound, durations, f0, energy = reference
    encoded = kokoro_model.encode(kokoro_model.ids(line_tokens))
    got = kokoro_model.decode(
        expand(encoded.acoustic, torch.tensor(durations).long()),
        torch.tensor(f0)[None],
        torch.tensor(energy)[None],
        torch.tensor(japanese_style),
    )[0].numpy()
    assert got.shape == sound.shape == (int(durations.sum()) * FRAME_SAMPLES,)
    assert cosine(log_mel(got), log_mel(sound)) > 0.99


def test_sound_is_differentiable_in_the_style(kokoro_model, line_tokens, japanese_style):
    style = torch.tensor(japanese_style, requires_grad=True)
    ids = kokoro_model.ids(line_tokens[:3])
    sound, _ = kokoro_model(ids, style)
    sound.square().mean().backward()
    timbre, prosody = style.grad[0, :128], style.grad[0, 128:]
    assert torch.isfinite(style.grad).all()
    assert timbre.abs().sum() > 0
    assert prosody.abs().sum() > 0


def test_noise_is_fixed_by_its_seed(kokoro_model):
    generator = torch.Generator()
    curves = (torch.full((1, 16), 120.0), torch.full((1, 16), -1.0))
    asr, style = torch.zeros(1, 8, 512), torch.zeros(1, 256)
    one, two, other = (
        kokoro_model.decode(asr, *curves, style, noise=1.0, generator=generator.manual_seed(s))
        for s in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_harmonics_of_a_steady_pitch_are_sines():
    f0 = torch.full((1, 40), 200.0)
    waves = _harmonics(f0)[0].double().numpy()
    assert waves.shape == (9, 40 * 300)
    inner = slice(150, -150)
    t = np.arange(40 * 300)[inner]
    for number in (1, 5, 9):
        phase = 2 * np.pi * 200.0 * number * t / SAMPLE_RATE
        basis = np.stack([np.sin(phase), np.cos(phase)])
        fit = np.linalg.lstsq(basis.T, waves[number - 1, inner], rcond=None)[0] @ basis
        np.testing.assert_allclose(fit, waves[number - 1, inner], atol=1e-4)


def test_batched_decoding_equals_one_by_one(kokoro_model, japanese_style):
    generator = torch.Generator().manual_seed(0)
    asr = torch.randn(2, 6, 512, generator=generator) * 0.3
    f0 = torch.tensor([[110.0], [220.0]]).repeat(1, 12)
    energy = torch.zeros(2, 12)
    style = torch.tensor(japanese_style).repeat(2, 1)
    together = kokoro_model.decode(asr, f0, energy, style)
    for i in range(2):
        row = slice(i, i + 1)
        alone = kokoro_model.decode(asr[row], f0[row], energy[row], style[row])
        assert cosine(log_mel(alone[0].numpy()), log_mel(together[i].numpy())) > 0.999
