"""When a person's lips rest: learnt from their pauses, and come to without a jerk."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from lipsync_talk import example, talk, voice

from align.timing import Span, Timing
from lipsync._rest import EARLIEST_S, PARTING_S, inner, parting, softened
from lipsync.motion import MotionExample, MotionModel, closures, silence
from media.time import FrameRate

R25 = FrameRate(Fraction(25))
R50 = FrameRate(Fraction(50))


def _phrases(seconds: int, parted_s: float, rate: FrameRate = R25) -> MotionExample:
    """A phrase of one second every two; lips open `parted_s` before it, and shut with its end."""
    phones = tuple(Span("AA", t + 1.0, t + 2.0) for t in range(0, seconds, 2))
    n = rate.frames_in(seconds)
    middles = (np.arange(n) + 0.5) / float(rate)
    ahead = (1.0 - middles) % 2.0
    opening = np.where((ahead <= parted_s) | (ahead > 1.0), 0.2, 0.01)
    shapes = np.repeat(opening[:, None], 7, axis=1).astype(np.float32)
    return MotionExample(Timing((), phones, float(seconds)), None, shapes, rate)


@pytest.mark.parametrize("rate", [R25, R50])
@pytest.mark.parametrize("parted_s", [0.32, 0.4])
def test_how_early_lips_part_is_learnt(parted_s: float, rate: FrameRate) -> None:
    found = parting([_phrases(40, parted_s, rate)], 0.03)
    assert found == pytest.approx(parted_s, abs=0.021)


def test_how_early_lips_part_has_its_bounds() -> None:
    assert parting([_phrases(40, 0.1)], 0.03) == PARTING_S
    found = parting([_phrases(40, 0.9)], 0.03)
    assert found == pytest.approx(EARLIEST_S, abs=0.01)


def test_few_pauses_or_unseen_lips_do_not_tell() -> None:
    taught = _phrases(40, 0.4)
    hidden = replace(taught, shapes=np.full_like(taught.shapes, np.nan))
    wordless = replace(taught, timing=None)
    for examples in ([], [hidden], [wordless], [_phrases(26, 0.4)]):
        assert parting(examples, 0.03) == PARTING_S
    # Frames near the end of a phrase tell of closing.
    quick = Timing((), tuple(Span("AA", t, t + 0.85) for t in range(1, 40)), 40.0)
    assert parting([replace(taught, timing=quick)], 0.03) == PARTING_S


def test_softening_has_no_lag_and_lasts_as_long_at_any_rate() -> None:
    for rate in (R25, R50):
        n = rate.frames_in(2)
        once = np.zeros((n, 2))
        once[n // 2] = 1
        soft = softened(once, rate)[:, 0]
        at = (np.arange(n) - n // 2) / float(rate)
        assert soft.sum() == pytest.approx(1)
        assert soft @ at == pytest.approx(0, abs=1e-9)
        assert np.sqrt(soft @ at**2) == pytest.approx(0.02, abs=0.002)
    assert softened(np.full((5, 2), 0.3), R25) == pytest.approx(0.3)
    assert softened(np.zeros((0, 7)), R25).shape == (0, 7)


def test_only_borders_within_the_line_are_left_out() -> None:
    flags = np.array([1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1], bool)
    assert inner(flags, R25).tolist() == [1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    assert inner(flags, R50).sum() == 3
    assert inner(np.ones(9, bool), R50).all()


def _early(seconds: float, seed: int) -> MotionExample:
    """Speech whose lips are open 0.36 s before every phrase."""
    said = example(seconds, R25, seed)
    assert said.timing is not None
    shapes = said.shapes.copy()
    middles = (np.arange(len(shapes)) + 0.5) / 25
    starts = np.array([p.start_s for p in said.timing.phones])
    ends = np.array([p.end_s for p in said.timing.phones])
    for phrase in [starts[0], *starts[1:][starts[1:] - ends[:-1] > 0.3]]:
        shapes[(middles > phrase - 0.36) & (middles < phrase), 0] = 0.1
    return replace(said, shapes=shapes)


def test_a_model_shuts_lips_for_as_long_as_the_person_does() -> None:
    taught = [_early(50, seed) for seed in (1, 2)]
    model = MotionModel.fit(taught, quick=True)
    assert model.person.parting_s == pytest.approx(0.36, abs=0.021)
    timing = talk(8, 9)
    n = 200
    shapes = model.predict(timing, voice(timing, 9), R25, n)
    tight = model.tight(timing, R25, n)
    early = silence(timing, R25, n) & ~tight
    assert early.any()
    assert np.array_equal(
        tight, closures(timing, R25, n) | silence(timing, R25, n, model.person.parting_s)
    )
    assert (shapes[tight, 0] <= model.closed_below).all()
    assert shapes[early, 0].mean() > 0.06
    # p, b and m, and the depth of silence, are shut exactly.
    quiet = silence(timing, R25, n, model.person.parting_s)
    shut = closures(timing, R25, n) | inner(quiet, R25)
    assert np.ptp(shapes[shut, 0]) == 0
