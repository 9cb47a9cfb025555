"""XTTS v2 from a local checkpoint: a person's voice from a few seconds, without fitting.

    reference = reference_of(open_checkpoint(folder, "xtts"), recordings)   # sounds of our loader
    get_synthesizer("xtts").speak(speakable("We chose to go."), voice)

XTTS (Casanova et al. 2024, "XTTS: a massively multilingual zero-shot text-to-speech model")
writes sound as a language model writes text. It has no durations, so the timing of its lines
comes from an aligner and says so (`Timing.engine`). It is given the spoken words ("nineteen
sixty three"), cut at sentences; what it adds after the last word is cut off, and repeats and
lost words are caught by the scores of `voice.takes`, which has the take made again.

A voice's folder keeps in `model/` the configuration, the vocabulary and the reference (two
small arrays); the weights are there too when they were trained further, else `base.toml` names
the checkpoint they come from and its sha256.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align.text import Script
from media.audio import Sound, resample
from media.errors import AlignError, MediaError, TextError, WeightsError
from voice.engines import Utterance
from voice.engines._coqui import (
    CONFIG_NAME,
    Checkpoint,
    dice,
    file_sum,
    filled,
    held_to_card,
    open_checkpoint,
    quietly_imported,
    read_state,
)
from voice.engines._coqui_text import reading
from voice.engines._pauses import joined, refuse_beyond, wishes_by_piece, with_pauses
from voice.engines.vits import MODEL_FOLDER
from voice.prosody import NEUTRAL, Prosody

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from voice.voice import Voice

    Floats = NDArray[np.float32]

__all__ = [
    "BASE_NAME",
    "REFERENCE_NAME",
    "VOCABULARY_NAME",
    "Reference",
    "XttsSynthesizer",
    "load_xtts",
    "reference_of",
    "save_reference",
]

VOCABULARY_NAME, REFERENCE_NAME, BASE_NAME = "vocab.json", "reference.safetensors", "base.toml"
_REFERENCE_RATE = 22_050
_SHORTEST_REFERENCE_S = 1.0
_LONGEST_REFERENCE_S = 30.0
_LONGEST = 180  # phonemes a piece: the model loses its way beyond some 250 letters
_TOKENS_KEPT = 2  # start and stop of the text
_TAIL_S, _FADE_S = 0.25, 0.05
_SPEEDS = (0.6, 1.7)  # of its own pace; beyond, stretched sound gives itself away


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A voice as XTTS knows it.

    `latents` float32 [1, n, width of the GPT] and `speaker` float32 [1, 512, 1].
    """

    latents: Floats
    speaker: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    net: Any
    rate: int


class XttsSynthesizer:
    """Speaks English with XTTS checkpoints; `device` defaults to the best there is.

    `aligner` names the engine of `align.engines` that times the lines.
    """

    name = "xtts"

    def __init__(self, *, device: str | None = None, aligner: str = "combined") -> None:
        self._device = device
        self._aligner = aligner

    def speak(self, script: Script, voice: Voice, prosody: Prosody = NEUTRAL) -> Utterance:
        """The whole script as one utterance of 24 kHz; its durations are not known.

        Raises `TextError` for lines out of reach, `WeightsError` when the checkpoint cannot
        be used, or when it or the reference is not the one that the voice's card names.
        """
        pieces = script.pieces(_LONGEST)
        whole = joined(script, pieces, list(self._spoken(pieces, voice, prosody)))
        if prosody.duration_s is None:
            return whole
        speed = float(whole.sound.duration_s) / prosody.duration_s * prosody.speed
        if not _SPEEDS[0] <= speed <= _SPEEDS[1]:
            own = float(whole.sound.duration_s)
            raise TextError(
                f"the words take {own:.2f} s and cannot be spoken in {prosody.duration_s:.2f} s; "
                f"ask for {own / _SPEEDS[1]:.2f} to {own / _SPEEDS[0]:.2f} s or change the line"
            )
        again = replace(prosody, speed=speed, duration_s=None)
        return joined(script, pieces, list(self._spoken(pieces, voice, again)))

    def speak_pieces(
        self, script: Script, voice: Voice, prosody: Prosody = NEUTRAL
    ) -> Iterator[Utterance]:
        """Sentence by sentence. Raises `TextError` for a wished length, which needs the whole."""
        if prosody.duration_s is not None:
            raise TextError("a text in pieces cannot be fitted to a length; give a speed instead")
        return self._spoken(script.pieces(_LONGEST), voice, prosody)

    def _spoken(
        self, pieces: Sequence[Script], voice: Voice, prosody: Prosody
    ) -> Iterator[Utterance]:
        refuse_beyond(prosody, self.name)
        folder, model = self._model(voice)
        reference = _read_reference(folder / REFERENCE_NAME, voice)
        words = wishes_by_piece(pieces, prosody.words)
        for number, (piece, own) in enumerate(zip(pieces, words, strict=True)):
            wishes = replace(prosody, words=own)
            sound = _sounded(model, reference, piece, wishes, voice.language, number)
            yield with_pauses(self._timed(sound, piece), piece, own)

    def _timed(self, sound: Sound, script: Script) -> Utterance:
        """The sound with an aligner's timing, and without what follows the last word."""
        from align.engines import get_aligner
        from align.spread import spread

        try:
            timing = get_aligner(self._aligner).align(sound, script)
        except AlignError:  # words were lost; the take's scores tell, and it is made again
            timing = spread(sound, script)
        last = max(s.end_s for s in timing.phones) if timing.phones else timing.duration_s
        if last + _TAIL_S < timing.duration_s:
            sound = _ended(sound, last + _TAIL_S)
            timing = timing.shifted(0.0, float(sound.duration_s))
        nothing = np.zeros(0, np.float32)
        return Utterance(sound, timing, np.zeros(0, np.int64), nothing, nothing)

    def _model(self, voice: Voice) -> tuple[Path, _Model]:
        from weights.device import best_device

        if voice.folder is None:
            raise WeightsError(
                f"the voice '{voice.name}' has no folder with a checkpoint; load it from one"
            )
        folder = voice.folder / MODEL_FOLDER
        weights = _weights_of(folder)
        device = self._device or best_device()
        sha256 = held_to_card(voice, "model", file_sum(weights), weights)
        found = _loaded(folder.resolve(), weights, sha256, "cpu" if device == "mps" else device)
        return folder, found


