"""XTTS from a checkpoint: a voice from references alone, or its language model trained further."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.text import speakable
from media.audio import read_sound
from media.errors import WeightsError
from media.files import atomic_path, output_error
from voice.engines._coqui import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    Checkpoint,
    file_sum,
    filled,
    open_checkpoint,
    quietly_imported,
    read_state,
    refuse_more_than_tensors,
    save_state,
)
from voice.engines._coqui_text import reading
from voice.engines.xtts import (
    BASE_NAME,
    REFERENCE_NAME,
    VOCABULARY_NAME,
    load_xtts,
    reference_of,
    save_reference,
)
from voice.training.dataset import Example
from voice.training.presets import Preset

__all__ = ["HUB", "export_xtts", "fetched_xtts", "xtts_samples", "xtts_to_train"]

HUB = "hub:xtts-v2"
"""Given in place of a checkpoint's folder: Coqui's own, from the model hub."""
_HUB_REPOSITORY = "coqui/XTTS-v2"
_HUB_REVISION = "6c2b0d75eae4b7047358e3b6bd9325f857d43f77"
# Of that revision, name -> sha256; the licence is text to read and is not held to one.
_HUB_FILES = {
    CONFIG_NAME: "ef262b1454dd2a77e1461b0b2cd53e19b8a7624cc131b837d36df67356bc75e8",
    "model.pth": "c7ea20001c6a0a841c77e252d8409f6a74fb423e79b3206a0771ba5989776187",
    VOCABULARY_NAME: "928260878a59da8a72a2a5b7687fea29d5106137669d90945430fe17e415304a",
    "dvae.pth": "b29bc227d410d4991e0a8c09b858f77415013eeb9fba9650258e96095557d97a",
    "mel_stats.pth": "1f69422a8a8f344c4fca2f0c6b8d41d2151d6615b7321e48e6bb15ae949b119c",
    "LICENSE.txt": "",
}
_FOR_TRAINING = {"dvae.pth": "dvae_checkpoint", "mel_stats.pth": "mel_norm_file"}
_LONGEST_SAMPLES = 255_995  # of a clip, 11.6 s; as coqui's own recipe
_REFERENCES = 6
_RATE = 1e-5


def fetched_xtts(folder: Path) -> Path:
    """Coqui's XTTS v2 from the model hub, put into `folder`; only once its licence is accepted.

    Raises `WeightsError` when the hub cannot be reached or a file is not the one known here.
    """
    try:
        from huggingface_hub import hf_hub_download

        folder.mkdir(parents=True, exist_ok=True)
        for name in _HUB_FILES:
            hf_hub_download(_HUB_REPOSITORY, name, revision=_HUB_REVISION, local_dir=folder)
    except Exception as error:  # network, hub and disk fail in dozens of ways, all with one cure
        raise WeightsError(
            f"XTTS v2 cannot be fetched from the hub ({type(error).__name__}); get its files "
            f"({', '.join(_HUB_FILES)}) another way and name their folder with --from"
        ) from error
    for name, sha256 in _HUB_FILES.items():
        if sha256 and file_sum(folder / name) != sha256:
            raise WeightsError(
                f"'{folder / name}' is not the file of XTTS v2 that was expected from the hub; "
                "delete it and fetch it again, or name a folder of your own with --from"
            )
    return folder


def xtts_to_train(preset: Preset, start: Checkpoint, folder: Path, *, seed: int) -> tuple[Any, Any]:
    """(coqui's GPTTrainer, its configuration) with the weights of `start`.

    Raises `WeightsError` when the files that only training needs are missing.
    """
    quietly_imported("xtts")
    from TTS.tts.layers.xtts.trainer.gpt_trainer import GPTArgs, GPTTrainer, GPTTrainerConfig

    config = filled(GPTTrainerConfig(), _values(start), start.folder)
    if not isinstance(config.model_args, GPTArgs):
        config.model_args = GPTArgs(**dict(config.model_args))
    for name, argument in _FOR_TRAINING.items():
        setattr(config.model_args, argument, str(_tensor_file(start.folder / name)))
    config.model_args.tokenizer_file = str(start.folder / VOCABULARY_NAME)
    config.model_args.max_wav_length = _LONGEST_SAMPLES
    _set_course(config, preset, folder, seed)
    load_xtts(start)  # says what is wrong with it, if anything is
    try:
        net = GPTTrainer(config)
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        said = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"the files in '{start.folder}' do not fit one XTTS ({said}); put those that belong "
            "together into one folder"
        ) from error
    state = read_state(start.weights, "xtts")
    net.xtts.load_state_dict(_spoken_with(state), strict=True)
    return net, config


def _values(start: Checkpoint) -> dict[str, Any]:
    """The configuration of the model, without what it says of its own training."""
    from TTS.tts.layers.xtts.trainer.gpt_trainer import GPTArgs

    known = set(GPTArgs.__dataclass_fields__)
    arguments = {k: v for k, v in dict(start.config.get("model_args") or {}).items() if k in known}
    kept = ("audio", "languages", "temperature", "top_k", "top_p", "repetition_penalty")
    values = {k: start.config[k] for k in kept if k in start.config}
    return {**values, "model_args": {**_defaults(), **arguments}}


def _defaults() -> dict[str, Any]:
    from TTS.tts.layers.xtts.trainer.gpt_trainer import GPTArgs

    return dict(GPTArgs().to_dict())


def _tensor_file(path: Path) -> Path:
    """A file that holds tensors only. Raises `WeightsError` when it is missing or does not."""
    if not path.is_file():
        raise WeightsError(
            f"the checkpoint in '{path.parent}' has no {path.name}, which training needs; get it, "
            "or speak without training: --steps 0"
        )
    refuse_more_than_tensors(path)
    return path


def _set_course(config: Any, preset: Preset, folder: Path, seed: int) -> None:
    wanted = {
        "output_path": str(folder),
        "run_name": "xtts",
        "datasets": [],
        "test_sentences": [],
        "batch_size": min(preset.batch, 4),
        "eval_batch_size": 1,
        "num_loader_workers": preset.workers,
        "num_eval_loader_workers": 0,
        "run_eval": False,
        "print_step": preset.log_steps,
        "plot_step": preset.log_steps,
        "log_model_step": 1_000_000_000,
        "save_n_checkpoints": 1,
        "training_seed": seed,
        "dashboard_logger": "tensorboard",
        "optimizer": "AdamW",
        "optimizer_params": {"betas": [0.9, 0.96], "eps": 1e-8, "weight_decay": 1e-2},
        "optimizer_wd_only_on_weights": True,
        "lr": _RATE,
        "lr_scheduler": None,
    }
    for name, value in wanted.items():
        setattr(config, name, value)


def _spoken_with(state: Mapping[str, Any]) -> dict[str, Any]:
    """Without the second names under which a model ready to speak has its own weights."""
    second = ("gpt.gpt_inference.", "gpt.gpt.wte")
    return {name: tensor for name, tensor in state.items() if not name.startswith(second)}


def xtts_samples(examples: Sequence[Example], language: str) -> list[dict[str, Any]]:
    """The clips as coqui's XTTS dataset wants them: spoken words, lower case."""
    return [
        {
            "text": _text(example),
            "audio_file": str(example.path),
            "speaker_name": "voice",
            "language": language,
            "root_path": str(example.path.parent),
            "audio_unique_name": example.name,
        }
        for example in examples
    ]


def _text(example: Example) -> str:
    script = speakable(example.text)
    return reading(script, {"text_cleaner": "multilingual_cleaners"}).characters


def export_xtts(
    start: Checkpoint, trained: Path | None, examples: Sequence[Example], folder: Path
) -> None:
    """Write `folder` so that the engine speaks from it: configuration, vocabulary, reference.

    `trained` is the checkpoint of a run, whose weights are written too; without one, `start` is
    named with its sha256 and stays where it is. Raises `WeightsError`, `OutputError`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    for name in (CONFIG_NAME, VOCABULARY_NAME):
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes((start.folder / name).read_bytes())
    if trained is not None:
        save_state(_spoken_with(read_state(trained, "xtts")), folder / WEIGHTS_NAME)
        (folder / BASE_NAME).unlink(missing_ok=True)
        model = load_xtts(open_checkpoint(folder, "xtts"))
    else:
        _name_base(start.weights, folder / BASE_NAME)
        (folder / WEIGHTS_NAME).unlink(missing_ok=True)  # of an earlier training into this folder
        model = load_xtts(start)
    longest = sorted(examples, key=lambda e: -e.duration_s)[:_REFERENCES]
    references = [read_sound(example.path) for example in longest]
    save_reference(reference_of(model, references), folder / REFERENCE_NAME)


def _name_base(weights: Path, path: Path) -> None:
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment("The weights of this voice stay where they are."))
    document["weights"] = str(weights.resolve())
    document["sha256"] = file_sum(weights)
    document["bytes"] = weights.stat().st_size
    with atomic_path(path) as temporary:
        temporary.write_text(tomlkit.dumps(document), "utf-8")
