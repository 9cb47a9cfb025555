"""The Wav2Lip engine: the public checkpoints' names and shapes, its sound, its manners."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from lipsync_heads import head_mm, landmarks, picture
from lipsync_talk import voice

from align.timing import Span, Timing
from lipsync.crop import CropSpec, crop, crop_transform, landmarks_in_crop, lip_shape
from lipsync.engines import RenderJob, WholeFaceRenderer, get_renderer
from lipsync.engines._wav2lip_net import load_checkpoint, mel_spectrum, window
from lipsync.engines.wav2lip import Wav2LipRenderer, closed, closing
from lipsync.track import FaceTrack
from media.audio import Sound
from media.errors import EngineMissingError, WeightsError
from media.time import FrameRate

R25 = FrameRate(Fraction(25))

# The public checkpoint, written down layer by layer: (inputs, outputs, kernel) of every
# convolution, in the order and under the names in which its file holds them.
FACE = [
    [(6, 16, 7)],
    [(16, 32, 3), (32, 32, 3), (32, 32, 3)],
    [(32, 64, 3), (64, 64, 3), (64, 64, 3), (64, 64, 3)],
    [(64, 128, 3), (128, 128, 3), (128, 128, 3)],
    [(128, 256, 3), (256, 256, 3), (256, 256, 3)],
    [(256, 512, 3), (512, 512, 3)],
    [(512, 512, 3), (512, 512, 1)],
]
SOUND = [
    *[(1, 32, 3), (32, 32, 3), (32, 32, 3), (32, 64, 3), (64, 64, 3), (64, 64, 3)],
    *[(64, 128, 3), (128, 128, 3), (128, 128, 3), (128, 256, 3), (256, 256, 3)],
    *[(256, 512, 3), (512, 512, 1)],
]
DECODER = [
    [(512, 512, 1)],
    [(1024, 512, 3), (512, 512, 3)],
    [(1024, 512, 3), (512, 512, 3), (512, 512, 3)],
    [(768, 384, 3), (384, 384, 3), (384, 384, 3)],
    [(512, 256, 3), (256, 256, 3), (256, 256, 3)],
    [(320, 128, 3), (128, 128, 3), (128, 128, 3)],
    [(160, 64, 3), (64, 64, 3), (64, 64, 3)],
]


def checkpoint(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the public names, in the public shapes."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}

    def block(name: str, layer: tuple[int, int, int], up: bool = False) -> None:
        inputs, outputs, k = layer
        first = (inputs, outputs) if up else (outputs, inputs)
        spread = (2.0 / (inputs * k * k)) ** 0.5
        conv = f"{name}.conv_block.0"
        weights[f"{conv}.weight"] = spread * torch.randn(*first, k, k, generator=generator)
        weights[f"{conv}.bias"] = torch.zeros(outputs)
        norm = f"{name}.conv_block.1"
        weights[f"{norm}.weight"] = torch.rand(outputs, generator=generator) + 0.5
        weights[f"{norm}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
        weights[f"{norm}.running_mean"] = 0.1 * torch.randn(outputs, generator=generator)
        weights[f"{norm}.running_var"] = torch.rand(outputs, generator=generator) + 0.5
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    for i, stage in enumerate(FACE):
        for j, layer in enumerate(stage):
            block(f"face_encoder_blocks.{i}.{j}", layer)
    for j, layer in enumerate(SOUND):
        block(f"audio_encoder.{j}", layer)
    for i, stage in enumerate(DECODER):
        for j, layer in enumerate(stage):
            block(f"face_decoder_blocks.{i}.{j}", layer, up=i > 0 and j == 0)
    block("output_block.0", (80, 32, 3))
    weights["output_block.1.weight"] = 0.3 * torch.randn(3, 32, 1, 1, generator=generator)
    weights["output_block.1.bias"] = torch.zeros(3)
    return weights


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the authors' training writes it: under "state_dict", `module.` before every name."""
    path = tmp_path_factory.mktemp("weights") / "wav2lip.pth"
    named = {f"module.{name}": value for name, value in checkpoint().items()}
    torch.save({"state_dict": named, "optimizer": {"lr": 1e-4}, "global_step": 7}, path)
    return path


