"""Checkpoint folders of coqui-tts, read without trusting them.

    found = open_checkpoint(Path("checkpoint/"), "vits")      # config.json and weights
    state = read_state(found.weights, "vits")                 # name -> tensor, nothing executed

Weights are safetensors, or a `.pth` read with ``weights_only``: a pickle that wants more than
tensors and plain values is refused, not run. The only classes let through are the four
configuration dataclasses that the published XTTS checkpoints carry, which do nothing when
they are rebuilt.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from media.errors import EngineMissingError, MediaError, WeightsError
from media.files import sha256_of

if TYPE_CHECKING:
    import torch

    from voice.voice import Voice

__all__ = [
    "CONFIG_NAME",
    "WEIGHTS_NAME",
    "Checkpoint",
    "accepted_licence",
    "dice",
    "file_sum",
    "filled",
    "held_to_card",
    "licence_of",
    "open_checkpoint",
    "quietly_imported",
    "read_state",
    "refuse_classes_from_elsewhere",
    "refuse_more_than_tensors",
    "save_state",
]

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
_PLAIN_NAMES = (WEIGHTS_NAME, "model.pth", "model_file.pth")
_NUMBERED = re.compile(r"^(?:checkpoint|best_model)_(\d+)\.pth$")
_NOT_WEIGHTS = ("disc.", "torch_mel_spectrogram", "dvae.", "speaker_encoder.")
_LICENCE_FILES = ("licen[cs]e*", "copying*", "readme.md")
# What a licence text says of itself -> its short name; the first that fits counts.
_LICENCES = (
    (r"coqui public model licen[cs]e|licen[cs]e(_name)?:\s*coqui-public|\bcpml\b", "cpml"),
    (r"licen[cs]e:\s*cc-by-nc|attribution-noncommercial|non-?commercial\b", "cc-by-nc"),
    (r"licen[cs]e:\s*cc-by-nd|attribution[- ]no[- ]?deriv", "cc-by-nd"),
    (r"licen[cs]e:\s*cc-by-sa|attribution[- ]share[- ]?alike", "cc-by-sa"),
    (r"gnu (affero |lesser )?general public licen[cs]e|licen[cs]e:\s*[al]?gpl", "gpl"),
    (r"licen[cs]e:\s*cc-by|creative commons attribution", "cc-by"),
    (r"licen[cs]e:\s*cc0|cc0 1\.0", "cc0"),
    (r"apache licen[cs]e|licen[cs]e:\s*apache-2", "apache-2.0"),
    (r"mozilla public licen[cs]e|licen[cs]e:\s*mpl-2", "mpl-2.0"),
    (r"bsd \d-clause|licen[cs]e:\s*bsd", "bsd"),
    (r"\bmit licen[cs]e\b|licen[cs]e:\s*mit|permission is hereby granted, free of charge", "mit"),
)
# A README says it of its data as well; only a licence file says it of the model.
_DEDICATED = (r"public domain", "cc0")
_FREE = frozenset({"apache-2.0", "bsd", "cc-by", "cc0", "mit", "mpl-2.0"})
_TERMS = {
    "cpml": "the Coqui Public Model License: non-commercial use only, of what it speaks too",
    "cc-by-nc": "a Creative Commons licence for non-commercial use only",
    "cc-by-nd": "a Creative Commons licence under which nothing derived may be shared",
    "cc-by-sa": "a Creative Commons licence, which asks for the same licence on what is derived",
    "gpl": "a GNU licence, which asks for the source of what it is shipped with",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder with a model: its configuration (JSON values) and the file of its weights."""

    folder: Path
    config: Mapping[str, Any]
    weights: Path


def open_checkpoint(place: Path, architecture: str) -> Checkpoint:
    """The checkpoint in the folder `place`, or the one that the file `place` is.

    Of several files of weights, `model.safetensors` or `model.pth` is taken, else the one with
    the highest number of steps. Raises `WeightsError` when the configuration or the weights
    are missing, or when the model is no `architecture` ("vits", "xtts").
    """
    folder = place.parent if place.is_file() else place
    if not folder.is_dir():
        raise WeightsError(f"there is no checkpoint '{place}'; name a folder with {CONFIG_NAME}")
    config = _config(folder)
    model = str(config.get("model") or "unknown").lower()
    if model != architecture:
        raise WeightsError(
            f"the checkpoint in '{folder}' is a model of the kind '{model}', not '{architecture}'; "
            f"name a checkpoint of {architecture}"
        )
    return Checkpoint(folder, config, place if place.is_file() else _weights(folder))


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise WeightsError(
            f"the checkpoint in '{folder}' has no {CONFIG_NAME}; put the one it was trained with "
            "beside its weights"
        )
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"'{path}' cannot be read ({error}); get it again") from error
    if not isinstance(config, dict):
        raise WeightsError(f"'{path}' is no configuration of a model; get it again")
    return config


