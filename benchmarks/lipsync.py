"""Lips against the real ones: held-out sentences and the last part of a continuous speech.

    python benchmarks/lipsync.py [--data FOLDER] [--only grid|speech] [--sheets FOLDER]
        [--engine mouthnet --face-model FOLDER]

The data is not part of the project; `--data` or WILDLINE_DATA names it (docs/benchmarks.md).
Tracks and alignments are kept in the cache folder. Everything is measured by tracking the
finished frames again, except what is called "planned". Times are printed, never judged.
"""

# Imports follow the mending of sys.path.
# ruff: noqa: E402

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    # `benchmarks/lipsync.py` must not stand in for the package of the same name.
    sys.path[0] = str(ROOT)

from align.timing import Timing
from lipsync.blend import Paster
from lipsync.crop import CropSpec, crop, crop_transforms, landmarks_in_crop, lip_shape
from lipsync.engines import BankSource, RenderJob, get_renderer
from lipsync.engines.mouthbank import MouthBankRenderer
from lipsync.faces import build_track, track_faces, usable_frames
from lipsync.morph import LIPS
from lipsync.motion import MotionExample, MotionModel, closed_below, in_sync, picture_lead
from lipsync.offset import best_shift
from lipsync.score import (
    SHUT_SHARE,
    LipScores,
    PictureScores,
    compare_pictures,
    score_lips,
    score_table,
)
from lipsync.steps import in_step, own_lead
from lipsync.track import FaceTrack
from media.audio import Sound, read_sound
from media.video import Frame, read_frames

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

HELD_OUT = 20
#: Another one where the aligner of the same name finds other times.
TIMING_VERSION = 1
SPEC = CropSpec(256)
# The wide region of the first prototype, so that its 34.6 dB can be compared.
WIDE_POINTS = (33, 133, 362, 263, 1, 168, 6, 197)
WIDE_AT = ((44, 46), (56, 46), (72, 46), (84, 46), (64, 70), (64, 44), (64, 50), (64, 58))


@dataclass(frozen=True)
class Clip:
    """Footage with everything known about it."""

    path: Path
    track: FaceTrack
    timing: Timing
    sound: Sound

    @property
    def source(self) -> BankSource:
        """What an engine may learn from."""
        return BankSource(self.path, self.track, self.timing, self.sound)


@dataclass(frozen=True)
class Result:
    """Scores of one re-rendered clip and of the real one."""

    real: LipScores
    ours: LipScores
    #: Lip opening, correlations: the motion model's curve with the real one, what the mouths
    #: of the path should show with both, what the finished frames show with the planned.
    predicted: float
    planned: float
    planned_predicted: float
    shown_planned: float
    #: Mean distance of the 40 lip points from the real ones, pixels of a face 128 pixels high.
    lip_px: float
    #: Milliseconds by which our opening comes later than the real one, by cross-correlation.
    late_ms: float
    #: Milliseconds by which our lips run ahead of the sound, by the model that drove them, and by
    #: the judge, if there is one (`judges_of`); None: untold.
    ahead_ms: float | None
    judged_ms: float | None
    wide_psnr: float
    mouth: PictureScores
    joins: float
    fps: float


def load(path: Path, cache: Path, text: str | None = None) -> Clip:
    """Track and align as the product does, or take both from `cache`; `text` at its word."""
    from align.engines import get_aligner
    from align.formats import read_timing, write_timing
    from align.transcription import align_sound

    sound = read_sound(path, 16000)
    aligner = get_aligner()
    kept = cache / f"{path.stem}-{aligner.name}-{TIMING_VERSION}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_timing(align_sound(sound, text, engine=aligner, check=text is None), kept)
    return Clip(path, track_faces(path, cache=cache), read_timing(kept), sound)


def sentence(path: Path) -> str:
    """The words of a GRID clip, from the `.align` beside it."""
    rows = (line.split() for line in path.with_suffix(".align").read_text().splitlines())
    return " ".join(word for _, _, word in rows if word not in ("sil", "sp"))


