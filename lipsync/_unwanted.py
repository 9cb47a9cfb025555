"""Work in a thread of its own that nobody wants any more ends where it looks whether it should.

    with ending_with(stop):      # in the thread that works; `stop` is an Event
        ...
        if_wanted()              # between long steps: raises `Unwanted` once `stop` is set

Threads in which nothing was said go on for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event

__all__ = ["Unwanted", "ending_with", "if_wanted"]

_STOP: ContextVar[Event | None] = ContextVar("stop", default=None)


class Unwanted(Exception):  # noqa: N818  not a fault: nobody is told
    """Raised in the thread whose work nobody waits for."""


@contextmanager
def ending_with(stop: Event) -> Iterator[None]:
    """What this thread does inside ends once `stop` is set."""
    token = _STOP.set(stop)
    try:
        yield
    finally:
        _STOP.reset(token)


def if_wanted() -> None:
    """Go on, or raise `Unwanted`."""
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise Unwanted
