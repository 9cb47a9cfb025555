"""The default voice engine: Kokoro-82M with any 256-number style, and its exact timing.

On the CPU it runs the int8 ONNX graphs, on an accelerator the PyTorch model; both let
durations, F0 and energy be replaced between stages. Every utterance starts `LEAD_S`
before its first phone and ends `TAIL_S` after its last, whatever the model's own silence.

The sound runs ahead of the durations, most at the start of a line: the whole /s/ of "Stop!"
lies in the start mark (50 to 175 ms measured). So the cut follows the predicted energy, and
`align.engines.exact` undoes the lead within the line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from align.engines.exact import timing_from_durations
from align.text import Script
from align.timing import Span, Timing
from media.audio import Sound
from media.errors import TextError, WeightsError
from voice.engines import Utterance
from voice.prosody import NEUTRAL, PLAIN, VOICED_HZ, Prosody, shape_f0
from voice.shaping import (
    Tokens,
    guided_curves,
    guided_frames,
    shortened_pauses,
    silent_frames,
    stressed_curves,
    wished_frames,
)

if TYPE_CHECKING:
    import torch

    from voice.engines.kokoro_model import KokoroModel
    from voice.voice import Voice

    Floats = NDArray[np.float32]
    Frames = NDArray[np.int64]

__all__ = ["FRAME_S", "FRAME_SAMPLES", "LEAD_S", "SAMPLE_RATE", "TAIL_S", "KokoroSynthesizer"]

SAMPLE_RATE = 24_000
FRAME_SAMPLES = 600
FRAME_S = 0.025
_LEAD, _TAIL = 4, 6  # frames
LEAD_S, TAIL_S = _LEAD * FRAME_S, _TAIL * FRAME_S
_BREAK = 4  # frames of silence between pieces, beside the tail and the lead
_LONGEST = 250  # phonemes a piece: long enough for a sentence, flat in memory
_FADE_OUT = 4  # of the tail's frames: a release still sounds in the first two
_AHEAD_S = 0.050  # of its durations the sound runs
_ONSET = 6.0  # speech begins where log energy comes this near to the line's loud parts


class _Stages(Protocol):
    """What both `OnnxStages` and `_TorchStages` offer; shapes in `OnnxStages`."""

    def text(self, ids: NDArray[np.int64], style: Floats) -> tuple[Floats, Floats, Floats]: ...

    def curves(self, features: Floats, style: Floats) -> tuple[Floats, Floats]: ...

    def sound(
        self,
        acoustic: Floats,
        f0: Floats,
        energy: Floats,
        style: Floats,
        noise: Floats | None,
        layers: Mapping[str, Floats],
    ) -> Floats: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A piece of script after the text stage. Arrays run over tokens, both ends included;
    the words are tokens [first, last). `known` marks characters that Kokoro has."""

    script: Script
    style: Floats
    layers: Mapping[str, Floats]
    known: NDArray[np.bool_]
    expected: NDArray[np.float64]
    features: Floats
    acoustic: Floats
    first: int
    last: int

    @property
    def inner(self) -> slice:
        return slice(self.first, self.last)


