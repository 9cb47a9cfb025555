"""What the learned aligner's network has heard of each piece of a recording, kept for its second
hearing.

A text is first followed through all pieces of a recording (`align.follow`), then each piece is
aligned with its words: the network would hear everything twice. What it said lies in a temporary
file (17 kB a second), so that memory does not grow with the length of the sound.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from align.engines._network import PHONES
from align.engines.nnet import Heard, hear
from media.far import FarRows

if TYPE_CHECKING:
    from align.engines._network import Network
    from media.audio import Sound

__all__ = ["Memory"]

_CLASSES = len(PHONES)


class Memory:
    """Sounds heard by one network, of the same recording."""

    def __init__(self) -> None:
        self._rows = FarRows((_CLASSES + 2,), np.float32)
        self._places: dict[bytes, slice] = {}

    def hear(self, sound: Sound, network: Network) -> Heard:
        """`align.engines.nnet.hear`, or what that said of the same samples before."""
        key = blake2b(sound.samples.data, digest_size=16, salt=sound.rate.to_bytes(4)).digest()
        place = self._places.get(key)
        if place is not None:
            rows = self._rows.array()[place]
            return Heard(rows[:, :_CLASSES].copy(), rows[:, _CLASSES:].reshape(-1))
        heard = hear(sound, network)
        edges = heard.boundaries.reshape(-1, 2)
        self._places[key] = slice(len(self._rows), len(self._rows) + len(edges))
        self._rows.extend(np.concatenate([heard.posteriors, edges], axis=1))
        return heard