def _weights_of(folder: Path) -> Path:
    """The file of weights: the voice's own, or the checkpoint's that `base.toml` names."""
    base = folder / BASE_NAME
    if not base.is_file():
        return open_checkpoint(folder, "xtts").weights
    try:
        card = tomllib.loads(base.read_text("utf-8"))
        path, sha256, size = Path(card["weights"]), str(card["sha256"]), int(card["bytes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"'{base}' cannot be read ({error}); make the voice again") from error
    if not path.is_file() or path.stat().st_size != size or file_sum(path) != sha256:
        raise WeightsError(
            f"the checkpoint '{path}' that this voice was made with is gone or was changed; "
            "put it back or make the voice again"
        )
    return path


@lru_cache(maxsize=1)
def _loaded(folder: Path, weights: Path, sha256: str, device: str) -> _Model:
    """The model of `folder` with the `weights` of that `sha256`."""
    del sha256
    config = open_checkpoint_config(folder)
    return load_xtts(Checkpoint(folder, config, weights), device)


def open_checkpoint_config(folder: Path) -> Mapping[str, Any]:
    """The config.json of an XTTS folder whose weights may lie elsewhere."""
    import json

    try:
        config = json.loads((folder / CONFIG_NAME).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"'{folder / CONFIG_NAME}' cannot be read ({error}); make the voice again"
        ) from error
    return dict(config)


def load_xtts(found: Checkpoint, device: str = "cpu") -> _Model:
    """Build the network of an XTTS checkpoint and put its weights in.

    Raises `WeightsError` when the vocabulary is missing or the weights do not fit.
    """
    quietly_imported("xtts")
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    config = filled(XttsConfig(), {**found.config, "datasets": []}, found.folder)
    state = read_state(found.weights, "xtts")
    kept = {
        n: t for n, t in state.items() if not n.startswith(("gpt.gpt_inference.", "gpt.gpt.wte"))
    }
    try:
        with dice(0):  # first weights are drawn, and replaced at once
            net = Xtts(config)
            net.tokenizer = _tokenizer(found.folder)
            net.init_models()
        net.load_state_dict(kept, strict=True)
    except (RuntimeError, ValueError, TypeError, AssertionError, AttributeError) as error:
        said = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"the weights '{found.weights}' do not fit the XTTS that their config.json and "
            f"{VOCABULARY_NAME} describe ({said}); put those that belong together into one folder"
        ) from error
    net.gpt.init_gpt_for_inference(kv_cache=net.args.kv_cache)
    net.hifigan_decoder.eval()
    net.gpt.eval()
    net.to(device)
    return _Model(net, int(config.audio.output_sample_rate))


def _tokenizer(folder: Path) -> Any:
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    path = folder / VOCABULARY_NAME
    if not path.is_file():
        raise WeightsError(
            f"the checkpoint in '{folder}' has no {VOCABULARY_NAME}; put it beside its weights"
        )
    try:
        return VoiceBpeTokenizer(vocab_file=path)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise WeightsError(f"'{path}' is no vocabulary of XTTS; get it again") from error


def reference_of(model: _Model, recordings: Sequence[Sound]) -> Reference:
    """What XTTS keeps of a person: the mean over `recordings` (any rate) of at most 30 s in all.

    Raises `MediaError` when there is less than a second of them.
    """
    import torch

    sounds, total = [], 0.0
    for sound in recordings:
        if total < _LONGEST_REFERENCE_S:
            sounds.append(resample(sound, _REFERENCE_RATE))
            total += float(sound.duration_s)
    if total < _SHORTEST_REFERENCE_S:
        raise MediaError(
            f"there are {total:.2f} s of reference recordings, which is too little to know a "
            "voice by; give at least a second, better ten"
        )
    net = model.net
    settings = net.config
    waves = [torch.from_numpy(np.clip(s.samples, -1, 1))[None] for s in sounds]
    with torch.inference_mode():
        speakers = [net.get_speaker_embedding(wave, _REFERENCE_RATE) for wave in waves]
        chunk = min(int(settings.gpt_cond_chunk_len), int(settings.gpt_cond_len))
        latents = net.get_gpt_cond_latents(
            torch.cat(waves, dim=-1),
            _REFERENCE_RATE,
            length=int(_LONGEST_REFERENCE_S),
            chunk_length=chunk,
        )
        speaker = torch.stack(speakers).mean(dim=0)
    return Reference(latents.float().cpu().numpy(), speaker.float().cpu().numpy())


def save_reference(reference: Reference, path: Path) -> None:
    """Write a reference as safetensors. Raises `OutputError`."""
    from safetensors.numpy import save

    from media.files import atomic_path

    arrays = {"latents": np.ascontiguousarray(reference.latents)}
    arrays["speaker"] = np.ascontiguousarray(reference.speaker)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(arrays))