class KokoroSynthesizer:
    """Speaks English scripts. `device` "cpu" runs onnxruntime, others PyTorch.

    `threads` defaults to the number of processors. Loading happens on first use.
    """

    name = "kokoro"

    def __init__(self, *, device: str = "cpu", threads: int | None = None) -> None:
        self.device = device
        self.threads = threads or len(os.sched_getaffinity(0))
        self._loading = Lock()

    def speak(self, script: Script, voice: Voice, prosody: Prosody = NEUTRAL) -> Utterance:
        """The whole script as one utterance of 24 kHz.

        Raises `TextError` when there is nothing to speak or the wished length is out of reach.
        """
        return _joined(script, list(self.speak_pieces(script, voice, prosody)), prosody)

    def speak_pieces(
        self, script: Script, voice: Voice, prosody: Prosody = NEUTRAL
    ) -> Iterator[Utterance]:
        """Piece by piece, each with its own lead and tail; `speak` joins them.

        A wished length needs all durations first and then holds for the joined whole.
        """
        pieces = script.pieces(_LONGEST)
        wishes = _shared_out(pieces, prosody)
        if prosody.duration_s is None or prosody.guide is not None:
            for number, (piece, wish) in enumerate(zip(pieces, wishes, strict=True)):
                plan = self._plan(piece, voice)
                yield self._say(plan, _paced(plan, wish), wish, number)
            return
        plans = [self._plan(piece, voice) for piece in pieces]
        onsets = [self._onset(plan) for plan in plans]
        fitted = _fitted(plans, wishes, onsets, prosody.duration_s)
        for number, (plan, frames) in enumerate(zip(plans, fitted, strict=True)):
            yield self._say(plan, frames, wishes[number], number, onsets[number])

    @cached_property
    def _stages(self) -> _Stages:
        with self._loading:  # sentences spoken side by side wait for the first of them
            if "_stages" not in self.__dict__:
                self.__dict__["_stages"] = self._load()
            found: _Stages = self.__dict__["_stages"]
            return found

    def _load(self) -> _Stages:
        from weights.registry import locate

        if self.device == "cpu":
            from voice.engines.kokoro_graphs import OnnxStages

            return OnnxStages.load(locate("kokoro-onnx"), self.threads)
        from voice.engines.kokoro_model import load_model

        return _TorchStages(load_model(device=self.device))

    @cached_property
    def _vocabulary(self) -> Mapping[str, int]:
        from weights.registry import locate

        table: dict[str, int] = json.loads(locate("kokoro-vocab").read_text("utf-8"))["vocab"]
        return table

    def _plan(self, script: Script, voice: Voice) -> _Plan:
        numbers = [self._vocabulary.get(c) for c in script.kokoro]
        spoken = [i for i, word in enumerate(script.word_of) if word >= 0]
        if not spoken or all(n is None for n in numbers):
            raise TextError("there is nothing to speak in this line; write some words")
        known = np.array([True, *(n is not None for n in numbers), True])
        ids = np.array([0, *(n for n in numbers if n is not None), 0], np.int64)
        style = np.asarray(voice.style, np.float32).reshape(1, 256)
        expected, features, acoustic = self._stages.text(ids, style)
        whole = np.zeros(len(known))
        whole[known] = expected
        ends = spoken[0] + 1, spoken[-1] + 2
        return _Plan(script, style, voice.layers, known, whole, features, acoustic, *ends)

    def _onset(self, plan: _Plan) -> int:
        frames = _paced(plan, NEUTRAL)
        own = frames[plan.known]
        _, energy = self._stages.curves(np.repeat(plan.features, own, axis=0), plan.style)
        return _early_frames(plan, frames, energy)

    def _say(
        self, plan: _Plan, frames: Frames, prosody: Prosody, number: int, onset: int | None = None
    ) -> Utterance:
        """The last two stages with `frames` int64 [tokens] for each token.

        `onset`, when known, is kept, so that a fitted length stays as fitted.
        """
        frames, silent = _with_silence(plan, frames, prosody)
        own = frames[plan.known]
        f0, energy = self._stages.curves(np.repeat(plan.features, own, axis=0), plan.style)
        if onset is None:
            onset = _early_frames(plan, frames, energy)
        f0, energy = _directed(plan, frames, f0, energy, prosody)
        f0 = shape_f0(f0, prosody)
        noise = _source_noise(f0, prosody, number)
        acoustic = np.repeat(plan.acoustic, own, axis=0)
        samples = self._stages.sound(acoustic, f0, energy, plan.style, noise, plan.layers)
        spliced = _spliced(frames, silent, samples, f0, energy)
        said = _trimmed(plan, spliced[0], onset, *spliced[1:])
        return _padded(said, *_silences(plan, prosody, number))


class _TorchStages:
    """The same three stages on the PyTorch model, for accelerators."""

    def __init__(self, model: KokoroModel) -> None:
        self.model = model

    def text(self, ids: NDArray[np.int64], style: Floats) -> tuple[Floats, Floats, Floats]:
        import torch

        with torch.inference_mode():
            encoded = self.model.encode(torch.tensor(ids[None], device=self.model.device))
            features, frames = self.model.predict_durations(encoded, self._tensor(style[0]))
        return frames[0].cpu().numpy(), features[0].cpu().numpy(), encoded.acoustic[0].cpu().numpy()

    def curves(self, features: Floats, style: Floats) -> tuple[Floats, Floats]:
        import torch

        ones = torch.ones(len(features), dtype=torch.int64, device=self.model.device)
        with torch.inference_mode():
            f0, energy = self.model.f0_energy(self._tensor(features), ones, self._tensor(style[0]))
        return f0[0].cpu().numpy(), energy[0].cpu().numpy()

    def sound(
        self,
        acoustic: Floats,
        f0: Floats,
        energy: Floats,
        style: Floats,
        noise: Floats | None,
        layers: Mapping[str, Floats],
    ) -> Floats:
        import torch

        excitation = None if noise is None else self._tensor(noise)
        device = self.model.device
        try:
            self.model.set_layers({k: torch.tensor(v, device=device) for k, v in layers.items()})
        except KeyError as error:
            raise WeightsError(
                f"this voice changes a layer {error} that its engine does not have; fit it again"
            ) from error
        with torch.inference_mode():
            curves = (self._tensor(acoustic), self._tensor(f0), self._tensor(energy))
            sound = self.model.decode(*curves, self._tensor(style[0]), excitation=excitation)
        samples: Floats = sound[0].cpu().numpy()
        return samples

    def _tensor(self, array: Floats) -> torch.Tensor:
        import torch

        return torch.tensor(array, device=self.model.device)[None]


