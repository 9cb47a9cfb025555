"""Several clips or sentences at once: most of a fit around its steps is one core's work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["side_by_side"]

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(
    work: Callable[[T], R],
    items: Sequence[T],
    workers: int,
    progress: Callable[[float], None] = lambda _: None,
) -> list[R]:
    """`work` of every item, in their order, on so many threads.

    The error of the first item that has one is raised; what had not begun by then is left.
    `progress` is called with a fraction 0..1 as results come in, in the caller's thread.
    """
    found: list[R] = []
    if workers < 2 or len(items) < 2:
        for item in items:
            found.append(work(item))
            progress(len(found) / len(items))
        return found
    with ThreadPoolExecutor(workers, "fit") as pool:
        waiting = [pool.submit(work, item) for item in items]
        try:
            for one in waiting:
                found.append(one.result())
                progress(len(found) / len(items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found
