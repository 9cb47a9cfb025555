"""What takes long to load is loaded once, also when several threads want it at the same time.

    @loaded_once
    def recogniser() -> Model: ...

`functools.cache` takes no lock: threads that begin together would each load their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, update_wrapper
from threading import RLock
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from functools import _CacheInfo

__all__ = ["loaded_once"]

P = ParamSpec("P")
T = TypeVar("T")


class _Once(Generic[P, T]):
    """A function whose results are kept; whoever comes while one is made waits for it."""

    def __init__(self, load: Callable[P, T]) -> None:
        update_wrapper(self, load)
        self._load = cache(load)
        self._loading = RLock()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._loading:
            return self._load(*args, **kwargs)  # type: ignore[arg-type]

    def cache_clear(self) -> None:
        """Forget what was loaded; whoever uses it at this moment keeps it as long."""
        self._load.cache_clear()

    def cache_info(self) -> _CacheInfo:
        """As of `functools.cache`."""
        return self._load.cache_info()


def loaded_once(load: Callable[P, T]) -> _Once[P, T]:
    """`load`, called once for each combination of (hashable) arguments, by one thread."""
    return _Once(load)