def test_public_names_and_shapes_are_the_networks_own(weights_file: Path, tmp_path: Path) -> None:
    network = load_checkpoint(weights_file)
    own, public = network.state_dict(), checkpoint()
    assert {n: tuple(v.shape) for n, v in own.items()} == {
        n: tuple(v.shape) for n, v in public.items()
    }
    assert all(torch.equal(own[n], public[n]) for n in public)
    assert sum(p.numel() for p in network.parameters()) == 36_298_035
    assert not network.training
    # A bare state dict in PyTorch's older form does as well.
    torch.save(checkpoint(), tmp_path / "bare.pth", _use_new_zipfile_serialization=False)
    assert load_checkpoint(tmp_path / "bare.pth").state_dict().keys() == own.keys()


def test_the_network_is_the_published_one_built_by_hand(weights_file: Path) -> None:
    """The forward pass again, with functional calls on the raw weights."""
    from torch.nn import functional

    w = checkpoint()
    mel, faces = torch.randn(2, 1, 80, 16), torch.rand(2, 6, 96, 96)

    def block(x, name, stride=1, padding=1, up=False, again=False):
        conv, norm = f"{name}.conv_block.0", f"{name}.conv_block.1"
        weight, bias = w[f"{conv}.weight"], w[f"{conv}.bias"]
        if up:
            out = 0 if stride == 1 else 1
            y = functional.conv_transpose2d(x, weight, bias, stride, padding, out)
        else:
            y = functional.conv2d(x, weight, bias, stride, padding)
        mean, var = w[f"{norm}.running_mean"], w[f"{norm}.running_var"]
        y = functional.batch_norm(y, mean, var, w[f"{norm}.weight"], w[f"{norm}.bias"])
        return functional.relu(y + x if again else y)

    made = []
    x = faces
    for i, stage in enumerate(FACE):
        for j, (a, b, k) in enumerate(stage):
            name = f"face_encoder_blocks.{i}.{j}"
            if i == 6:
                x = block(x, name, 1, 0)
            else:
                first = (1, 3) if k == 7 else (2, 1)
                x = block(x, name, *(first if j == 0 else (1, 1)), again=j > 0 and a == b)
        made.append(x)
    strides = {3: (3, 1), 6: 3, 9: (3, 2)}
    x = mel
    for j, (a, b, _k) in enumerate(SOUND):
        last = j >= 11
        x = block(x, f"audio_encoder.{j}", strides.get(j, 1), 0 if last else 1, again=a == b < 512)
    for i, stage in enumerate(DECODER):
        for j, _ in enumerate(stage):
            name = f"face_decoder_blocks.{i}.{j}"
            if i == 0:
                x = block(x, name, 1, 0)
            elif j == 0:
                x = block(x, name, *((1, 0) if i == 1 else (2, 1)), up=True)
            else:
                x = block(x, name, again=True)
        x = torch.cat([x, made.pop()], 1)
    x = block(x, "output_block.0")
    x = torch.sigmoid(functional.conv2d(x, w["output_block.1.weight"], w["output_block.1.bias"]))
    with torch.inference_mode():
        ours = load_checkpoint(weights_file)(mel, faces)
    assert ours.shape == (2, 3, 96, 96)
    torch.testing.assert_close(ours, x, rtol=1e-4, atol=1e-5)


def test_other_files_are_refused_in_one_clear_line(tmp_path: Path) -> None:
    larger = {"face_encoder_blocks.0.0.conv_block.0.weight": torch.zeros(32, 6, 7, 7)}
    less = {n: v for n, v in checkpoint().items() if n.startswith("output_block")}
    more = checkpoint() | {"sam.sa.conv1.weight": torch.zeros(1)}
    for name, content, words in (
        ("larger.pth", larger, r"\(32, 6, 7, 7\), not \(16, 6, 7, 7\)"),
        ("less.pth", {"state_dict": less}, "weights are missing"),
        ("more.pth", more, "too many"),
        ("list.pth", [1, 2], "no named weights"),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(WeightsError, match=words) as refusal:
            load_checkpoint(tmp_path / name)
        assert "\n" not in str(refusal.value)
    (tmp_path / "text.pth").write_text("hello")
    torch.save({"state_dict": Path}, tmp_path / "code.pth")
    for name, words in (
        ("text.pth", "plain numbers"),
        ("code.pth", "plain numbers"),
        ("none.pth", "does not exist"),
    ):
        with pytest.raises(WeightsError, match=words) as refusal:
            load_checkpoint(tmp_path / name)
        assert "\n" not in str(refusal.value)


def test_engines_are_found_by_name_and_say_what_they_miss(weights_file: Path) -> None:
    with pytest.raises(EngineMissingError, match="--weights"):
        get_renderer("wav2lip")
    with pytest.raises(EngineMissingError, match="leave --weights out"):
        get_renderer("mouthbank", weights_file)
    assert isinstance(get_renderer(f"wav2lip:{weights_file}"), WholeFaceRenderer)
    assert not isinstance(get_renderer("mouthbank"), WholeFaceRenderer)


def test_the_spectrum_is_the_one_the_checkpoints_know() -> None:
    """Against librosa's own transform and filters, as the authors call them."""
    import librosa

    rng = np.random.default_rng(0)
    samples = (0.3 * np.sin(np.arange(24_000) * 0.2) + 0.05 * rng.normal(size=24_000)).astype(
        np.float32
    )
    sharp = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1])
    spectrum = np.abs(
        librosa.stft(sharp, n_fft=800, hop_length=200, win_length=800, pad_mode="reflect")
    )
    filters = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    decibels = 20 * np.log10(np.maximum(1e-5, filters @ spectrum)) - 20
    want = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
    mel = mel_spectrum(Sound(samples, 16_000))
    assert mel.shape == want.shape == (80, 121)
    np.testing.assert_allclose(mel, want, atol=2e-3)