def rerender(
    renderer: MouthBankRenderer, clip: Clip, job: RenderJob, first: int, last: int
) -> tuple[list[Pixels], list[Pixels], float]:
    """Frames first..last of `clip` as they are and with new mouths; frames per second."""
    track, paster = clip.track, Paster(seed=job.seed)
    real, ours, spent = [], [], 0.0
    for frame in read_frames(clip.path, first, last):
        i = frame.index
        real.append(frame.rgb)
        start = time.perf_counter()
        if job.usable[i]:
            marks = track.landmarks[i]
            transform = crop_transforms(marks[None], SPEC)[0]
            picture = crop(frame.rgb, transform, SPEC)
            inside = landmarks_in_crop(marks, transform)
            patch = renderer.render([i], picture[None], inside[None])[0]
            pasted = paster.paste(frame.rgb, patch, marks, transform, index=i, target_crop=picture)
        else:
            pasted = frame.rgb
        spent += time.perf_counter() - start
        ours.append(pasted)
    return real, ours, len(real) / max(spent, 1e-9)


def again(frames: Sequence[Pixels], like: FaceTrack) -> FaceTrack:
    """The face track of finished frames."""

    def numbered() -> Iterator[Frame]:
        for i, rgb in enumerate(frames):
            yield Frame(index=i, pts=like.rate.time_of(i), rgb=rgb)

    return build_track(numbered(), like.rate, (like.width, like.height))


def part(track: FaceTrack, first: int, last: int) -> FaceTrack:
    """Frames first..last of a track."""
    names = ("landmarks", "reason", "shot", "pose", "scale", "times", "doubt")
    return replace(track, **{n: getattr(track, n)[first:last] for n in names})


def later(clip: Clip, first: int) -> tuple[Timing, Sound]:
    """Timing and sound of `clip` from frame `first` on."""
    start = float(clip.track.rate.time_of(first))
    example = MotionExample(clip.timing, clip.sound, np.zeros((0, 7), np.float32), clip.track.rate)
    moved = in_sync(example, start)
    assert moved.timing is not None
    assert moved.sound is not None
    return moved.timing, moved.sound


def wide_psnr(real: Sequence[Pixels], ours: Sequence[Pixels], track: FaceTrack) -> float:
    """Mean PSNR in dB of the prototype's region: an ellipse over mouth, chin and cheeks."""
    import cv2

    mask = np.zeros((128, 128), np.float32)
    cv2.ellipse(mask, (64, 92), (34, 34), 0, 0, 360, 1, -1)
    mask[:66] = 0
    scores = []
    for a, b, marks in zip(real, ours, track.landmarks, strict=True):
        if np.isnan(marks[0, 0]):
            continue
        points = marks[list(WIDE_POINTS), :2].astype(np.float32)
        to, _ = cv2.estimateAffinePartial2D(points, np.float32(WIDE_AT))
        small = [
            cv2.warpAffine(x, to, (128, 128), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
            for x in (a, b)
        ]
        error = (small[0].astype(np.float32) - small[1]) / 255
        mean = float((error**2 * mask[..., None]).sum() / (3 * mask.sum()))
        scores.append(-10 * np.log10(mean + 1e-9))
    return float(np.mean(scores))


def mouths(frames: Sequence[Pixels], track: FaceTrack) -> Pixels:
    """Mouth and chin alone, uint8[n, 96, 96, 3], placed by `track`."""
    import cv2

    size = SPEC.size
    rows, columns = slice(size // 4, size * 3 // 4), slice(size // 4, size * 3 // 4)
    pictures = []
    for rgb, marks in zip(frames, track.landmarks, strict=True):
        if np.isnan(marks[0, 0]):
            continue
        picture = crop(rgb, crop_transforms(marks[None], SPEC)[0], SPEC)[rows, columns]
        pictures.append(cv2.resize(picture, (96, 96), interpolation=cv2.INTER_AREA))
    return np.stack(pictures)


def evaluate(
    renderer: MouthBankRenderer,
    clip: Clip,
    first: int,
    last: int,
    rows: dict[str, list[Pixels]],
    judge: MotionModel | None = None,
) -> Result:
    """Re-render frames first..last of `clip` (the job is prepared) and measure.

    The frames are added to `rows`, for a contact sheet.
    """
    job = _JOBS[id(renderer)]
    real, ours, fps = rerender(renderer, clip, job, first, last)
    rows |= {"real": real, renderer.name: ours}
    truth, track = part(clip.track, first, last), again(ours, clip.track)
    timing, sound = later(clip, first)
    everything = np.concatenate([lip_shape(c.track.landmarks)[:, 0] for c in _BANKS[id(renderer)]])
    shut = closed_below(everything, SHUT_SHARE)
    predicted, planned = (s[first:last, 0] for s in (renderer.predicted, renderer.shapes))
    wanted, shown = (lip_shape(t.landmarks)[:, 0] for t in (truth, track))
    path = [p for p in renderer.path[first:last] if p is not None]
    joins = sum(b != (a[0], a[1] + 1) for a, b in pairwise(path))
    return Result(
        real=score_lips(truth, timing, sound=sound, reference=truth, shut_below=shut),
        ours=score_lips(track, timing, sound=sound, reference=truth, shut_below=shut),
        predicted=alike(predicted, wanted),
        planned=alike(planned, wanted),
        planned_predicted=alike(planned, predicted),
        shown_planned=alike(shown, planned),
        lip_px=lip_distance(track, truth),
        late_ms=later_by(shown, wanted, float(clip.track.rate)),
        ahead_ms=ahead_of_sound(renderer.model, track, timing, sound),
        judged_ms=None if judge is None else ahead_of_sound(judge, track, timing, sound),
        wide_psnr=wide_psnr(real, ours, truth),
        mouth=compare_pictures(mouths(ours, truth), mouths(real, truth)),
        joins=joins / max(len(path), 1),
        fps=fps,
    )


def alike(a: Floats, b: Floats) -> float:
    """Correlation over the frames in which both are known."""
    both = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[both], b[both])[0, 1])


