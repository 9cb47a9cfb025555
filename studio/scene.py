"""Make the face in a scene say a given sound: from consent to ledger.

made = resync(Path("scene.mp4"), Path("line.wav"), Path("out.mp4"), consent=...)
print(summary(made))
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from media.errors import MediaError, OutputError, TextError
from media.files import sha256_of, user_cache_dir
from studio._jobs import (
    DELIVERY_RATE,
    FACE_WEIGHTS,
    LIP_WEIGHTS,
    MARK_WEIGHTS,
    Progress,
    chosen_face,
    quiet,
    speech_span,
    tools,
)
from studio._sources import footage_in, keep_inputs, line_timing
from studio.credentials import Ingredient, Statement
from studio.provenance import Disclosure, Papers, delivery, publish, weights_used

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.people import FaceChoice
    from lipsync.resync import Deliver, ResyncReport
    from lipsync.score import LipScores
    from media.audio import Sound
    from media.footage import FootageInfo
    from studio.consent import Consent

__all__ = [
    "Codec",
    "ResyncResult",
    "delivered_name",
    "find_face",
    "kept_mouths",
    "refuse_before",
    "resync",
    "summary",
]

Codec = Literal["h264", "prores"]
_GENERATED = {
    "picture": "mouth re-rendered in real footage, sound replaced",
    "patch": "re-rendered mouth with its matte, to be laid over real footage",
}
_ALIGNERS = frozenset(["nnet", "sphinx", "spread"])  # as parts of `Timing.engine`


@dataclass(frozen=True, slots=True)
class ResyncResult:
    """A delivered clip, its report (also beside it as JSON) and its lips' scores.

    `face` is how the face was chosen, None when it was not.
    """

    path: Path
    report: ResyncReport
    lips: LipScores | None
    report_path: Path
    face: str | None = None


def resync(
    footage: Path,
    sound: Path,
    out: Path,
    *,
    consent: Path | None,
    person: str | None = None,
    project: str | None = None,
    text: str | None = None,
    timing: Path | None = None,
    archive: Sequence[Path] = (),
    archive_only: bool = False,
    engine: str = "mouthbank",
    codec: Codec = "h264",
    at_s: float = 0.0,
    face: str | FaceChoice | None = None,
    deliver: Deliver = "picture",
    seed: int = 0,
    score: bool = True,
    papers: Papers | None = None,
    progress: Progress = quiet,
) -> ResyncResult:
    """Re-render the mouth in `footage` so that it says `sound`; deliver picture and sound.

    The timing is, in this order: the file `timing`; `text` aligned to the sound; the JSON
    beside a line that `say` wrote; what is recognised in the sound. `at_s` is where in the
    footage the sound starts (seconds). `archive` are further clips of the person, or
    folders of them; with `archive_only` no mouth comes from the footage itself. `face` says whose
    of several it is: a picture, "left", "right", "x,y" or "talking" (`lipsync.people`); none is
    the largest. `deliver` "patch" gives mouth and matte alone: .mov (ProRes 4444) or .png (stills,
    whose signed list is NAME.json).
    Raises `ConsentError`, `NoFaceError`, `NoSpeechError`, `MediaError`, `OutputError`.
    """
    from lipsync.resync import resync as render
    from studio._face_commands import same_person

    papers = papers or Papers.beside(out)
    target = delivered_name(out, deliver)
    keep_inputs(target, (footage, sound, sound.with_suffix(".json"), timing))
    # What is painted is kept until it is delivered: checking and signing can be killed as well.
    with ExitStack() as held, delivery(target, papers) as stage:
        record = papers.check(consent, use="face-alter", person=person, project=project)
        same_person(engine, record)
        scene, clips = _scene(footage), footage_in(archive)
        keep_inputs(target, clips)
        heard, times = _heard(sound, text, timing, scene, at_s)
        first, last = speech_span(times)
        choice = chosen_face(face, (at_s + first, at_s + last))
        marked = _marked_while_followed(heard, footage, progress, choice, listen=not archive_only)
        laid, times = _placed(marked, times, at_s)
        report = render(
            footage,
            laid,
            times,
            stage / out.name,
            archive=clips,
            archive_only=archive_only,
            engine=engine,
            cache=_tracks_folder(),
            face=choice,
            codec=codec,
            deliver=deliver,
            seed=seed,
            progress=progress,
            held=held,
        )
        lips = None
        if score and deliver == "picture":
            lips = _lip_scores(footage, stage / out.name, laid, times, choice, progress)
        result = ResyncResult(
            target,
            replace(report, out=target),
            lips,
            out.with_suffix(".report.json"),
            None if choice is None else choice.kind,
        )
        used = _weights(engine, times)
        report_text = _report_json(result, record, used)
        (stage / result.report_path.name).write_text(report_text, "utf-8")
        statement = _mouth_statement(result, record, footage, sound, clips, used)
        said = _mouth_disclosure(scene, result, record, project, used)
        others = [result.report_path.name, *([] if target == out else [out.stem])]
        publish(stage, target, statement, said, papers, others)
    return result


def _marked_while_followed(
    heard: Sound, footage: Path, progress: Progress, face: FaceChoice | None, *, listen: bool
) -> Sound:
    """The line with its mark, once the face is tracked (`find_face`), too.

    Raises `ProvenanceError` where the mark does not hold, and what `find_face` raises.
    """
    from studio.watermark import watermark

    with ThreadPoolExecutor(1, "mark") as meanwhile:
        marked = meanwhile.submit(watermark, heard)
        find_face(footage, progress, face, listen=listen)
        return marked.result()


def _tracks_folder() -> Path:
    """Where face tracks and the timings of archive footage are kept."""
    return user_cache_dir() / "lipsync"


def delivered_name(out: Path, deliver: Deliver) -> Path:
    """The file that is signed for an output: a sequence of stills has its list, NAME.json.

    Raises `OutputError` for an ending that cannot hold what is wanted, or a folder in the way.
    """
    stills = out.suffix.lower() == ".png"
    if deliver == "picture":
        if stills:
            raise OutputError(
                f"cannot write '{out}': stills hold patches only; name it .mp4 or .mov"
            )
        return out
    if not stills and out.suffix.lower() not in (".mov", ".mkv"):
        raise OutputError(f"cannot write a patch into '{out}'; name it .mov or .png")
    folder = out.with_suffix("")
    if stills and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError(f"the stills go to '{folder}', which is not empty; choose another name")
    return out.with_suffix(".json") if stills else out


def find_face(
    footage: Path, progress: Progress, face: FaceChoice | None = None, *, listen: bool = True
) -> None:
    """Track the face, or raise `NoFaceError`; the track is kept and used again.

    With `listen` the footage's own words are aligned meanwhile, and kept as well.
    """
    from lipsync.resync import followed

    followed(footage, face=face, listen=listen, cache=_tracks_folder(), progress=progress)


def _lip_scores(
    footage: Path,
    clip: Path,
    sound: Sound,
    times: Timing,
    face: FaceChoice | None,
    progress: Progress,
) -> LipScores | None:
    """The finished lips, measured in the finished picture where the line goes; None where no face
    is seen there.

    What counts as shut for this person is read off the source, where they speak.
    """
    from lipsync.faces import track_faces
    from lipsync.recheck import finished_lips

    person = track_faces(footage, face=face, cache=_tracks_folder())
    return finished_lips(clip, person, times, sound, progress)


def _mouth_statement(
    result: ResyncResult,
    record: Consent,
    footage: Path,
    sound: Path,
    clips: Sequence[Path],
    used: list[dict[str, str]],
) -> Statement:
    parts = [Ingredient(footage, sha256_of(footage), "parent")]
    parts += [Ingredient(sound, sha256_of(sound), "component")]
    parts += [Ingredient(clip, sha256_of(clip), "input") for clip in clips]
    facts = {
        "engine": result.report.engine,
        "weights": used,
        "text": result.report.timing.text,
        **({"deliver": "patch"} if result.report.deliver == "patch" else {}),
    }
    return Statement("mouth", result.path.name, record.id, parts, facts)


def refuse_before(at_s: float) -> None:
    """Raise `MediaError` when a line is to start before the footage."""
    if at_s < 0:
        raise MediaError(f"a line cannot start {-at_s:g} s before the footage; give 0 or more")


def _scene(footage: Path) -> FootageInfo:
    from media.reader import probe

    return probe(footage)


def _heard(
    path: Path, text: str | None, timing: Path | None, scene: FootageInfo, at_s: float
) -> tuple[Sound, Timing]:
    """The sound and its timing, once it is clear that the line fits into the footage."""
    from media.audio import read_sound

    refuse_before(at_s)
    sound = read_sound(path, DELIVERY_RATE)
    times = line_timing(path, sound, text, timing)
    end = at_s + speech_span(times)[1]
    if end > float(scene.duration_s) + 0.5 / float(scene.rate):
        raise TextError(
            f"the line ends at {end:.2f} s and the footage '{scene.path}' at "
            f"{float(scene.duration_s):.2f} s; shorten the line or start it earlier"
        )
    return sound, times


def _placed(sound: Sound, times: Timing, at_s: float) -> tuple[Sound, Timing]:
    """`sound` and `times` moved to `at_s` seconds."""
    import numpy as np

    if not at_s:
        return sound, times
    before = np.zeros(round(at_s * sound.rate), np.float32)
    moved = replace(sound, samples=np.concatenate([before, sound.samples]))
    return moved, times.shifted(at_s)


def _report_json(result: ResyncResult, record: Consent, used: list[dict[str, str]]) -> str:
    report = {f.name: getattr(result.report, f.name) for f in fields(result.report)}
    timing: Timing = report.pop("timing")
    document = {
        "out": str(result.path),
        "consent": record.id,
        "text": timing.text,
        "timing": timing.engine,
        "weights": used,
        **report,
        "passed": [asdict(stretch) for stretch in result.report.passed],
        "lips": None if result.lips is None else _numbers(result.lips),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


def _numbers(scores: LipScores) -> dict[str, float | None]:
    """Scores for JSON, which has no NaN: what could not be measured is null."""
    return {k: None if math.isnan(v) else round(v, 4) for k, v in asdict(scores).items()}


def _mouth_disclosure(
    scene: FootageInfo,
    result: ResyncResult,
    record: Consent,
    project: str | None,
    used: list[dict[str, str]],
) -> Disclosure:
    times = result.report.timing
    first, last = speech_span(times)
    return Disclosure(
        project=project or record.project,
        generated=_GENERATED[result.report.deliver],
        text=times.text,
        timecode_in=_timecode(scene, first),
        timecode_out=_timecode(scene, last),
        tools=tools(result.report.engine),
        weights=[f"{w['name']} ({w['licence']})" for w in used],
    )


def _weights(engine: str, times: Timing) -> list[dict[str, str]]:
    """Name, licence and sha256 of all that an engine computes with, a user's checkpoint too.

    Mouths of the person's own pictures move as was learnt by listening to their footage; wav2lip
    listens to nothing itself, so that only `times` may have been found by listening.
    """
    name, _, file = engine.partition(":")
    deaf = name == "wav2lip" and not _ALIGNERS & set(times.engine.split("+"))
    rows = weights_used((*FACE_WEIGHTS, *MARK_WEIGHTS) if deaf else LIP_WEIGHTS)
    if name == "mouthnet":
        from studio._face_commands import face_weights

        rows.append(face_weights(engine))
    elif file:
        from lipsync.engines.wav2lip import LICENCE_NOTE

        rows.append(
            {"name": Path(file).name, "licence": LICENCE_NOTE, "sha256": sha256_of(Path(file))}
        )
    return rows


def _timecode(scene: FootageInfo, seconds: float) -> str:
    from media.time import Timecode

    start = scene.start_timecode or Timecode(0, scene.rate)
    return str(start + scene.rate.frame_at(seconds))


def summary(result: ResyncResult) -> str:
    """What was done, and the lips' scores, on one line."""
    report = result.report
    words = (
        f"{report.frames} frames, {report.replaced} with a new mouth, {report.faceless} faceless"
    )
    if kept := sum(s.last - s.first + 1 for s in report.passed):
        words += f", {kept} kept their own"
    if report.faces > 1 and result.face is None:
        words += (
            f"; there are {report.faces} faces in the picture and the largest at its start was "
            "taken: choose with --face"
        )
    if result.lips is None:
        return words
    lips = {k: v for k, v in _numbers(result.lips).items() if v is not None and k != "frames"}
    return f"{words}; lips: " + ", ".join(f"{k} {v:.3g}" for k, v in lips.items())


def kept_mouths(result: ResyncResult) -> list[str]:
    """A line for every stretch that kept its own mouth: timecode, frames, why."""
    return [
        f"{s.timecode}  {s.last - s.first + 1} frames keep their own mouth: {s.reason}"
        for s in result.report.passed
    ]