def test_silence_and_scraps_of_sound_give_the_floor_never_nan() -> None:
    for samples in (np.zeros(16_000), np.zeros(3), np.zeros(900)):
        mel = mel_spectrum(Sound(samples.astype(np.float32), 16_000))
        assert (mel == -4).all()
        assert window(mel, 0, 25.0).shape == window(mel, 900, 23.976).shape == (80, 16)


def test_windows_begin_with_their_frame_at_any_rate() -> None:
    mel = np.tile(np.arange(400, dtype=np.float32), (80, 1))
    for frame, rate, start in ((0, 25.0, 0), (1, 25.0, 3), (10, 25.0, 32), (24, 24 / 1.001, 80)):
        assert window(mel, frame, rate)[0, 0] == start
    assert (window(mel, 119, 25.0)[0] == [*range(380, 396)]).all()
    assert window(mel, 124, 25.0)[0, -1] == -4


def track_of(n: int) -> FaceTrack:
    marks = np.stack([landmarks(head_mm(9.0), scale=1.3)] * n)
    return FaceTrack(
        R25, 320, 300, marks, np.zeros(n, np.uint8), np.zeros(n, np.int32),
        np.zeros((n, 3), np.float32), np.full(n, 220, np.float32), np.arange(n) / 25,
    )  # fmt: skip


def prepared(weights_file: Path, n: int = 30) -> Wav2LipRenderer:
    renderer = Wav2LipRenderer(weights_file, device="cpu", batch=4)
    line = Timing((), (Span("AA", 0.1, 0.5),), 0.6)
    track = track_of(n)
    job = RenderJob(track, track.present, line, voice(line), [], CropSpec(256))
    renderer.prepare(job)
    return renderer


def asked(renderer: Wav2LipRenderer, indices: list[int]) -> tuple:
    marks = landmarks(head_mm(9.0), scale=1.3)
    frame, to = picture(marks), crop_transform(marks)
    inside = landmarks_in_crop(marks, to)[None].repeat(len(indices), 0)
    crops = crop(frame, to)[None].repeat(len(indices), 0)
    both = np.vstack([renderer.views(inside[:1])[0], (0, 0, 1)]) @ np.vstack([to, (0, 0, 1)])
    view = crop(frame, both[:2].astype(np.float32), CropSpec(96))
    return indices, crops, inside, view[None].repeat(len(indices), 0)


def test_the_view_shows_the_face_as_the_network_knows_it(weights_file: Path) -> None:
    renderer = prepared(weights_file)
    _, _, inside, _ = asked(renderer, [0])
    view = renderer.views(inside)[0]
    points = inside[0, :, :2] @ view[:, :2].T + view[:, 2]
    mouth, eyes = points[[13, 14]].mean(0), points[[33, 263]].mean(0)
    assert abs(mouth[0] - 47.5) < 2
    assert 60 < mouth[1] < 76  # the lower half, which the network draws
    assert 20 < eyes[1] < 40
    assert 80 < points[152, 1] < 96