def later_by(ours: Floats, real: Floats, rate: float) -> float:
    """Milliseconds by which `ours` follows `real`, within a fifth of a second."""
    reach = max(1, round(0.2 * rate))
    frames, _ = best_shift(ours[:, None], real[:, None], np.ones(1), reach)
    return 1000 * frames / rate


def ahead_of_sound(
    model: MotionModel, track: FaceTrack, timing: Timing, sound: Sound
) -> float | None:
    """Milliseconds by which the lips of `track` run ahead of `sound`, as `model` has it."""
    example = MotionExample(timing, sound, lip_shape(track.landmarks), track.rate)
    lead = own_lead(model, example)
    return None if lead is None else 1000 * lead


def judges_of(clips: Sequence[Clip]) -> dict[str, MotionModel]:
    """Who tells offsets of each clip without having drawn it, by the clip's stem.

    A model without the recogniser's ear, of the real lips of the other half of these clips (which
    no bank holds), brought into step among themselves; on average they lie as they lie.
    """
    judges: dict[str, MotionModel] = {}
    for half in range(2):
        examples = [
            MotionExample(c.timing, c.sound, lip_shape(c.track.landmarks), c.track.rate)
            for c in clips[half::2]
        ]
        judge = MotionModel.fit(in_step(examples))
        judges |= {c.path.stem: judge for c in clips[1 - half :: 2]}
    return judges


def offsets(name: str, of: Sequence[float | None]) -> str:
    """One row: mean and largest size of the offsets (milliseconds) that are told, their mean."""
    told = np.array([x for x in of if x is not None])
    if not len(told):
        return f"  {name:44s} not told in any clip"
    within = 100 * np.mean(np.abs(told) <= 20)
    return (
        f"  {name:44s} |offset| {np.abs(told).mean():5.1f} ms, largest {np.abs(told).max():5.1f}, "
        f"mean {told.mean():+5.1f}, within 20 ms {within:.0f} % of {len(told)} told"
    )


def lip_distance(ours: FaceTrack, real: FaceTrack) -> float:
    """Mean distance of the lips' points in pixels of a face 128 pixels high."""
    both = ours.present & real.present
    lips = list(LIPS)
    away = (ours.landmarks[both] - real.landmarks[both])[:, lips, :2]
    return float((np.linalg.norm(away, axis=2).mean(1) * 128 / real.scale[both]).mean())


