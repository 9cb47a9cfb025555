"""Models that are given back, and loaded again when they are wanted."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from align.models import _RECOGNISER, _WORDS, forget_models
from align.recognise import recogniser
from align.vad import speech_probability
from media.audio import Sound


def test_every_model_named_is_kept_by_a_cache() -> None:
    for module, name in (*_WORDS, _RECOGNISER):
        assert hasattr(getattr(import_module(module), name), "cache_clear")


def test_what_was_forgotten_comes_back_and_says_the_same() -> None:
    noise = np.random.default_rng(1).standard_normal(16_000).astype(np.float32)
    sound = Sound(0.1 * noise, 16_000)
    before = speech_probability(sound)
    model = recogniser()
    forget_models(recogniser=False)
    assert recogniser() is model
    forget_models()
    assert recogniser.cache_info().currsize == 0
    assert np.array_equal(speech_probability(sound), before)