def _shared_out(pieces: tuple[Script, ...], prosody: Prosody) -> list[Prosody]:
    """The wishes for each piece: its own words, its own part of the guide."""
    wishes, word, phone = [], 0, 0
    for number, piece in enumerate(pieces):
        words, phones = len(piece.words), len(piece.phone_chars())
        beyond = int(number == len(pieces) - 1)  # the pause at the very end
        guide = prosody.guide
        wishes.append(
            replace(
                prosody,
                words=prosody.words.select(word, word + words + beyond),
                guide=guide.select(phone, phone + phones) if guide is not None else None,
            )
        )
        word, phone = word + words, phone + phones
    return wishes


def _tokens(plan: _Plan) -> Tokens:
    """The characters that the engine knows, from the first word to the last."""
    known = plan.known[plan.inner]
    script, first = plan.script, plan.first - 1
    kept = [first + i for i in np.flatnonzero(known)]
    return Tokens(
        "".join(script.kokoro[i] for i in kept),
        tuple(script.word_of[i] for i in kept),
        plan.expected[plan.inner][known],
    )


def _paced(plan: _Plan, prosody: Prosody, total: int | None = None) -> Frames:
    """Whole durations as wished; with no wishes exactly the model's own rounding."""
    frames = np.where(plan.known, np.maximum(np.round(plan.expected), 1), 0).astype(np.int64)
    inner, known = frames[plan.inner], plan.known[plan.inner]
    if prosody.guide is not None:
        if not known.all():
            raise TextError("a guide cannot be followed through phonemes that the engine lacks")
        inner[:] = guided_frames(_tokens(plan), plan.script, prosody.guide)
    elif total is not None or prosody.speed != 1.0 or prosody.words != PLAIN:
        inner[known] = wished_frames(_tokens(plan), prosody.words, prosody.speed, total)
    return frames


def _fitted(
    plans: list[_Plan], wishes: list[Prosody], onsets: list[int], duration_s: float
) -> list[Frames]:
    """Durations for all pieces, so that the joined whole lasts `duration_s` to the frame."""
    silences = [_silences(plan, wishes[k], k) for k, plan in enumerate(plans)]
    around = len(plans) * (_LEAD + _TAIL) + sum(onsets) + sum(map(sum, silences))
    around += sum(
        sum(silent_frames(_tokens(plan), wish.words).values())
        for plan, wish in zip(plans, wishes, strict=True)
    )
    around += sum(_break_before(k, wish) for k, wish in enumerate(wishes))
    total = round(duration_s / FRAME_S) - around
    slow = [replace(wish, speed=1.0) for wish in wishes]
    natural = np.array([_paced(p, w)[p.inner].sum() for p, w in zip(plans, slow, strict=True)])
    if total <= 0:
        raise TextError(
            f"{duration_s:.2f} s leaves no time for words that take "
            f"{natural.sum() * FRAME_S:.2f} s; ask for more or change the line"
        )
    shares = np.diff(np.round(np.cumsum(natural) / natural.sum() * total), prepend=0)
    return [
        _paced(plan, wish, int(share))
        for plan, wish, share in zip(plans, slow, shares, strict=True)
    ]


def _with_silence(plan: _Plan, frames: Frames, prosody: Prosody) -> tuple[Frames, dict[int, int]]:
    """Durations for the engine, and silence to splice in after tokens: {token: frames}."""
    if prosody.guide is None and not prosody.words.pauses:
        return frames, {}
    tokens = _tokens(plan)
    at = plan.first + np.flatnonzero(plan.known[plan.inner])
    if prosody.guide is None:
        silent = silent_frames(tokens, prosody.words)
    else:
        frames = frames.copy()
        frames[at], silent = shortened_pauses(tokens, frames[at])
    return frames, {int(at[token]): count for token, count in silent.items()}


