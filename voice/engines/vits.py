"""A coqui-tts VITS checkpoint as a voice, with its own durations as exact timing.

    voice = load_voice("voices/anna")          # its folder has model/config.json and the weights
    get_synthesizer("vits").speak(speakable("We chose to go."), voice)

VITS (Kim et al. 2021, "Conditional variational autoencoder with adversarial learning for
end-to-end text-to-speech") predicts how many frames each of its tokens lasts and makes one hop
of sound of each frame. The durations are drawn first, brought to the wished pace or length,
and given back to the model: the sound has exactly that many frames. Same voice, script,
wishes and seed give the same samples on the same device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align.text import Script
from media.audio import Sound
from media.errors import TextError, WeightsError
from voice.engines import Utterance
from voice.engines._coqui import (
    Checkpoint,
    dice,
    file_sum,
    filled,
    held_to_card,
    open_checkpoint,
    quietly_imported,
    read_state,
)
from voice.engines._coqui_text import Reading, reading
from voice.engines._coqui_timing import character_frames, timing_of_characters, whole_frames
from voice.engines._pauses import joined, refuse_beyond, wishes_by_piece, with_pauses
from voice.prosody import NEUTRAL, Prosody, elasticity, stretched

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from voice.voice import Voice

    Floats = NDArray[np.float64]

__all__ = ["MODEL_FOLDER", "VitsSynthesizer", "load_vits"]

MODEL_FOLDER = "model"
"""Of a voice's folder: what coqui-tts calls a checkpoint."""
_LONGEST = 300  # phonemes a piece
_SHORTEST_SHARE, _LONGEST_SHARE = 0.4, 3.0  # of the natural length; beyond it is no speech
_STRESS = 1.2  # how much longer a stressed word lasts
_BLANK_GIVE = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """A loaded network, its config.json, and its frames: `hop` samples of `rate` Hz each."""

    net: Any
    config: Mapping[str, Any]
    rate: int
    hop: int
    noise: float

    @property
    def frame_s(self) -> float:
        return self.hop / self.rate


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A piece as the model reads it, and how long it would speak each token (frames)."""

    script: Script
    wishes: Prosody
    reading: Reading
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    natural: Floats


class VitsSynthesizer:
    """Speaks with VITS checkpoints; `device` defaults to the best there is."""

    name = "vits"

    def __init__(self, *, device: str | None = None) -> None:
        self._device = device

    def speak(self, script: Script, voice: Voice, prosody: Prosody = NEUTRAL) -> Utterance:
        """The whole script as one utterance at the checkpoint's own rate.

        Raises `TextError` for what the model has no characters for and for lengths out of
        reach, `WeightsError` when the voice's checkpoint cannot be used or is not the one that
        its card names.
        """
        pieces = script.pieces(_LONGEST)
        return joined(script, pieces, list(self._spoken(pieces, voice, prosody)))

    def speak_pieces(
        self, script: Script, voice: Voice, prosody: Prosody = NEUTRAL
    ) -> Iterator[Utterance]:
        """Piece by piece; a wished length holds for all of them together."""
        return self._spoken(script.pieces(_LONGEST), voice, prosody)

    def _spoken(
        self, pieces: Sequence[Script], voice: Voice, prosody: Prosody
    ) -> Iterator[Utterance]:
        refuse_beyond(prosody, self.name)
        model = self._model(voice)
        words = wishes_by_piece(pieces, prosody.words)
        wishes = [replace(prosody, words=own) for own in words]
        if prosody.duration_s is None:
            for number, (piece, wish) in enumerate(zip(pieces, wishes, strict=True)):
                plan = _planned(model, piece, wish, number)
                yield _said(model, plan, _paced(plan), number)
            return
        plans = [_planned(model, p, w, n) for n, (p, w) in enumerate(zip(pieces, wishes))]  # noqa: B905
        for number, (plan, frames) in enumerate(_fitted(model, plans, prosody.duration_s)):
            yield _said(model, plan, frames, number)

    def _model(self, voice: Voice) -> _Model:
        from weights.device import best_device

        if voice.folder is None:
            raise WeightsError(
                f"the voice '{voice.name}' has no folder with a checkpoint; load it from one"
            )
        found = open_checkpoint(voice.folder / MODEL_FOLDER, "vits")
        device = self._device or best_device()
        sha256 = held_to_card(voice, "model", file_sum(found.weights), found.weights)
        return _loaded(found.folder.resolve(), sha256, "cpu" if device == "mps" else device)


@lru_cache(maxsize=2)
def _loaded(folder: Path, sha256: str, device: str) -> _Model:
    """The checkpoint in `folder`, whose weights are those of `sha256`, ready to speak."""
    del sha256
    return load_vits(open_checkpoint(folder, "vits"), device)


def load_vits(found: Checkpoint, device: str = "cpu") -> _Model:
    """Build the network of a checkpoint and put its weights in.

    Raises `WeightsError` when configuration and weights do not fit each other, or when the
    checkpoint speaks with several voices.
    """
    quietly_imported("vits")
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits

    _refuse_several_speakers(found)
    values = {**found.config, "use_phonemes": False, "phonemizer": None, "datasets": []}
    config = filled(VitsConfig(), _with_characters_class(values, found.config), found.folder)
    config.model_args.init_discriminator = False
    state = read_state(found.weights, "vits")
    try:
        with dice(0):  # first weights are drawn, and replaced at once
            net = Vits(config)
    except (AssertionError, ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
        raise _unfit(found, error) from error
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise _unfit(found, error) from error
    net.eval().to(device)
    encoder_rate = config.model_args.encoder_sample_rate
    rate = int(config.audio.sample_rate)
    hop = int(config.audio.hop_length * (rate / encoder_rate if encoder_rate else 1))
    return _Model(net, found.config, rate, hop, float(net.inference_noise_scale))


def _with_characters_class(values: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Phoneme models that do not name their class of characters mean IPAPhonemes."""
    characters = values.get("characters")
    if not config.get("use_phonemes") or not isinstance(characters, Mapping):
        return values
    named = characters.get("characters_class") or "TTS.tts.utils.text.characters.IPAPhonemes"
    return {**values, "characters": {**characters, "characters_class": named}}


