"""Where numba keeps what it compiles (our loops, librosa's): with our own cache, if need be.

By itself it takes the folder of the code or the home folder's cache. Where neither can be written
(an image that is read only, run by nobody in particular) librosa cannot even be imported; the one
place that can be is then `WILDLINE_CACHE`.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import MutableMapping
from pathlib import Path

__all__ = ["keep_compiled_code"]


def keep_compiled_code(
    environment: MutableMapping[str, str] = os.environ, packages: Path | None = None
) -> None:
    """Name numba's cache in `environment` where `packages` (those installed) cannot be written.

    Nothing is changed where `WILDLINE_CACHE` is not set, or `NUMBA_CACHE_DIR` is.
    """
    chosen = environment.get("WILDLINE_CACHE")
    if chosen and not os.access(packages or sysconfig.get_path("purelib"), os.W_OK):
        environment.setdefault("NUMBA_CACHE_DIR", str(Path(chosen) / "numba"))