_JOBS: dict[int, RenderJob] = {}
_BANKS: dict[int, Sequence[Clip]] = {}


def plan(renderer: MouthBankRenderer, clip: Clip, sources: Sequence[Clip]) -> None:
    """Prepare `renderer` to say the clip's own words with mouths from `sources`."""
    job = RenderJob(
        target=clip.track,
        usable=usable_frames(clip.track),
        timing=clip.timing,
        sound=clip.sound,
        sources=[s.source for s in sources],
        crop=SPEC,
    )
    renderer.prepare(job)
    _JOBS[id(renderer)] = job
    _BANKS[id(renderer)] = sources


def average(scores: Sequence[LipScores]) -> LipScores:
    """Mean of every score over clips, NaN left out."""
    values = {
        f.name: np.array([getattr(s, f.name) for s in scores], float) for f in fields(LipScores)
    }
    means = {k: float(np.nanmean(v)) if np.isfinite(v).any() else np.nan for k, v in values.items()}
    return LipScores(**{**means, "frames": int(values["frames"].sum())})


def show(title: str, results: Sequence[Result], engine: str) -> None:
    """Print the ground truth, ours, and the pictures' scores."""
    print(f"\n{title}, {engine}")
    rows = {
        "real": average([r.real for r in results]),
        engine: average([r.ours for r in results]),
    }
    print(score_table(rows))
    lowest = min(r.ours.opening for r in results)
    mean = {
        f.name: np.mean([getattr(r.mouth, f.name) for r in results]) for f in fields(PictureScores)
    }
    of = {
        name: float(np.mean([getattr(r, name) for r in results]))
        for name in (
            "predicted",
            "planned",
            "planned_predicted",
            "shown_planned",
            "lip_px",
            "late_ms",
        )
    }
    print(
        f"opening correlation: measured {rows[engine].opening:.3f} (lowest {lowest:.3f}); of that "
        f"predicted {of['predicted']:.3f}, planned {of['planned']:.3f} (with the predicted "
        f"{of['planned_predicted']:.3f}), shown with planned {of['shown_planned']:.3f}"
    )
    print(
        f"wide region {np.mean([r.wide_psnr for r in results]):.2f} dB; mouth and chin alone "
        f"{mean['psnr']:.2f} dB, SSIM {mean['ssim']:.3f}, sharpness x{mean['sharpness']:.2f}, "
        f"picture flicker x{mean['flicker']:.2f}; lip points {of['lip_px']:.2f} px off at a face "
        f"of 128; {of['late_ms']:+.0f} ms against the real lips (by loudness "
        f"{rows[engine].offset_ms - rows['real'].offset_ms:+.0f} ms); lip flicker "
        f"x{rows[engine].flicker / rows['real'].flicker:.2f}"
    )
    print(
        f"joins {100 * np.mean([r.joins for r in results]):.0f} in 100 frames; "
        f"render and paste {np.mean([r.fps for r in results]):.1f} frames/s"
    )