def _read_reference(path: Path, voice: Voice) -> Reference:
    """The reference, of the very bytes that the voice's card knows."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
        held_to_card(voice, "reference", hashlib.sha256(content).hexdigest(), path)
        arrays = load(content)
        return Reference(arrays["latents"], arrays["speaker"])
    except (OSError, KeyError, SafetensorError) as error:
        raise WeightsError(
            f"the reference '{path}' of this voice is missing or damaged; make the voice again"
        ) from error


def _sounded(
    model: _Model,
    reference: Reference,
    script: Script,
    wishes: Prosody,
    language: str,
    number: int,
) -> Sound:
    """One piece of text as sound, drawn from the wishes' seed."""
    import torch

    net = model.net
    text = reading(script, {"text_cleaner": "multilingual_cleaners"}).characters
    _refuse_unspeakable(net, text, language)
    settings = net.config
    with dice(wishes.seed, number):
        spoken = net.inference(
            text,
            language,
            torch.from_numpy(reference.latents),
            torch.from_numpy(reference.speaker),
            temperature=float(settings.temperature) * min(wishes.expression, 1.2),
            length_penalty=float(settings.length_penalty),
            repetition_penalty=float(settings.repetition_penalty),
            top_k=int(settings.top_k),
            top_p=float(settings.top_p),
            speed=wishes.speed,
        )
    samples = np.asarray(spoken["wav"], np.float32).reshape(-1)
    return Sound(np.clip(np.nan_to_num(samples), -1.0, 1.0), model.rate)


def _refuse_unspeakable(net: Any, text: str, language: str) -> None:
    if language not in net.config.languages:
        known = ", ".join(net.config.languages)
        raise TextError(f"this XTTS does not speak '{language}'; it speaks {known}")
    tokens = net.tokenizer.encode(text.strip().lower(), lang=language)
    if len(tokens) + _TOKENS_KEPT >= int(net.args.gpt_max_text_tokens):
        raise TextError(
            f"the line '{text[:30]}...' is too long for XTTS in one breath; put in a full stop"
        )


def _ended(sound: Sound, at_s: float) -> Sound:
    """The sound up to `at_s`, faded out."""
    samples = np.array(sound.cut(0, at_s).samples)
    fade = min(round(_FADE_S * sound.rate), len(samples))
    samples[len(samples) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return Sound(samples, sound.rate)
