"""Loaded once, whoever comes at the same time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from weights.once import loaded_once


def test_threads_that_come_together_load_once() -> None:
    together = threading.Barrier(4)
    loaded: list[int] = []

    @loaded_once
    def model(size: int = 1) -> object:
        """A model."""
        time.sleep(0.05)
        loaded.append(size)
        return object()

    def ask(_: int) -> object:
        together.wait(5)
        return model()

    with ThreadPoolExecutor(4) as pool:
        found = set(map(id, pool.map(ask, range(4))))
    assert loaded == [1]
    assert len(found) == 1
    assert model(2) is not model()
    assert model.cache_info().currsize == 2
    model.cache_clear()
    model()
    assert loaded == [1, 2, 1]
    assert model.__doc__ == "A model."


def test_what_could_not_be_loaded_is_tried_again() -> None:
    tries: list[int] = []

    @loaded_once
    def model() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")
        return 5

    try:
        model()
    except OSError:
        assert model() == 5
    assert len(tries) == 2