def grid(
    data: Path,
    cache: Path,
    held_out: int,
    sheets: Path | None,
    engines: Sequence[str],
    as_they_lie: bool,
) -> None:
    """Sentences of one man that are not in his bank, re-rendered from their own words.

    Each one's own offset between picture and sound, as the model that is to drive it has it, is
    undone first, unless `as_they_lie`.
    """
    paths = sorted((data / "archive_grid_s1").glob("*.mpg"))
    clips = [load(p, cache, sentence(p)) for p in paths]
    bank, test = clips[:-HELD_OUT], clips[-HELD_OUT:][:held_out]
    judges = judges_of(clips[-HELD_OUT:])
    lost = [c.path.stem for c in test if c.track.present.mean() < 0.5]
    test = [c for c in test if c.path.stem not in lost]
    if lost:
        print(f"GRID: left out, the face was followed in less than half of: {', '.join(lost)}")
    pictures: dict[str, dict[str, list[Pixels]]] = {c.path.stem: {} for c in test}
    for engine in engines:
        renderer = renderer_of(engine)
        results: list[Result] = []
        start = time.perf_counter()
        lying: list[Lying] = []
        for lies in test:
            plan(renderer, lies, bank)
            if not results:
                print(
                    f"GRID: bank of {len(bank)} clips read and learnt in "
                    f"{time.perf_counter() - start:.1f} s; held-out motion correlation "
                    f"{renderer.model.held_out.round(3).tolist()}"
                )
            judge = judges[lies.path.stem]
            lying.append(as_it_lies(renderer, lies, judge))
            lead = (lying[-1].driven_ms or 0.0) / 1000
            clip = lies if as_they_lie else brought_together(lies, lead)
            plan(renderer, clip, bank)
            rows = pictures[clip.path.stem] if sheets else {}
            results.append(evaluate(renderer, clip, 0, len(clip.track), rows, judge))
        frames = sum(r.real.frames for r in results)
        show(f"GRID, {len(results)} held-out sentences, {frames} frames", results, renderer.name)
        show_offsets(lying, results, as_they_lie)
    if sheets:
        for clip in test:
            contact_sheets(clip.path.stem, pictures[clip.path.stem], clip.track, sheets)


@dataclass(frozen=True)
class Lying:
    """A clip as it lies on its tape, before picture and sound are brought together.

    Correlations of our opening with the real one; milliseconds by which the real lips run ahead of
    the sound, by the model that drives ours and by the judge (None: untold).
    """

    predicted: float
    planned: float
    driven_ms: float | None
    judged_ms: float | None


def as_it_lies(renderer: MouthBankRenderer, clip: Clip, judge: MotionModel) -> Lying:
    """What there is to know of `clip` (the job is prepared) before it is moved."""
    opening = lip_shape(clip.track.landmarks)[:, 0]
    driven, judged = (
        ahead_of_sound(model, clip.track, clip.timing, clip.sound)
        for model in (renderer.model, judge)
    )
    predicted, planned = (alike(x[:, 0], opening) for x in (renderer.predicted, renderer.shapes))
    return Lying(predicted, planned, driven, judged)


def show_offsets(lying: Sequence[Lying], results: Sequence[Result], as_they_lie: bool) -> None:
    """Print how far sound and lips are apart, first by what knows nothing of our model."""
    predicted, planned = (np.mean([getattr(x, n) for x in lying]) for n in ("predicted", "planned"))
    print(f"as they lie: predicted {predicted:.3f}, planned {planned:.3f}")
    if not as_they_lie:
        print(
            "above, and in the rows of rendered lips, sound and words of each clip are moved by "
            "the lead that the model that drives it finds: the real lips, too, are in its step"
        )
    print("lips ahead of the sound (+), clip by clip:")
    print(offsets("rendered lips against the real", [-r.late_ms for r in results]))
    print(offsets("real lips, as they lie, by a judge of others", [x.judged_ms for x in lying]))
    print(offsets("rendered lips, by a judge of others", [r.judged_ms for r in results]))
    print(offsets("real lips, as they lie, by the driving model", [x.driven_ms for x in lying]))
    print(offsets("rendered lips, by the model that drove them", [r.ahead_ms for r in results]))


def brought_together(clip: Clip, lead_s: float) -> Clip:
    """The clip with its sound where the picture is."""
    shapes = lip_shape(clip.track.landmarks)
    moved = in_sync(MotionExample(clip.timing, clip.sound, shapes, clip.track.rate), lead_s)
    assert moved.timing is not None
    assert moved.sound is not None
    return Clip(clip.path, clip.track, moved.timing, moved.sound)


def renderer_of(engine: str) -> MouthBankRenderer:
    """The engine, or the engine with its trained face as "mouthnet:FOLDER"."""
    renderer = get_renderer(engine)
    assert isinstance(renderer, MouthBankRenderer)
    return renderer


