"""Manners of speaking told apart on sounds whose pitch and pace are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_voice_delivery import babble

from media.audio import Sound
from voice._fit_deliveries import fit_deliveries
from voice.deliveries import distance, spoken_groups
from voice.delivery import measure_delivery
from voice.voice import Voice


def clip(hz: float, swing: float, pace: float, gain: float = 1.0, tape: str = "a"):
    sound = babble(hz, swing, pace, 0.3)
    louder = replace(sound, samples=sound.samples * np.float32(gain))
    return SimpleNamespace(sound=louder, source=Path(tape))


def calm(k: int, **more):
    return clip(118 + 2 * (k % 3), 1.0, 3.0, **more)


def urgent(k: int, **more):
    return clip(176 + 3 * (k % 3), 3.0, 4.6, **more)


def test_two_manners_are_found_and_named_by_what_differs() -> None:
    clips = [calm(k) if k % 2 else urgent(k) for k in range(12)]
    groups = spoken_groups(clips)
    assert len(groups) == 2
    by_name = {g.name: g for g in groups}
    high = next(g for name, g in by_name.items() if name.startswith(("higher", "faster")))
    assert set(high.clips) == {0, 2, 4, 6, 8, 10}
    assert high.delivery.f0_hz > 1.3 * min(g.delivery.f0_hz for g in groups)
    assert groups[0].speech_s >= groups[1].speech_s


def test_one_manner_is_no_choice() -> None:
    assert spoken_groups([calm(k) for k in range(10)]) == ()


def test_tapes_of_another_gain_are_not_another_manner() -> None:
    clips = [calm(k, gain=0.25 if k % 2 else 1.0, tape=str(k % 2)) for k in range(10)]
    assert spoken_groups(clips) == ()


def test_too_little_of_a_manner_is_left_with_the_rest() -> None:
    assert spoken_groups([calm(k) for k in range(9)] + [urgent(0)]) == ()


def test_silence_belongs_to_no_group() -> None:
    silence = SimpleNamespace(sound=Sound(np.zeros(48_000, np.float32), 24_000), source=Path("a"))
    clips = [silence, *(calm(k) if k % 2 else urgent(k) for k in range(12))]
    assert all(0 not in g.clips for g in spoken_groups(clips))


def test_distance_is_nought_to_itself_and_grows() -> None:
    a, b, c = (measure_delivery(babble(hz)) for hz in (120, 130, 180))
    assert distance(a, a) == 0
    assert 0 < distance(a, b) < distance(a, c)


class Actor:
    """Speaks as high as the last number of the style says."""

    name = "actor"

    def speak(self, script: object, voice: Voice, prosody: object = None) -> SimpleNamespace:
        hz = 110.0 + 100.0 * float(voice.style[-1])
        return SimpleNamespace(sound=babble(hz, 2.0, 3.5, 0.3))


@pytest.mark.parametrize(("learnt", "kept"), [(0.68, True), (-0.3, False)])
def test_a_manner_is_kept_only_where_it_comes_nearer(
    monkeypatch: pytest.MonkeyPatch, learnt: float, kept: bool
) -> None:
    clips = [calm(k) if k % 2 else urgent(k) for k in range(12)]
    (group,) = [g for g in spoken_groups(clips) if g.delivery.f0_hz > 150]
    half = np.zeros(128, np.float32)
    half[-1] = learnt  # 178 Hz as the group has it, or 80 Hz
    seen: list[int] = []

    def fit_prosody(_model: object, items: list[SimpleNamespace], *_: object, **__: object):
        seen.extend(item.target.number for item in items)
        return half

    monkeypatch.setattr("voice._fit_gradient.fit_prosody", fit_prosody)
    items = [SimpleNamespace(target=SimpleNamespace(number=k)) for k in range(12)]
    voice = Voice("person", np.zeros(256, np.float32))
    found = fit_deliveries(None, items, [group], voice, Actor(), ["We go."], seed=0)
    assert set(seen) == set(group.clips)
    assert list(found) == ([group.name] if kept else [])
    if kept:
        np.testing.assert_array_equal(found[group.name].prosody, half)
        assert found[group.name].measures["f0_hz"] == round(group.delivery.f0_hz, 3)