def _spliced(
    frames: Frames, silent: dict[int, int], samples: Floats, f0: Floats, energy: Floats
) -> tuple[Frames, Floats, Floats, Floats]:
    """Silence put in at the quietest frame before the end of each of these tokens."""
    ends = np.cumsum(frames)
    longer = frames.copy()
    level = energy.reshape(-1, 2).mean(axis=1)
    for token, count in sorted(silent.items(), reverse=True):
        last = int(ends[token]) - round(_AHEAD_S / FRAME_S) + 1
        at = last - 2 + int(np.argmin(level[last - 2 : last + 1]))
        middle = at * FRAME_SAMPLES + FRAME_SAMPLES // 2
        fade = np.linspace(0, 1, FRAME_SAMPLES // 2, dtype=np.float32)
        samples = samples.copy()
        samples[middle - len(fade) : middle] *= fade[::-1]
        samples[middle : middle + len(fade)] *= fade
        samples = np.insert(samples, middle, np.zeros(count * FRAME_SAMPLES, np.float32))
        f0 = np.insert(f0, 2 * at + 1, np.zeros(2 * count, np.float32))
        energy = np.insert(energy, 2 * at + 1, np.full(2 * count, energy.min(), np.float32))
        longer[token] += count
    return longer, samples, f0, energy


def _silences(plan: _Plan, prosody: Prosody, number: int) -> tuple[int, int]:
    """Frames of silence to add before and after a piece for pauses at its ends."""
    around = _LEAD if number == 0 else _LEAD + _TAIL
    before = round(prosody.words.pause_before(0) / FRAME_S)
    after = round(prosody.words.pause_before(len(plan.script.words)) / FRAME_S)
    return max(0, before - around), max(0, after - _TAIL)


def _break_before(number: int, prosody: Prosody) -> int:
    """Frames between a piece and the one before it, where no pause was asked for."""
    return 0 if number == 0 or prosody.words.pause_before(0) > 0 else _BREAK


def _directed(
    plan: _Plan, frames: Frames, f0: Floats, energy: Floats, prosody: Prosody
) -> tuple[Floats, Floats]:
    """F0 and energy with the guide's performance and the stressed words in them."""
    if prosody.guide is None and not prosody.words.stressed:
        return f0, energy
    edges = np.concatenate(([0.0], np.cumsum(frames))) * FRAME_S
    edges = edges[1:-1] - _AHEAD_S  # of the characters, without the marks at both ends
    if prosody.guide is not None:
        f0, energy = guided_curves(f0, energy, edges, plan.script, prosody.guide)
    if prosody.words.stressed:
        spans = {
            word: (edges[owned[0]] * 2 / FRAME_S, edges[owned[-1] + 1] * 2 / FRAME_S)
            for word in range(len(plan.script.words))
            if (owned := [i for i, w in enumerate(plan.script.word_of) if w == word])
        }
        f0, energy = stressed_curves(f0, energy, spans, _tokens(plan), prosody.words.stressed)
    return f0, energy


def _source_noise(f0: Floats, prosody: Prosody, number: int) -> Floats | None:
    """Float32 [600 n, 9] for the harmonic source: a whisper where voiced, loud where not."""
    if prosody.noise == 0:
        return None
    voiced = np.repeat(f0 > VOICED_HZ, FRAME_SAMPLES // 2)[:, None]
    level = np.where(voiced, 0.003, 0.1 / 3).astype(np.float32) * np.float32(prosody.noise)
    drawn = np.random.default_rng((prosody.seed, number)).standard_normal(
        (len(voiced), 9), dtype=np.float32
    )
    noise: Floats = level * drawn
    return noise


def _early_frames(plan: _Plan, frames: Frames, energy: Floats) -> int:
    """Frames at the end of the start mark in which the line already sounds."""
    level = energy.reshape(-1, 2).mean(1)
    before = int(frames[: plan.first].sum())
    quiet = level[:before][::-1] < np.percentile(level, 90) - _ONSET
    return int(np.argmax(quiet)) if quiet.any() else before


def _trimmed(
    plan: _Plan, frames: Frames, onset: int, samples: Floats, f0: Floats, energy: Floats
) -> Utterance:
    """Cut to `_LEAD` frames before the sound begins and `_TAIL` after the last phone."""
    first = int(frames[: plan.first].sum())
    begin, end = first - onset - _LEAD, first + int(frames[plan.inner].sum()) + _TAIL

    def cut(values: Floats, per_frame: int) -> Floats:
        kept = values[max(begin, 0) * per_frame : end * per_frame]
        missing = (end - begin) * per_frame - max(-begin, 0) * per_frame - len(kept)
        return np.pad(kept, (max(-begin, 0) * per_frame, missing))

    durations = frames.copy()
    durations[: plan.first] = 0
    durations[plan.last :] = 0
    durations[0], durations[-1] = _LEAD + onset, _TAIL
    pitch = np.where(f0 > VOICED_HZ, f0, 0).astype(np.float32)
    sound = Sound(_faded(cut(samples, FRAME_SAMPLES)), SAMPLE_RATE)
    return Utterance(
        sound,
        timing_from_durations(plan.script, durations.tolist(), sound=sound),
        durations,
        cut(pitch, 2),
        cut(energy, 2),
    )


def _faded(samples: Floats) -> Floats:
    """The lead faded in and the tail out (half a cosine): breath and clicks there go."""

    def rise(n: int) -> Floats:
        return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)).astype(np.float32)

    before, after = _LEAD * FRAME_SAMPLES, _FADE_OUT * FRAME_SAMPLES
    faded = samples.copy()
    faded[:before] *= rise(before)
    faded[-after:] *= rise(after)[::-1]
    return faded