def speech(data: Path, cache: Path, sheets: Path | None, engines: Sequence[str]) -> None:
    """The last fifth of a continuous address from the rest of it."""
    clip = load(data / "clips" / "lia_obama.mov", cache)
    n = len(clip.track)
    first = n * 4 // 5
    seen = lip_shape(clip.track.landmarks)
    lead = picture_lead([MotionExample(clip.timing, clip.sound, seen, clip.track.rate)])
    print(f"\nlia_obama: the picture leads its sound by {1000 * lead:.0f} ms")
    # Brought into sync, so that "the real lips" are where the sound says.
    clip = brought_together(clip, lead)
    reason = clip.track.reason.copy()
    reason[first:] = 1
    marks = clip.track.landmarks.copy()
    marks[first:] = np.nan
    early = replace(clip.track, reason=reason, landmarks=marks)
    cut = float(clip.track.rate.time_of(first))
    timing = replace(
        clip.timing,
        words=tuple(w for w in clip.timing.words if w.end_s <= cut),
        phones=tuple(p for p in clip.timing.phones if p.end_s <= cut),
        duration_s=cut,
    )
    rest = Clip(clip.path, early, timing, clip.sound.cut(0, cut))
    rows: dict[str, list[Pixels]] = {}
    for engine in engines:
        renderer = renderer_of(engine)
        start = time.perf_counter()
        plan(renderer, clip, [rest])
        print(
            f"read and learnt in {time.perf_counter() - start:.1f} s; held-out motion correlation "
            f"{renderer.model.held_out.round(3).tolist()}"
        )
        result = evaluate(renderer, clip, first, n - 8, rows)
        show("lia_obama, last fifth from the rest", [result], renderer.name)
        print(offsets("rendered lips against the real", [-result.late_ms]))
        print(offsets("rendered lips, by the model that drove them", [result.ahead_ms]))
    if sheets is not None:
        contact_sheets(clip.path.stem, rows, part(clip.track, first, n - 8), sheets)


def contact_sheets(
    name: str, rows: dict[str, list[Pixels]], track: FaceTrack, folder: Path
) -> None:
    """Consecutive frames, the real one above each engine's, 14 to a row, 42 to a picture."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    tiles = []
    for i, column in enumerate(zip(*rows.values(), strict=True)):
        if np.isnan(track.landmarks[i, 0, 0]):
            continue
        to = crop_transforms(track.landmarks[i][None], SPEC)[0]
        tile = np.concatenate(
            [
                cv2.resize(crop(x, to, SPEC), (128, 128), interpolation=cv2.INTER_AREA)
                for x in column
            ]
        )
        cv2.putText(tile, str(i), (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
        tiles.append(tile)
    for page in range(0, len(tiles), 42):
        some = tiles[page : page + 42]
        some += [np.zeros_like(some[0])] * (-len(some) % 14)
        sheet = [np.concatenate(some[i : i + 14], axis=1) for i in range(0, len(some), 14)]
        cv2.imwrite(str(folder / f"{name}-{page:04d}.png"), np.concatenate(sheet)[..., ::-1])


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = os.environ.get("WILDLINE_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--only", choices=("grid", "speech"))
    parser.add_argument("--clips", type=int, default=HELD_OUT, help="held-out sentences to render")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets")
    parser.add_argument("--engine", choices=("mouthbank", "mouthnet"), default="mouthbank")
    parser.add_argument(
        "--face-model",
        type=Path,
        help="for mouthnet: a face trained on the clips that are not held out; "
        "its row stands beside the mouthbank's",
    )
    parser.add_argument(
        "--as-they-lie", action="store_true", help="GRID: each clip's own offset is not undone"
    )
    args = parser.parse_args()
    if (args.engine == "mouthnet") != (args.face_model is not None):
        parser.exit(2, "mouthnet needs --face-model, and nothing else takes it\n")
    engines = ["mouthbank", *([f"mouthnet:{args.face_model}"] if args.face_model else [])]
    if not args.data.is_dir():
        parser.exit(2, f"there is no data folder {args.data}; name it with --data\n")
    from media.files import user_cache_dir

    cache = args.cache or user_cache_dir() / "benchmarks"
    if args.only != "speech":
        grid(args.data, cache, args.clips, args.sheets, engines, args.as_they_lie)
    if args.only != "grid":
        speech(args.data, cache, args.sheets, engines)


if __name__ == "__main__":
    main()