def _weights(folder: Path) -> Path:
    for name in _PLAIN_NAMES:
        if (folder / name).is_file():
            return folder / name
    numbered = [(int(m[1]), p) for p in folder.iterdir() if (m := _NUMBERED.match(p.name))]
    if numbered:
        return max(numbered)[1]
    raise WeightsError(
        f"the checkpoint in '{folder}' has no weights; put its {WEIGHTS_NAME} or model.pth there"
    )


def read_state(path: Path, architecture: str, *, whole: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of a file of weights by name, on the CPU.

    What only training needs is left out, unless the `whole` is wanted.

    Raises `WeightsError` when the file is missing, truncated, no weights, or a pickle that
    holds more than tensors and plain values.
    """
    if path.suffix == ".safetensors":
        loaded: object = _read_safetensors(path)
    else:
        loaded = _read_pickle(path, architecture)
    if isinstance(loaded, dict) and isinstance(loaded.get("model"), dict):
        loaded = loaded["model"]
    tensors = _tensors(loaded)
    if not tensors:
        raise WeightsError(f"'{path}' holds no weights of a model; name another file")
    # The trainer of XTTS puts the model one level down.
    named = {name.removeprefix("xtts."): tensor for name, tensor in tensors.items()}
    return {n: t for n, t in named.items() if whole or not n.startswith(_NOT_WEIGHTS)}


def _tensors(loaded: object) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(loaded, dict):
        return {}
    return {str(k): v for k, v in loaded.items() if isinstance(v, torch.Tensor)}


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        loaded: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path) from error
    return loaded


def _read_pickle(path: Path, architecture: str) -> object:
    import torch

    def load() -> object:
        return torch.load(path, map_location="cpu", weights_only=True)

    try:
        try:
            return load()
        except pickle.UnpicklingError as error:
            if architecture != "xtts" or not _wants_classes(error):
                raise
            with torch.serialization.safe_globals(_xtts_configurations()):
                return load()
    except pickle.UnpicklingError as error:
        if _wants_classes(error):
            raise WeightsError(
                f"'{path}' holds more than weights (Python objects, which could run anything "
                "when they are read); have it saved as safetensors, or as tensors only"
            ) from error
        raise _damaged(path) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise _damaged(path) from error


def _wants_classes(error: Exception) -> bool:
    said = str(error)
    return "Unsupported global" in said or "Unsupported class" in said or "GLOBAL" in said


def _xtts_configurations() -> list[Any]:
    """The dataclasses in the published XTTS checkpoints, under the names they had then."""
    from TTS.config.shared_configs import BaseDatasetConfig
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig

    old = "TTS.tts.models.xtts"
    return [
        (XttsArgs, f"{old}.XttsArgs"),
        (XttsAudioConfig, f"{old}.XttsAudioConfig"),
        XttsArgs,
        XttsAudioConfig,
        XttsConfig,
        BaseDatasetConfig,
    ]


def refuse_more_than_tensors(path: Path) -> None:
    """Raises `WeightsError` when a file is anything but one tensor, or tensors by name."""
    import torch

    loaded = _read_pickle(path, "tensors")
    if not isinstance(loaded, torch.Tensor) and not _tensors(loaded):
        raise WeightsError(f"'{path}' holds no weights of a model; get it again")


def _damaged(path: Path) -> WeightsError:
    return WeightsError(f"'{path}' is damaged or no file of weights; get or train it again")


def file_sum(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, taken anew only when its time or size has changed.

    Raises `WeightsError` when the file is missing or cannot be read.
    """
    try:
        found = path.stat()
        return _sum(path.resolve(), found.st_mtime_ns, found.st_size)
    except (OSError, MediaError) as error:
        raise WeightsError(f"'{path}' is missing or cannot be read; put it back") from error


@lru_cache(maxsize=64)
def _sum(path: Path, stamp: int, size: int) -> str:
    del stamp, size
    return sha256_of(path)


def held_to_card(voice: Voice, part: str, sha256: str, path: Path) -> str:
    """`sha256`, when it is that of the `part` ("model", "reference") on the voice's card.

    The consent that covers a voice covers the person it was trained on; files put into its
    folder from elsewhere are somebody else. Raises `WeightsError`.
    """
    if sha256 not in (row.sha256 for row in voice.weights if row.part == part):
        raise WeightsError(
            f"'{path}' is not the {part} that the card of voice '{voice.name}' was written for; "
            "put that one back, or train the voice again"
        )
    return sha256


def save_state(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as safetensors, whole or not at all. Raises `OutputError`."""
    from safetensors.torch import save

    from media.files import atomic_path

    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(own))  # its own writer does not tell a full disk by OSError


def quietly_imported(architecture: str) -> None:
    """Import coqui-tts and hush its loggers.

    Raises `EngineMissingError` with the command that installs it.
    """
    import importlib
    import logging

    module = {"vits": "TTS.tts.models.vits", "xtts": "TTS.tts.models.xtts"}[architecture]
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise EngineMissingError(
            f"the engine '{architecture}' needs coqui-tts ({error}); install it with: "
            "pip install 'coqui-tts[codec]==0.28.0' six"
        ) from error
    for name in ("TTS", "trainer"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def dice(*seed: int) -> Iterator[None]:
    """Random numbers of torch from a seed; everybody else's are left as they were."""
    import torch

    state = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    with torch.random.fork_rng():
        torch.manual_seed(int(state[0] >> np.uint64(1)))
        yield


def filled(config: Any, values: Mapping[str, Any], folder: Path) -> Any:
    """A coqui configuration object with the `values` of a config.json.

    Raises `WeightsError` when they are not what that model is configured with.
    """
    import warnings

    refuse_classes_from_elsewhere(values, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            config.from_dict(dict(values))
    except (ValueError, TypeError, KeyError, AttributeError, Warning) as error:
        said = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"the configuration in '{folder / CONFIG_NAME}' does not fit this model ({said}); "
            "put the one it was trained with there"
        ) from error
    return config


def refuse_classes_from_elsewhere(values: Mapping[str, Any], folder: Path) -> None:
    """coqui-tts imports whatever class a configuration names; only its own are let through."""
    characters = values.get("characters")
    named = characters.get("characters_class") if isinstance(characters, Mapping) else None
    if named and not str(named).startswith("TTS.tts."):
        raise WeightsError(
            f"the configuration in '{folder}' wants code from '{named}', which is not part of "
            "coqui-tts and is not run; use a checkpoint that needs none"
        )


def licence_of(folder: Path, architecture: str) -> str:
    """The short name of the licence that a checkpoint's folder states, or "unknown".

    All XTTS models are derived from Coqui's and so under its licence, whatever is said beside
    them.
    """
    if architecture == "xtts":
        return "cpml"
    for pattern in _LICENCE_FILES:
        for path in sorted(folder.iterdir()):
            if path.is_file() and re.fullmatch(pattern.replace("*", ".*"), path.name.lower()):
                text = path.read_text("utf-8", errors="replace")[:20_000].lower()
                dedicated = [] if path.suffix.lower() == ".md" else [_DEDICATED]
                for words, name in [*_LICENCES, *dedicated]:
                    if re.search(words, text):
                        return name
    return "unknown"


def accepted_licence(licence: str, accepted: str | None, what: str) -> str:
    """`licence`, when it is a free one or the user has accepted it by name.

    Raises `WeightsError` that says what the licence asks and how to accept it.
    """
    if licence in _FREE or (accepted or "").strip().lower() == licence:
        return licence
    if licence == "unknown":
        raise WeightsError(
            f"{what} comes without a licence; if you may use it, say so with "
            "--accept-licence unknown, or put its LICENSE file beside it"
        )
    raise WeightsError(
        f"{what} is under {_TERMS.get(licence, licence)}; if that suits this production, "
        f"accept it with --accept-licence {licence}"
    )
