"""What the network hears once, and the search from block to block."""

from __future__ import annotations

import numpy as np
import pytest
from align_line import Line

from align._weights import aligner_path
from align.engines import _path
from align.engines._network import Network, load_network
from align.engines._path import best_path, build_graph
from align.engines.nnet import Heard, hear
from align.memory import Memory
from align.transcription import align_sound
from media.audio import Sound


def test_what_was_heard_is_the_same_the_second_time(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []

    def counted(sound: Sound, network: Network) -> Heard:
        heard.append(len(sound))
        return hear(sound, network)

    monkeypatch.setattr("align.memory.hear", counted)
    memory = Memory()
    one, other = line.sound.cut(0.0, 2.0), line.sound.cut(1.0, 2.5)
    network = load_network(aligner_path())
    first = [memory.hear(sound, network) for sound in (one, other)]
    again = [memory.hear(sound, network) for sound in (one, other)]
    assert heard == [len(one), len(other)]
    for before, after in zip(first, again, strict=True):
        np.testing.assert_array_equal(before.posteriors, after.posteriors)
        np.testing.assert_array_equal(before.boundaries, after.boundaries)
    slower = Sound(one.samples, 16_000)
    assert len(memory.hear(slower, network).posteriors) != len(first[0].posteriors)


def test_a_checked_text_is_heard_once(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def counted(sound: Sound, network: Network) -> Heard:
        heard.append(len(sound))
        return hear(sound, network)

    monkeypatch.setattr("align.memory.hear", counted)
    align_sound(line.sound, line.script.text)
    assert len(heard) == 1


def test_search_goes_on_from_block_to_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(-3, 2, (90, 40)).astype(np.float32)
    edge = rng.normal(0, 1, 90).astype(np.float32)
    leash = rng.uniform(0, 1, (90, 5)).astype(np.float32)
    graph = build_graph([("K AE T", "K T"), ("S IY",), ("DH AH", "DH IY", "T"), ("AH",)], 2)
    whole = best_path(graph, scores, edge, 1.0, leash)
    assert whole is not None
    monkeypatch.setattr(_path, "_BLOCK", 7)
    assert best_path(graph, scores, edge, 1.0, leash) == whole