def _refuse_several_speakers(found: Checkpoint) -> None:
    args = found.config.get("model_args") or {}
    for key in ("use_speaker_embedding", "use_d_vector_file", "use_language_embedding"):
        if args.get(key) or found.config.get(key):
            raise WeightsError(
                f"the checkpoint in '{found.folder}' speaks with several voices or languages; "
                "name a checkpoint of one person"
            )


def _unfit(found: Checkpoint, error: Exception) -> WeightsError:
    said = " ".join(str(error).replace("\n", " ").split())[:160]
    return WeightsError(
        f"the weights '{found.weights}' do not fit the model that their config.json describes "
        f"({said}); put the two that belong together into one folder"
    )


def _planned(model: _Model, script: Script, wishes: Prosody, number: int) -> _Plan:
    """The piece as tokens, with the durations that the model draws for them."""
    read = reading(script, model.config)
    ids, positions = _tokens(model, read)
    natural = _drawn(model, ids, wishes, number)
    return _Plan(script, wishes, read, ids, positions, natural)


def _tokens(model: _Model, read: Reading) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(token numbers, for each the index of its character or -1): blanks and ends included."""
    tokenizer = model.net.tokenizer
    vocabulary = {c: i for i, c in enumerate(tokenizer.characters.vocab)}
    known = [(vocabulary[c], at) for at, c in enumerate(read.characters) if c in vocabulary]
    spoken = [at for _, at in known if read.characters[at].isalpha()]
    if not spoken:
        raise TextError(
            f"the model has no characters for '{read.characters[:30]}'; write the line in the "
            "language that the voice was trained in"
        )
    if tokenizer.add_blank:
        blank = (tokenizer.characters.blank_id, -1)
        known = [blank, *(item for pair in known for item in (pair, blank))]
    if tokenizer.use_eos_bos:
        characters = tokenizer.characters
        known = [(characters.bos_id, -1), *known, (characters.eos_id, -1)]
    return tuple(i for i, _ in known), tuple(at for _, at in known)


def _drawn(model: _Model, ids: Sequence[int], wishes: Prosody, number: int) -> Floats:
    """Frames float64 [tokens] that the model gives each token, drawn from the wishes' seed."""
    import torch

    net = model.net
    tokens = torch.tensor([ids], device=net.device)
    with torch.inference_mode(), dice(wishes.seed, number, 0):
        length = torch.tensor([len(ids)], device=net.device)
        x, _, _, mask = net.text_encoder(tokens, length, lang_emb=None)
        if net.args.use_sdp:
            noise = net.inference_noise_scale_dp
            logarithms = net.duration_predictor(
                x, mask, g=None, reverse=True, noise_scale=noise, lang_emb=None
            )
        else:
            logarithms = net.duration_predictor(x, mask, g=None, lang_emb=None)
        frames = torch.exp(logarithms.double().clamp(-8, 6)) * net.length_scale
    drawn: Floats = np.maximum(frames[0, 0].cpu().numpy(), 1e-3)
    return drawn


