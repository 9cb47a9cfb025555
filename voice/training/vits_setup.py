"""A VITS to train: new, of a preset's size, or as a checkpoint left it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.text import speakable
from media.files import atomic_path
from voice.engines._coqui import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    Checkpoint,
    filled,
    open_checkpoint,
    quietly_imported,
    read_state,
    save_state,
)
from voice.engines._coqui_text import (
    MISAKI_LETTERS,
    MISAKI_PUNCTUATION,
    alphabet_of,
    lowers,
    reading,
)
from voice.engines.vits import load_vits
from voice.training.dataset import Example
from voice.training.presets import Preset

__all__ = ["export_vits", "vits_rate", "vits_samples", "vits_to_train"]

_CHARACTERS_CLASS = "TTS.tts.models.vits.VitsCharacters"
_PHONEME_CLASS = "TTS.tts.utils.text.characters.IPAPhonemes"


def vits_rate(preset: Preset, start: Checkpoint | None) -> int:
    """Hz at which the model is trained."""
    if start is None:
        return preset.rate
    return int((start.config.get("audio") or {}).get("sample_rate") or 22_050)


def vits_to_train(
    preset: Preset, start: Checkpoint | None, folder: Path, *, seed: int
) -> tuple[Any, Any]:
    """(coqui's model, its configuration): a new one, or one with the weights of `start`.

    Raises `WeightsError` when the checkpoint does not fit its configuration.
    """
    quietly_imported("vits")
    import torch
    from TTS.tts.models.vits import Vits

    config = _new_config(preset) if start is None else _config_of(start)
    _set_course(config, preset, folder, seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Vits(config)
    if start is not None:
        load_vits(start)  # says what is wrong with it, if anything is
        _take_over(net, start)
    return net, config


def _new_config(preset: Preset) -> Any:
    from TTS.config.shared_configs import BaseAudioConfig
    from TTS.tts.configs.shared_configs import CharactersConfig
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig

    return VitsConfig(
        model_args=VitsArgs(**preset.architecture),
        audio=BaseAudioConfig(
            sample_rate=preset.rate, fft_size=1024, win_length=1024, hop_length=256, num_mels=80
        ),
        characters=CharactersConfig(
            characters_class=_CHARACTERS_CLASS,
            pad="_",
            characters=MISAKI_LETTERS,
            punctuations=MISAKI_PUNCTUATION,
            phonemes="",
        ),
        phonemizer="misaki",
        use_phonemes=False,
        text_cleaner=None,
    )


def _config_of(start: Checkpoint) -> Any:
    """The checkpoint's configuration, made to take the texts as we write them."""
    from TTS.tts.configs.vits_config import VitsConfig

    alphabet = alphabet_of(start.config)
    values = {**start.config, "use_phonemes": False, "phonemizer": None, "text_cleaner": None}
    if alphabet != "graphemes":
        values["phonemizer"] = alphabet
    elif lowers(start.config):
        values["text_cleaner"] = "basic_cleaners"
    characters = dict(values.get("characters") or {})
    if alphabet == "ipa" and characters and not characters.get("characters_class"):
        values["characters"] = {**characters, "characters_class": _PHONEME_CLASS}
    return filled(VitsConfig(), values, start.folder)


def _set_course(config: Any, preset: Preset, folder: Path, seed: int) -> None:
    """What of the configuration is about this training, not about the model."""
    wanted = {
        "output_path": str(folder),
        "run_name": "vits",
        "datasets": [],
        "test_sentences": [],
        "batch_size": preset.batch,
        "eval_batch_size": preset.batch,
        "num_loader_workers": preset.workers,
        "num_eval_loader_workers": 0,
        "run_eval": preset.evaluates,
        "print_step": preset.log_steps,
        "plot_step": preset.log_steps,
        "log_model_step": 40 * preset.log_steps,
        "save_n_checkpoints": 2,
        "training_seed": seed,
        "dashboard_logger": "tensorboard",
        "phoneme_cache_path": None,
        "mixed_precision": False,
        "allow_tf32": True,
    }
    for name, value in wanted.items():
        setattr(config, name, value)
    config.model_args.init_discriminator = True


def _take_over(net: Any, start: Checkpoint) -> None:
    """The checkpoint's weights, and its discriminator's where it still has one."""
    import torch

    own = net.state_dict()
    state = read_state(start.weights, "vits", whole=True)
    fitting = {n: t for n, t in state.items() if n in own and own[n].shape == t.shape}
    with torch.no_grad():
        net.load_state_dict({**own, **fitting})


def vits_samples(examples: Sequence[Example], config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The clips as coqui's datasets want them, in the characters that the model reads."""
    return [
        {
            "text": reading(speakable(example.text), config).characters,
            "audio_file": str(example.path),
            "speaker_name": "voice",
            "language": "",
            "root_path": str(example.path.parent),
            "audio_unique_name": example.name,
        }
        for example in examples
    ]


def export_vits(run: Path, weights: Path, folder: Path) -> None:
    """What is needed to speak, from a run's checkpoint: its configuration and safetensors.

    Raises `OutputError`.
    """
    found = open_checkpoint(run, "vits")
    save_state(read_state(weights, "vits"), folder / WEIGHTS_NAME)
    with atomic_path(folder / CONFIG_NAME) as temporary:
        temporary.write_text(_portable(found.config), "utf-8")


def _portable(config: Mapping[str, Any]) -> str:
    """The configuration without the places of the machine that it was trained on."""
    import json

    gone = {"output_path": "", "restore_path": "", "github_branch": "", "logger_uri": None}
    return json.dumps({**config, **gone}, indent=1, ensure_ascii=False, sort_keys=True)
