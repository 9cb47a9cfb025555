"""A prosody for each manner of speaking on the tapes, kept where it can be heard.

Every group of clips (`voice.deliveries`) gets its own prosody half, learnt from where the
voice's usual one ended. It is kept when lines spoken with it come nearer to the group's
measures than the usual manner does, and are understood as well.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from align.text import speakable
from media.errors import NoSpeechError
from voice import _fit_gradient
from voice._fit_gradient import Clock, Prepared
from voice._side_by_side import side_by_side
from voice.deliveries import SpokenGroup, distance
from voice.delivery import Delivery, mean_delivery, measure_delivery
from voice.engines import Synthesizer
from voice.scores import intelligibility
from voice.voice import PROSODY_SIZE, Manner, Voice

if TYPE_CHECKING:
    from voice.engines.kokoro_model import KokoroModel

__all__ = ["fit_deliveries"]

_log = logging.getLogger(__name__)

_STEPS = 40
_PEAK_RATE = 0.02
_TOLD_WER = 0.05  # by which a manner may be understood worse


def fit_deliveries(
    model: KokoroModel,
    prepared: Sequence[Prepared],
    groups: Sequence[SpokenGroup],
    voice: Voice,
    synthesizer: Synthesizer,
    texts: Sequence[str],
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Manner]:
    """Name -> manner, for the groups whose own prosody can be heard.

    `prepared` are the fitted clips, known by `target.number`; `voice` is otherwise
    finished; `texts` are spoken to compare, `workers` at once.
    """
    manners: dict[str, Manner] = {}
    plain = _spoken(voice, texts, synthesizer, workers) if groups else None
    for k, group in enumerate(groups):
        items = [item for item in prepared if item.target.number in group.clips]
        if plain is None or not items:
            continue
        half = _fit_gradient.fit_prosody(
            model,
            items,
            voice.style,
            steps=_STEPS,
            rng=random.Random(seed + k),
            clock=Clock(None),
            progress=lambda done, k=k: progress((k + done) / len(groups)),  # type: ignore[misc]
            peak_rate=_PEAK_RATE,
        )
        changed = np.concatenate([voice.style[:-PROSODY_SIZE], half])
        own = _spoken(replace(voice, style=changed), texts, synthesizer, workers)
        if own is not None and _serves(group, own, plain):
            measures = group.delivery.as_dict()
            manners[group.name] = Manner(half, group.speech_s, len(group.clips), measures)
    return manners


_Spoken = tuple[Delivery, float]


def _spoken(
    voice: Voice, texts: Sequence[str], synthesizer: Synthesizer, workers: int
) -> _Spoken | None:
    """(mean delivery, mean word error) of the texts; None where one of them is not heard."""

    def heard(text: str) -> tuple[Delivery, float]:
        sound = synthesizer.speak(speakable(text), voice).sound
        return measure_delivery(sound), intelligibility(sound, text).wer

    try:
        rows = side_by_side(heard, texts, workers)
    except NoSpeechError:
        return None
    deliveries, errors = zip(*rows, strict=True)
    return mean_delivery(deliveries), float(np.mean(errors))


def _serves(group: SpokenGroup, own: _Spoken, plain: _Spoken) -> bool:
    near, far = (distance(_level_free(d), _level_free(group.delivery)) for d, _ in (own, plain))
    _log.info("%s: %.2f steps away, usual %.2f, WER %.3f", group.name, near, far, own[1])
    return near < far and own[1] <= plain[1] + _TOLD_WER


def _level_free(delivery: Delivery) -> Delivery:
    """The same at one level: the group's is relative to its tape, the engine's is its own."""
    return replace(delivery, level_dbfs=0.0)
