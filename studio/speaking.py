"""Fit a voice to recordings, and say a line in it: from consent to ledger.

voice = fit(Path("recordings"), Path("voices/anna"), consent=Path("consent.toml"))
said = say("We chose to go.", "voices/anna", Path("line.wav"), consent=Path("consent.toml"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from media.errors import ConsentError, OutputError, WeightsError
from media.files import output_error, user_cache_dir
from studio import consent as consents
from studio._jobs import DELIVERY_RATE, Progress, licences, quiet, speech_span, tools
from studio._sources import fingerprint
from studio.credentials import Statement
from studio.provenance import Disclosure, Papers, delivery, publish, weights_used

if TYPE_CHECKING:
    from studio.consent import Consent
    from voice.prosody import Prosody
    from voice.takes import Take
    from voice.voice import Voice

__all__ = ["SayResult", "fit", "say"]

_STOCK = "stock:"
_FIT_WEIGHTS = ("kokoro-onnx", "ge2e", "voicefilter-embedder", "whisper-tiny")
_FIT_DATA = (".toml", ".safetensors")
_SPEAK_WEIGHTS = ("kokoro-onnx", "kokoro-vocab", "perth")


@dataclass(frozen=True, slots=True)
class SayResult:
    """A delivered line: where it is, the take it is, how many it was chosen from."""

    path: Path
    take: Take
    takes: int


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
    with _folder(out):
        papers = papers or Papers.beside(out)
        record = consents.check(
            consent, use="voice-fit", ledger=papers.ledger, person=person, project=project
        )
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


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """The folder a voice goes to, proved writable before any work; gone again if it stays empty."""
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".wildline-probe"
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise OutputError(f"cannot write '{out}': it is a file; name a folder") from error
    except OSError as error:
        raise output_error(out / "voice.toml", error) from error
    try:
        yield
    finally:
        if made and not any(out.iterdir()):
            out.rmdir()


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

    weights = {w["name"]: w["sha256"] for w in weights_used(_FIT_WEIGHTS)}
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
    speed: float = 1.0,
    duration_s: float | None = None,
    papers: Papers | None = None,
    progress: Progress = quiet,
) -> SayResult:
    """Speak `text` in `voice` (a folder, or "stock:NAME") and deliver the best take as WAV.

    The WAV is 48 kHz, 24 bit, watermarked and signed; its words, phones and scores are
    beside it as JSON. A fitted voice needs its person's consent, a stock voice is nobody's.
    Raises `ConsentError`, `TextError` (nothing to speak), `WeightsError` (no such voice).
    """
    from voice.takes import say as speak

    if out.suffix.lower() != ".wav":
        raise OutputError(f"cannot write '{out}': a line is a WAV file; give a name ending in .wav")
    with delivery(out) as stage:
        papers = papers or Papers.beside(out)
        chosen, record = _permitted_voice(voice, text, consent, project, papers)
        spoken = speak(
            text,
            chosen,
            takes=takes,
            seed=seed,
            prosody=_prosody(speed, duration_s),
            progress=lambda done, total: progress("speaking", done, total),
        )
        best = _deliverable(spoken[0])
        _save_take(best, stage / out.name)
        statement = _line_statement(out, best, chosen, record)
        said = _line_disclosure(best, record, project)
        publish(stage, out, statement, said, papers, [out.with_suffix(".json").name])
    return SayResult(out, best, len(spoken))


def _prosody(speed: float, duration_s: float | None) -> Prosody:
    from voice.prosody import Prosody

    return Prosody(speed=speed, duration_s=duration_s)


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
    record = consents.check(
        consent,
        use="voice-say",
        ledger=papers.ledger,
        person=voice.person,
        project=project,
        line=text,
        language=voice.language,
    )
    return voice, record


def _deliverable(take: Take) -> Take:
    """The take at the delivery rate, with the watermark in it."""
    from media.audio import resample
    from studio.watermark import watermark

    return replace(take, sound=watermark(resample(take.sound, DELIVERY_RATE)))


def _save_take(take: Take, path: Path) -> None:
    from voice.takes import save_take

    save_take(take, path)


def _line_statement(out: Path, take: Take, voice: Voice, record: Consent | None) -> Statement:
    facts = {
        "voice": voice.name,
        "engine": take.engine,
        "seed": take.seed,
        "text": take.text,
        "weights": weights_used(_SPEAK_WEIGHTS),
        "recordings": [{"file": s.file, "sha256": s.sha256} for s in voice.sources],
    }
    return Statement("line", out.name, record.id if record else None, (), facts)


def _line_disclosure(take: Take, record: Consent | None, project: str | None) -> Disclosure:
    first, last = speech_span(take.timing)
    return Disclosure(
        project=project or (record.project if record else ""),
        generated="spoken line (voice synthesised)",
        text=take.text,
        timecode_in=f"{first:.3f} s",
        timecode_out=f"{last:.3f} s",
        tools=tools(take.engine),
        weights=licences(_SPEAK_WEIGHTS),
        extra={"seed": take.seed, "engine": take.engine},
    )
