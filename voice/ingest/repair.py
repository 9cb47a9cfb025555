"""What is mended in a clip, and in which order: clicks, hum, noise.

    plan = plan_repairs(facts, settings)
    mended = Workshop(plan).mend(sound)    # mended.sound, mended.repairs, mended.clicks

On "auto" each is done where it was measured to be needed. Clips come with a second of context on
either side, which the notches and the network need, and which is cut off afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from media.audio import Sound
from voice.ingest.clicks import count_clicks, declick
from voice.ingest.denoise import Denoiser
from voice.ingest.hum import Hum, remove_hum
from voice.ingest.settings import Settings
from voice.ingest.survey import Survey, frame_power

__all__ = ["CONTEXT_S", "Mended", "Plan", "Workshop", "plan_repairs"]

CONTEXT_S = 1.0
"""Seconds on either side of a clip that go through the repairs with it."""
_CLICKS_A_MINUTE = 6.0
_FEWEST_CLICKS = 3
_HUM_BELOW_SPEECH_DB = 50.0
_NOISY_DB = 24.0
_CLEAN_DB = 27.0  # a clip of a noisy tape that needs no cleaning
_LEAST_PAUSE_S = 0.4  # without pauses nobody knows how loud the noise is
_HOPELESS_DB = 0.0  # under so much noise nothing is left of a voice but what the network invents


@dataclass(frozen=True, slots=True)
class Plan:
    """The repairs to be made on the clips of one recording; `by_need`: on those that need them."""

    declick: bool = False
    dehum: bool = False
    denoise: bool = False
    hum: Hum = field(default_factory=Hum)
    by_need: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are to be made."""
        return tuple(n for n in ("declick", "dehum", "denoise") if getattr(self, n))


@dataclass(frozen=True, slots=True)
class Mended:
    """A clip after its repairs: those that changed something, and how many clicks were filled."""

    sound: Sound
    repairs: tuple[str, ...]
    clicks: int


def plan_repairs(facts: Survey, settings: Settings) -> Plan:
    """What to mend in a recording: as `settings` ask for, on "auto" by its measures."""
    audible = facts.hum.present and (
        facts.hum.level_dbfs > facts.speech_dbfs - _HUM_BELOW_SPEECH_DB
    )
    clicks = facts.clicks_min * facts.duration_s / 60
    scratched = facts.clicks_min >= _CLICKS_A_MINUTE and clicks >= _FEWEST_CLICKS
    noisy = _HOPELESS_DB < facts.snr_db < _NOISY_DB and facts.pause_s >= _LEAST_PAUSE_S
    return Plan(
        declick=settings.wants("declick", scratched),
        dehum=facts.hum.present and settings.wants("dehum", audible),
        denoise=settings.wants("denoise", noisy),
        hum=facts.hum,
        by_need=settings.repair == "auto",
    )


class Workshop:
    """Makes one plan's repairs on clip after clip; not for two threads at once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._denoiser = Denoiser() if plan.denoise else None

    def mend(self, sound: Sound) -> Mended:
        """The repaired sound, as long as before."""
        done: list[str] = []
        clicks = 0
        if self.plan.declick and not (self.plan.by_need and not count_clicks(sound)):
            sound, clicks = declick(sound)
            done += ["declick"] if clicks else []
        if self.plan.dehum:
            sound = remove_hum(sound, self.plan.hum)
            done.append("dehum")
        if self._denoiser is not None and not (self.plan.by_need and _is_clean(sound)):
            sound = self._denoiser.clean(sound)
            done.append("denoise")
        return Mended(sound, tuple(done), clicks)


def _is_clean(sound: Sound) -> bool:
    """Whether this stretch, whatever its tape is like, has its pauses far below its speech."""
    power = frame_power(sound.samples, sound.rate)
    if not len(power):
        return True
    floor = float(np.percentile(power, 5)) + 1e-12
    return bool(10 * np.log10(float(power.mean()) / floor + 1e-12) > _CLEAN_DB)
