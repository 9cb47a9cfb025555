"""What a narrow band does to the person in the encoder, taken off.

The encoder that guides a fit hears the telephone as well: through it a voice lies elsewhere than
without, and much the same way for everyone. So a few voices that can be heard whole are cut to the
same band, and what that does to them is undone for the person. The same for noise and denoiser
brought the guide nearer to the person; that the fitted voice gains by it was not shown.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from align.text import speakable
from media.errors import NoSpeechError
from voice._fit_start import Known, within_reach
from voice._side_by_side import side_by_side
from voice.similarity import centroid, cosine, ge2e

if TYPE_CHECKING:
    from voice._fit_person import Person
    from voice.engines import Synthesizer
    from voice.voice import Voice

__all__ = ["unworn"]

Floats = NDArray[np.float32]

_log = logging.getLogger(__name__)

_NEIGHBOURS = 4  # in pitch, beside the voice that a fit would start from
_LINES = (
    "The garden behind the house was full of apple trees.",
    "We asked the driver to wait for us outside the station.",
    "Her brother never told anybody why he had left.",
)


def unworn(
    person: Person,
    start: Voice,
    known: Sequence[Known],
    synthesizer: Synthesizer,
    workers: int = 1,
) -> Person:
    """`person` with the guide that recordings of the whole band would give; the same object
    where these are no narrower than the encoder hears.

    `start` and the voices of `known` that are next to the person in pitch speak a line each
    (`start` two), which the encoder hears as it is and in the band of the recordings. The mean
    step between is taken off the person's centroid.
    """
    if not person.narrow:
        return person
    near = [k.voice for k in within_reach(known, person.f0) if k.voice is not start]

    def step(spoken: tuple[Voice, str]) -> Floats | None:
        voice, line = spoken
        sound = synthesizer.speak(speakable(line), voice).sound
        try:
            return ge2e().embed(person.heard(sound)) - ge2e().embed(sound)
        except NoSpeechError:  # a style that makes no sound
            return None

    voices = (start, start, *near[:_NEIGHBOURS])
    rows = list(zip(voices, cycle(_LINES), strict=False))
    steps = [found for found in side_by_side(step, rows, workers) if found is not None]
    if not steps:
        return person
    # The encoder ends in a ReLU: nobody lies below nought.
    guide = centroid([np.maximum(person.ge2e - np.mean(steps, axis=0), 0)])
    _log.info(
        "guide of the whole band: %.3f like that of the narrow one", cosine(guide, person.ge2e)
    )
    return replace(person, unworn=guide)
