"""Our engines: `align_ours.py ENGINE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from serving import serve

sys.path[0] = str(Path(__file__).resolve().parents[3])

from align.engines import get_aligner  # noqa: E402
from align.text import speakable  # noqa: E402
from media.audio import read_sound  # noqa: E402

ENGINE = get_aligner(sys.argv[1])


def files(asked: dict[str, Any]) -> dict[str, Any]:
    """The sound and the words' phones; the others get words too."""
    return {"sound": read_sound(Path(asked["wav"])), "script": speakable(asked["text"])}


def align(asked: dict[str, Any]) -> dict[str, Any]:
    """Words and phones as [start, end] in seconds; none where only the last resort was left."""
    found = ENGINE.align(asked["sound"], asked["script"])
    if found.engine == "spread":
        return {"words": None, "phones": None}
    return {
        "words": [[s.start_s, s.end_s] for s in found.words],
        "phones": [[s.start_s, s.end_s] for s in found.phones],
    }


serve(align, prepare=files, versions=("numpy",))
