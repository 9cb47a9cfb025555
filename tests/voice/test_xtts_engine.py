"""The XTTS engine on a tiny random model: references, sentences, licences, further training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from align.text import speakable
from media.audio import Sound, write_wav
from media.errors import MediaError, TextError, WeightsError
from voice.engines._coqui import licence_of, open_checkpoint
from voice.prosody import Prosody
from voice.training.presets import Preset
from voice.training.train import train_voice
from voice.voice import load_voice

WIDTH, AUDIO_TOKENS, LONGEST = 64, 66, 24
LETTERS = "abcdefghijklmnopqrstuvwxyz'.,!?;:-"
TEXTS = ("we chose to go", "the river was high", "she opened the window", "nobody was at home")


def _vocabulary(path: Path) -> int:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import Whitespace

    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]"]
    table = {token: number for number, token in enumerate([*special, *LETTERS])}
    tokenizer = Tokenizer(BPE(vocab=table, merges=[], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(path))
    return len(table)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as Coqui's, with a GPT of two layers that never stops by itself."""
    import torch
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
    from TTS.tts.layers.xtts.dvae import DiscreteVAE
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    folder = tmp_path_factory.mktemp("xtts") / "base"
    folder.mkdir()
    _vocabulary(folder / "vocab.json")
    arguments = XttsArgs(
        gpt_layers=2,
        gpt_n_model_channels=WIDTH,
        gpt_n_heads=2,
        gpt_max_audio_tokens=LONGEST,
        gpt_max_text_tokens=120,
        gpt_num_audio_tokens=AUDIO_TOKENS,
        gpt_start_audio_token=AUDIO_TOKENS - 2,
        gpt_stop_audio_token=AUDIO_TOKENS - 1,
        gpt_use_perceiver_resampler=True,
        decoder_input_dim=WIDTH,
    )
    config = XttsConfig(model_args=arguments, gpt_cond_len=4, languages=["en"])
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = Xtts(config)
        net.tokenizer = VoiceBpeTokenizer(folder / "vocab.json")
        net.init_models()
        with torch.no_grad():
            net.gpt.mel_head.bias[-2:] = -1e4
        dvae = DiscreteVAE(
            channels=80,
            normalization=None,
            positional_dims=1,
            num_tokens=AUDIO_TOKENS - 2,
            codebook_dim=512,
            hidden_dim=512,
            num_resnet_blocks=3,
            kernel_size=3,
            num_layers=2,
            use_transposed_convs=False,
        )
    torch.save({"model": net.state_dict(), "config": config.to_dict()}, folder / "model.pth")
    torch.save(dvae.state_dict(), folder / "dvae.pth")
    torch.save(torch.ones(80), folder / "mel_stats.pth")
    (folder / "config.json").write_text(json.dumps(json.loads(config.to_json())))
    (folder / "LICENSE.txt").write_text("Coqui Public Model License 1.0.0")
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of buzzing syllables, which is speech enough for what is tested here."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "wavs").mkdir()
    rows = []
    for number, text in enumerate(TEXTS):
        time = np.arange(24_000 * 9 // 10) / 24_000
        buzz = sum(np.sin(2 * np.pi * (140 + 20 * number) * k * time) / k for k in range(1, 20))
        wave = 0.2 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
        write_wav(folder / "wavs" / f"c{number}.wav", Sound(wave.astype(np.float32), 24_000))
        rows.append(f"c{number}|{text}|{text}")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder


def trained(dataset: Path, out: Path, checkpoint: Path | str, **more):
    given = {"engine": "xtts", "person": "Anna", "consent_id": "c-1", "sentences": 0}
    return train_voice(dataset, out, start=Path(checkpoint), **{**given, **more})


@pytest.fixture(scope="module")
def folder(dataset: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice from references alone."""
    out = tmp_path_factory.mktemp("voices") / "anna"
    made = trained(dataset, out, checkpoint, accept_licence="CPML")
    assert made.run is None
    assert made.licence == "cpml"
    return out


@pytest.fixture(scope="module")
def engine():
    from voice.engines.xtts import XttsSynthesizer

    return XttsSynthesizer(device="cpu")


def test_it_speaks_and_the_timing_is_not_called_exact(engine, folder: Path) -> None:
    voice = load_voice(folder)
    assert (voice.engine, voice.person) == ("xtts", "Anna")
    script = speakable("We chose to go.")
    said = engine.speak(script, voice)
    assert said.sound.rate == 24_000
    assert 0.2 < float(said.sound.duration_s) < 1.5
    assert said.timing.engine != "exact"
    assert [w.label for w in said.timing.words] == ["We", "chose", "to", "go"]
    assert said.timing.duration_s == pytest.approx(float(said.sound.duration_s))
    assert len(said.durations) == len(said.f0) == 0
    again = engine.speak(script, voice)
    np.testing.assert_array_equal(again.sound.samples, said.sound.samples)
    other = engine.speak(script, voice, Prosody(seed=4))
    assert not np.array_equal(other.sound.samples[:4800], said.sound.samples[:4800])


def test_the_voice_keeps_a_reference_and_names_its_checkpoint(
    folder: Path, checkpoint: Path
) -> None:
    from safetensors.numpy import load_file

    arrays = load_file(folder / "model" / "reference.safetensors")
    assert arrays["latents"].shape == (1, 32, WIDTH)
    assert arrays["speaker"].shape == (1, 512, 1)
    assert np.linalg.norm(arrays["speaker"]) == pytest.approx(1.0, abs=0.1)
    assert str(checkpoint) in (folder / "model" / "base.toml").read_text()
    assert not (folder / "model" / "model.safetensors").exists()
    rows = load_voice(folder).weights
    assert [(w.part, w.licence) for w in rows] == [("reference", "cpml"), ("model", "cpml")]


def test_long_texts_are_cut_at_sentences(engine, folder: Path, monkeypatch) -> None:
    """The pieces that the network is given, and that a line too long for it is refused."""
    from voice.engines import xtts

    given: list[str] = []
    noise = 0.1 * np.random.default_rng(0).standard_normal(24_000, dtype=np.float32)

    def instead(model, reference, script, *rest) -> Sound:
        given.append(script.spoken)
        return Sound(noise, 24_000)

    monkeypatch.setattr(xtts, "_sounded", instead)
    text = "The river was higher than anyone in the village could remember. " * 8
    whole = engine.speak(speakable(text), load_voice(folder))
    assert len(given) >= 3
    assert all(piece.endswith("remember") for piece in given)
    assert len(whole.timing.words) == 11 * 8
    # Far too short for its words: timed all the same, so that the scores can refuse the take.
    assert whole.timing.engine == "spread"
    assert max(w.confidence for w in whole.timing.words) <= 0.1


def test_lines_out_of_reach_are_refused(engine, folder: Path) -> None:
    voice = load_voice(folder)
    with pytest.raises(TextError, match="too long for XTTS"):
        engine.speak(speakable("strength " * 18), voice)
    with pytest.raises(TextError, match=r"cannot be spoken in 9\.00 s"):
        engine.speak(speakable("We chose to go."), voice, Prosody(duration_s=9.0))
    with pytest.raises(TextError, match="cannot be fitted to a length"):
        engine.speak_pieces(speakable("We chose."), voice, Prosody(duration_s=1.0))


def test_what_follows_the_last_word_is_cut_off(engine) -> None:
    """An aligner that finds the last word early: the rest is a tail that was made up."""
    from align.text import Script
    from align.timing import Span, Timing
    from voice.engines.xtts import XttsSynthesizer

    class Early:
        name = "early"

        def align(self, sound: Sound, script: Script) -> Timing:
            span = (Span("Go", 0.1, 0.4),)
            return Timing(span, (Span("G", 0.1, 0.4),), float(sound.duration_s), "early")

    sound = Sound(np.full(48_000, 0.3, np.float32), 24_000)
    import align.engines as aligners

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aligners, "get_aligner", lambda _name="x": Early())
        said = XttsSynthesizer(device="cpu")._timed(sound, speakable("Go."))
    assert float(said.sound.duration_s) == pytest.approx(0.65)
    assert abs(said.sound.samples[-1]) < 1e-6
    assert said.timing.duration_s == pytest.approx(0.65)


def test_another_persons_reference_or_checkpoint_is_refused(
    engine, folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    import tomlkit

    from media.files import sha256_of
    from voice.engines.xtts import Reference, save_reference

    copy = tmp_path / "anna"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("training"))
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(1, 32, WIDTH)).astype(np.float32)
    someone = Reference(latents, rng.normal(size=(1, 512, 1)).astype(np.float32))
    save_reference(someone, copy / "model" / "reference.safetensors")
    with pytest.raises(WeightsError, match="is not the reference that the card of voice 'Anna'"):
        engine.speak(speakable("We went."), load_voice(copy))
    other = tmp_path / "model.pth"
    other.write_bytes((checkpoint / "model.pth").read_bytes() + b"\0")
    named = {"weights": str(other), "sha256": sha256_of(other), "bytes": other.stat().st_size}
    (copy / "model" / "base.toml").write_text(tomlkit.dumps(named))
    with pytest.raises(WeightsError, match="is not the model that the card of voice 'Anna'"):
        engine.speak(speakable("We went."), load_voice(copy))


def test_weights_are_hashed_once_until_they_change(tmp_path: Path, monkeypatch) -> None:
    import os

    from voice.engines import _coqui

    read: list[Path] = []
    own = _coqui.sha256_of
    monkeypatch.setattr(_coqui, "sha256_of", lambda path: read.append(path) or own(path))
    path = tmp_path / "model.pth"
    path.write_bytes(b"one")
    assert _coqui.file_sum(path) == _coqui.file_sum(path) == own(path)
    assert len(read) == 1
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert _coqui.file_sum(path) == own(path)
    assert len(read) == 2
    with pytest.raises(WeightsError, match="missing or cannot be read"):
        _coqui.file_sum(tmp_path / "gone")


# --- licences and wrong checkpoints --------------------------------------------------------


def test_the_licence_is_shown_and_must_be_accepted(
    dataset: Path, checkpoint: Path, tmp_path: Path
) -> None:
    assert licence_of(checkpoint, "xtts") == "cpml"
    with pytest.raises(WeightsError, match=r"non-commercial.*--accept-licence cpml"):
        trained(dataset, tmp_path / "v", checkpoint)
    with pytest.raises(WeightsError, match=r"non-commercial.*--accept-licence cpml"):
        trained(dataset, tmp_path / "v", "hub:xtts-v2")
    with pytest.raises(WeightsError, match="--from"):
        train_voice(dataset, tmp_path / "v", engine="xtts", person="A", consent_id="c")
    assert not (tmp_path / "v").exists()


def test_the_hub_failing_is_one_line(dataset: Path, tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub

    def nowhere(*_given: object, **_named: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", nowhere)
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WeightsError, match="cannot be fetched from the hub"):
        trained(dataset, tmp_path / "v", "hub:xtts-v2", accept_licence="cpml")


def test_the_hub_gives_a_pinned_revision_and_known_files(tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub

    from voice.training.xtts_setup import fetched_xtts

    asked: set[str] = set()

    def another(_repository: str, name: str, *, revision: str, local_dir: Path) -> None:
        asked.add(revision)
        (local_dir / name).write_bytes(b"something else")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", another)
    with pytest.raises(WeightsError, match="is not the file of XTTS v2 that was expected"):
        fetched_xtts(tmp_path / "hub")
    assert [len(revision) for revision in asked] == [40]


@pytest.mark.parametrize("name", ["dvae.pth", "mel_stats.pth"])
def test_files_for_training_hold_tensors_only(tmp_path: Path, name: str) -> None:
    import torch

    from voice.training.xtts_setup import _tensor_file

    path = tmp_path / name
    for good in (torch.ones(80), {"a": torch.ones(2)}):
        torch.save(good, path)
        assert _tensor_file(path) == path
    torch.save({"a": torch.ones(2), "more": Path("x")}, path)
    with pytest.raises(WeightsError, match="holds more than weights"):
        _tensor_file(path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="holds no weights"):
        _tensor_file(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: (m / "vocab.json").unlink(), "has no vocab.json"),
        (lambda m: (m / "vocab.json").write_text("{}"), "is no vocabulary"),
        (lambda m: (m / "reference.safetensors").write_bytes(b"x"), "is not the reference that"),
        (lambda m: (m / "reference.safetensors").unlink(), "missing or damaged"),
        (lambda m: (m / "base.toml").write_text("weights = 3"), "cannot be read"),
        (
            lambda m: (m / "base.toml").write_text(
                'weights = "/nowhere/model.pth"\nsha256 = "0"\nbytes = 1\n'
            ),
            "is gone or was changed",
        ),
    ],
)
def test_a_spoilt_voice_is_one_line(
    engine, folder: Path, tmp_path: Path, spoil, message: str
) -> None:
    copy = tmp_path / "anna"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("training"))
    spoil(copy / "model")
    with pytest.raises(WeightsError, match=message):
        engine.speak(speakable("We went."), load_voice(copy))


def test_a_checkpoint_of_another_kind_is_refused(checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="of the kind 'xtts', not 'vits'"):
        open_checkpoint(checkpoint, "vits")


def test_too_short_a_reference_is_refused(checkpoint: Path) -> None:
    from voice.engines.xtts import reference_of

    with pytest.raises(MediaError, match=r"0\.50 s of reference"):
        reference_of(None, [Sound(np.zeros(12_000, np.float32), 24_000)])  # type: ignore[arg-type]


def test_the_published_pickles_with_their_configuration_are_read(
    checkpoint: Path, tmp_path: Path
) -> None:
    """Coqui's own model.pth holds an XttsConfig under an old name; nothing else is let in."""
    import torch
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig

    from voice.engines._coqui import read_state

    before = XttsArgs.__module__
    XttsArgs.__module__ = "TTS.tts.models.xtts"
    try:
        torch.save({"model": {"a": torch.ones(2)}, "config": XttsConfig()}, tmp_path / "model.pth")
    finally:
        XttsArgs.__module__ = before
    assert list(read_state(tmp_path / "model.pth", "xtts")) == ["a"]
    with pytest.raises(WeightsError, match="holds more than weights"):
        read_state(tmp_path / "model.pth", "vits")


# --- training further ----------------------------------------------------------------------


def test_the_language_model_is_trained_further_and_speaks(
    engine, dataset: Path, checkpoint: Path, tmp_path: Path
) -> None:
    from voice.engines._coqui import read_state

    size = Preset("small", steps=2, batch=2, epoch_steps=4, log_steps=1)
    out = tmp_path / "anna"
    made = trained(dataset, out, checkpoint, accept_licence="cpml", preset=size, steps=2)
    assert made.run is not None
    assert made.run.steps == 2
    assert {"loss_mel_ce", "loss_text_ce"} <= set(made.run.losses)
    assert not (out / "model" / "base.toml").exists()
    before = read_state(checkpoint / "model.pth", "xtts")
    after = read_state(out / "model" / "model.safetensors", "xtts")
    assert not np.array_equal(before["gpt.mel_head.weight"], after["gpt.mel_head.weight"])
    np.testing.assert_array_equal(  # only the language model learns
        before["hifigan_decoder.waveform_decoder.conv_pre.weight"],
        after["hifigan_decoder.waveform_decoder.conv_pre.weight"],
    )
    said = engine.speak(speakable("We went."), load_voice(out))
    assert len(said.sound) > 0
    assert [w.part for w in load_voice(out).weights] == ["model", "reference", ""]
    trained(dataset, out, checkpoint, accept_licence="cpml", preset=size, steps=0)
    assert not (out / "model" / "model.safetensors").exists()
    assert [w.part for w in load_voice(out).weights] == ["reference", "model"]


def test_training_says_which_file_is_missing(
    dataset: Path, checkpoint: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "base"
    shutil.copytree(checkpoint, copy)
    (copy / "dvae.pth").unlink()
    with pytest.raises(WeightsError, match=r"has no dvae\.pth"):
        trained(dataset, tmp_path / "v", copy, accept_licence="cpml", steps=1)