def _paced(plan: _Plan) -> NDArray[np.int64]:
    """Whole frames for each token at the wished pace, as coqui-tts rounds them (upwards)."""
    return np.ceil(plan.natural / _paces(plan)).astype(np.int64)


def _paces(plan: _Plan) -> Floats:
    """The speed of every token: the line's, its word's, less where the word is stressed."""
    wishes = plan.wishes
    speeds = np.full(len(plan.ids), wishes.speed)
    for token, position in enumerate(plan.positions):
        word = plan.script.word_of[plan.reading.owner[position]] if position >= 0 else -1
        if word >= 0:
            speeds[token] *= wishes.words.pace_of(word)
            speeds[token] /= _STRESS if word in wishes.words.stressed else 1.0
    return speeds


def _fitted(
    model: _Model, plans: Sequence[_Plan], duration_s: float
) -> Iterator[tuple[_Plan, NDArray[np.int64]]]:
    """Every piece with whole frames for its tokens, which with the pauses sum to the length."""
    silent = sum(s for plan in plans for _, s in plan.wishes.words.pauses)
    total = round((duration_s - silent) / model.frame_s)
    natural = np.concatenate([np.maximum(p.natural / _paces(p) * p.wishes.speed, 1) for p in plans])
    usual = float(natural.sum())
    least, most = max(_SHORTEST_SHARE * usual, len(natural)), _LONGEST_SHARE * usual
    if not least <= total <= most:
        low, high = (f * model.frame_s + silent for f in (least, most))
        raise TextError(
            f"the words take {usual * model.frame_s + silent:.2f} s and cannot be spoken in "
            f"{duration_s:.2f} s; ask for {low:.2f} to {high:.2f} s or change the line"
        )
    give = np.concatenate([_gives(plan) for plan in plans])
    edges = np.floor(np.cumsum(stretched(natural, give, total)) + 0.5).astype(np.int64)
    edges[-1] = total
    frames = np.diff(edges, prepend=0)
    first = 0
    for plan in plans:
        yield plan, frames[first : first + len(plan.ids)]
        first += len(plan.ids)


def _gives(plan: _Plan) -> Floats:
    """How readily each token gives way: pauses and vowels before consonants."""
    give = np.full(len(plan.ids), _BLANK_GIVE)
    for token, position in enumerate(plan.positions):
        if position >= 0:
            give[token] = elasticity(plan.script.kokoro[plan.reading.owner[position]])[0]
    return give


def _said(model: _Model, plan: _Plan, frames: NDArray[np.int64], number: int) -> Utterance:
    """The sound of these durations, and the timing that they are."""
    samples = _sounded(model, plan, frames, number)
    if len(samples) != int(frames.sum()) * model.hop:
        raise WeightsError(
            "the model's sound is not as long as its durations; its config.json is another one's"
        )
    own = character_frames(plan.script, plan.reading, plan.positions, frames.astype(np.float64))
    timing = timing_of_characters(plan.script, own, model.frame_s, by_word=plan.reading.by_word)
    nothing = np.zeros(0, np.float32)
    said = Utterance(
        Sound(samples, model.rate), timing, whole_frames(own), nothing, nothing, model.frame_s
    )
    return with_pauses(said, plan.script, plan.wishes.words)


def _sounded(
    model: _Model, plan: _Plan, frames: NDArray[np.int64], number: int
) -> NDArray[np.float32]:
    """Float32 samples, `hop` of them for every frame."""
    import torch

    net = model.net
    # How far from its mean the model draws; far out it only gets hoarse.
    net.inference_noise_scale = model.noise * min(plan.wishes.expression, 1.5)
    device = net.device
    with dice(plan.wishes.seed, number, 1):
        spoken = net.inference(
            torch.tensor([plan.ids], device=device),
            {
                "x_lengths": torch.tensor([len(plan.ids)], device=device),
                "durations": torch.tensor(frames[None].astype(np.float32), device=device),
            },
        )
    samples: NDArray[np.float32] = spoken["model_outputs"][0, 0].float().cpu().numpy()
    return np.clip(samples, -1.0, 1.0)