def test_faces_go_through_in_any_batch_the_same(weights_file: Path) -> None:
    renderer = prepared(weights_file)
    request = asked(renderer, [3, 4, 5, 6, 7, 8])
    one = renderer.render_views(*request)
    renderer.batch = 1
    other = renderer.render_views(*request)
    for a, b in zip(one, other, strict=True):
        assert a.rgb.shape == (256, 256, 3)
        assert np.abs(a.rgb.astype(int) - b.rgb).max() <= 1
    assert len(renderer.render(*request[:3])) == 6


def test_in_silence_the_mouth_is_shut_by_the_timing(weights_file: Path) -> None:
    renderer = prepared(weights_file)
    speaking, silent = renderer.render_views(*asked(renderer, [6, 25]))
    assert lip_shape(silent.landmarks)[0] < 0.02 < lip_shape(speaking.landmarks)[0]
    request = asked(renderer, [25])
    shut = closed(request[1][0], request[2][0])
    np.testing.assert_array_equal(silent.rgb, shut.rgb)


def test_closing_eases_in_and_out() -> None:
    quiet = np.array([0, 0, 1, 1, 1, 1, 1, 0, 1], bool)
    np.testing.assert_allclose(closing(quiet), [0, 0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0, 1 / 3])
    assert (closing(np.ones(3, bool)) == 1).all()


def test_a_full_gpu_halves_the_batch_and_goes_on(
    weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renderer = prepared(weights_file)
    real, sizes = renderer._forward, []

    def small_gpu(indices, views):
        sizes.append(len(indices))
        if len(indices) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(indices, views)

    monkeypatch.setattr(renderer, "_forward", small_gpu)
    room, renderer.batch = 2, 8
    assert len(renderer.render_views(*asked(renderer, [3, 4, 5, 6, 7]))) == 5
    assert sizes == [5, 4, 2, 2, 1]
    assert renderer.batch == 2
    room = 0
    with pytest.raises(WeightsError, match="no room"):
        renderer.render_views(*asked(renderer, [3]))


def test_nothing_is_drawn_before_prepare(weights_file: Path) -> None:
    renderer = Wav2LipRenderer(weights_file, device="cpu")
    with pytest.raises(RuntimeError, match="prepare"):
        renderer.render_views(*asked(renderer, [0]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_half_precision_draws_nearly_the_same(weights_file: Path) -> None:
    both = []
    for device in ("cpu", "cuda"):
        renderer = prepared(weights_file)
        if device == "cuda":
            renderer = Wav2LipRenderer(weights_file, device=device)
            line = Timing((), (Span("AA", 0.1, 0.5),), 0.6)
            track = track_of(30)
            job = RenderJob(track, track.present, line, voice(line), [], CropSpec(256))
            renderer.prepare(job)
        both.append(renderer.render_views(*asked(renderer, [5]))[0].rgb.astype(int))
    assert np.abs(both[0] - both[1]).mean() < 2


def test_the_pipeline_hands_over_the_view_that_was_asked_for(
    weights_file: Path, tmp_path: Path
) -> None:
    from types import SimpleNamespace

    from synthetic import synthetic_info

    from lipsync import writing as pipeline
    from media.video import FootageWriter, Frame, read_pictures

    marks = landmarks(head_mm(9.0), scale=1.3)
    frame = np.full((300, 320, 3), 40, np.uint8)
    chin = marks[152, :2].round().astype(int)
    frame[chin[1] - 4 : chin[1] + 5, chin[0] - 4 : chin[0] + 5] = (250, 250, 250)
    with FootageWriter(tmp_path / "a.mp4", synthetic_info("25", 320, 300), quality=4) as writer:
        writer.write(Frame(0, Fraction(0), frame))
    pictures = list(read_pictures(tmp_path / "a.mp4"))
    renderer = prepared(weights_file)
    seen: list[np.ndarray] = []
    renderer.render_views = lambda _i, _c, _l, views: seen.append(views) or []  # type: ignore
    to = crop_transform(marks)[None]
    inside = landmarks_in_crop(marks[None], to)
    crops = [crop(pictures[0], to[0])]
    pipeline._patches(SimpleNamespace(renderer=renderer), pictures, crops, inside, to)  # type: ignore
    (views,) = seen
    assert views.shape == (1, 96, 96, 3)
    map_ = renderer.views(inside)[0]
    want = inside[0, 152, :2] @ map_[:, :2].T + map_[:, 2]
    bright = np.argwhere(views[0].mean(-1) > 130)[:, ::-1].mean(0)
    np.testing.assert_allclose(bright, want, atol=1.5)
