"""Models that are given back, and loaded again when they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from align_line import Line

from align.engines import get_aligner
from align.models import _RECOGNISER, _WORDS, forget_models
from align.recognise import recogniser
from align.text import speakable
from align.vad import speech_probability


def caches(names: tuple[tuple[str, str], ...]) -> list[Callable[..., Any]]:
    return [getattr(import_module(module), name) for module, name in names]


def held(names: tuple[tuple[str, str], ...]) -> list[int]:
    return [kept.cache_info().currsize for kept in caches(names)]


def test_what_was_forgotten_comes_back_and_says_the_same(line: Line) -> None:
    assert speakable(line.script.text) == line.script
    before = speech_probability(line.sound), get_aligner().align(line.sound, line.script)
    model = recogniser()
    assert min(held((*_WORDS, _RECOGNISER))) > 0
    forget_models(recogniser=False)
    assert held(_WORDS) == [0] * len(_WORDS)
    assert recogniser() is model
    forget_models()
    assert held((*_WORDS, _RECOGNISER)) == [0] * (len(_WORDS) + 1)
    assert np.array_equal(speech_probability(line.sound), before[0])
    assert get_aligner().align(line.sound, line.script) == before[1]


def test_the_recogniser_that_hears_clips_side_by_side_is_forgotten_too() -> None:
    from voice.ingest import listening

    forget_models()
    model, _, _ = listening._model()
    assert listening._model()[0] is model
    assert recogniser.cache_info().currsize == 1
    forget_models()
    assert recogniser.cache_info().currsize == 0
    assert listening._model()[0] is not model
    forget_models()
