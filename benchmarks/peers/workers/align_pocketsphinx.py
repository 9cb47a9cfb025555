"""PocketSphinx as its documentation uses it: own dictionary, own settings, two passes.

A decoder is made for every file, as the loading of its model is not aligning: untimed.
"""

from __future__ import annotations

from typing import Any

import pocketsphinx
from serving import read_wav, serve


def decoder() -> pocketsphinx.Decoder:
    """One that has heard nothing yet."""
    return pocketsphinx.Decoder(samprate=16000, lm=None, loglevel="FATAL")


READY = [decoder()]


def align(asked: dict[str, Any]) -> dict[str, Any]:
    """Spoken words as [start, end], phones likewise; none when it gives up."""
    engine = READY[0]
    try:
        engine.set_align_text(" ".join(asked["spoken"]).lower())
        for again in (False, True):
            if again:
                engine.set_alignment()
            engine.start_utt()
            engine.process_raw(asked["pcm"], full_utt=True)
            engine.end_utt()
        # Entries are valid only while the iteration stands on them.
        found = [
            ((w.start, w.duration), [(p.start, p.duration) for p in w])
            for w in engine.get_alignment()
            if not w.name.startswith("<")
        ]
    except (RuntimeError, ValueError):
        found = []
    if len(found) != len(asked["spoken"]):
        return {"spoken": None, "phones": None}

    def span(first: int, count: int) -> list[float]:
        return [first / 100, (first + count) / 100]

    phones = [span(*p) for _, inside in found for p in inside if p[1]]
    return {"spoken": [span(*word) for word, _ in found], "phones": phones}


def another() -> None:
    """For the next file."""
    READY[0] = decoder()


serve(
    align,
    prepare=lambda asked: {**asked, "pcm": read_wav(asked["wav"])},
    after=another,
    versions=("pocketsphinx",),
)
