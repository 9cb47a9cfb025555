"""What the learned aligner's network has heard of each piece of a recording, kept for its second
hearing.

A text is first followed through all pieces of a recording (`align.follow`), then each piece is
aligned with its words: the network would hear everything twice. What it said lies in a temporary
file where `TMPDIR` points, 1 MB a minute: of the disk, or of memory where that folder is in memory.
Where nothing can be written there, pieces are heard twice.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from align.engines._network import PHONES
from align.engines.nnet import Heard, hear
from media.errors import OutputError
from media.far import FarRows

if TYPE_CHECKING:
    from align.engines._network import Network
    from media.audio import Sound

__all__ = ["Memory"]

_CLASSES = len(PHONES)


class Memory:
    """What one network, the first to hear with it, said of sounds of the same recording.

    `keep` and `recall` are both an `align.engines.nnet.Hearing`; another network hears for itself.
    No file is opened before something is kept.
    """

    def __init__(self) -> None:
        self._network: Network | None = None
        self._rows: FarRows | None = None
        self._places: dict[bytes, slice] = {}
        self._keeps = True

    def keep(self, sound: Sound, network: Network) -> Heard:
        """`align.engines.nnet.hear`, remembered as long as there is room for it."""
        heard = hear(sound, network)
        if self._network is None:
            self._network = network
        if self._keeps and network is self._network:
            try:
                self._store(_key(sound), heard)
            except OutputError:
                self._keeps = False  # to hear the rest again costs less than to give up
        return heard

    def recall(self, sound: Sound, network: Network) -> Heard:
        """What was kept of the same samples; where nothing was, `align.engines.nnet.hear`."""
        if self._rows is None or network is not self._network:
            return hear(sound, network)
        place = self._places.get(_key(sound))
        if place is None:
            return hear(sound, network)
        rows = self._rows.array()[place]
        return Heard(rows[:, :_CLASSES].copy(), rows[:, _CLASSES:].flatten())

    def _store(self, key: bytes, heard: Heard) -> None:
        edges = heard.boundaries.reshape(-1, 2)
        if self._rows is None:
            self._rows = FarRows((_CLASSES + 2,), np.float32)
        first = len(self._rows)
        self._rows.extend(np.concatenate([heard.posteriors, edges], axis=1))
        self._places[key] = slice(first, first + len(edges))


def _key(sound: Sound) -> bytes:
    return blake2b(sound.samples.data, digest_size=16, salt=sound.rate.to_bytes(8)).digest()