def _padded(said: Utterance, before: int, after: int) -> Utterance:
    """The same with frames of silence around it."""
    if before == after == 0:
        return said
    durations = said.durations.copy()
    durations[0] += before
    durations[-1] += after
    around = (before * FRAME_SAMPLES, after * FRAME_SAMPLES)
    sound = Sound(np.pad(said.sound.samples, around), SAMPLE_RATE)
    return Utterance(
        sound,
        said.timing.shifted(before * FRAME_S, float(sound.duration_s)),
        durations,
        np.pad(said.f0, (2 * before, 2 * after)),
        np.pad(said.energy, (2 * before, 2 * after), mode="edge"),
    )


def _breaks(script: Script, parts: list[Utterance], prosody: Prosody) -> list[int]:
    """Frames of silence before each part: none before the first, then as wished or guided."""
    wishes = _shared_out(script.pieces(_LONGEST), prosody)
    if prosody.guide is None:
        return [_break_before(k, wish) for k, wish in enumerate(wishes)]
    starts = [float(wish.guide.starts_s[0]) for wish in wishes if wish.guide is not None]
    own = [part.timing.phones[0].start_s for part in parts]
    breaks, at = [0], 0.0
    for k in range(1, len(parts)):
        at += float(parts[k - 1].sound.duration_s)
        wanted = starts[k] - starts[0] + own[0] - own[k]
        breaks.append(max(0, round((wanted - at) / FRAME_S)))
        at += breaks[-1] * FRAME_S
    return breaks


def _joined(script: Script, parts: list[Utterance], prosody: Prosody) -> Utterance:
    if len(parts) == 1:
        return parts[0]
    breaks = _breaks(script, parts, prosody)
    parts = [_padded(part, before, 0) for part, before in zip(parts, breaks, strict=True)]
    words: list[Span] = []
    phones: list[Span] = []
    at = 0.0
    for part in parts:
        moved = part.timing.shifted(at)
        words.extend(moved.words)
        phones.extend(moved.phones)
        at += part.timing.duration_s
    timing = Timing(tuple(words), tuple(phones), at, engine="exact")
    return Utterance(
        Sound(np.concatenate([p.sound.samples for p in parts]), SAMPLE_RATE),
        timing,
        _joined_durations(script, parts),
        np.concatenate([p.f0 for p in parts]),
        np.concatenate([p.energy for p in parts]),
    )


def _joined_durations(script: Script, parts: list[Utterance]) -> Frames:
    """One duration per character of the whole `script.kokoro`, plus both ends.

    The silence between two pieces goes to the characters between them (a space).
    """
    pieces = script.pieces(_LONGEST)
    durations = np.zeros(len(script.kokoro) + 2, np.int64)
    at = 0
    for i, (piece, part) in enumerate(zip(pieces, parts, strict=True)):
        begin = script.kokoro.index(piece.kokoro, at)
        at = begin + len(piece.kokoro)
        durations[1 + begin : 1 + at] = part.durations[1:-1]
        durations[0 if i == 0 else begin] += part.durations[0]
        durations[min(at + 1, len(durations) - 1)] += part.durations[-1]
    return durations
