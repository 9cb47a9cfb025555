"""What the network hears once, and the search from block to block."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from align_line import Line

from align._weights import aligner_path
from align.engines import _path, get_aligner
from align.engines._network import PHONES, Network, load_network
from align.engines._path import best_path, build_graph
from align.engines.combined import CombinedAligner
from align.engines.nnet import Heard, NnetAligner, hear
from align.memory import Memory
from align.recording import recording
from align.transcription import _USUAL_S, _listen, align_sound
from media.audio import Sound
from media.far import _NEAR


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the sounds that a memory had the network hear."""
    found: list[int] = []

    def counted(sound: Sound, network: Network) -> Heard:
        found.append(len(sound))
        return hear(sound, network)

    monkeypatch.setattr("align.memory.hear", counted)
    return found


@pytest.fixture
def network() -> Network:
    return load_network(aligner_path())


def same(one: Heard, other: Heard) -> None:
    np.testing.assert_array_equal(one.posteriors, other.posteriors)
    np.testing.assert_array_equal(one.boundaries, other.boundaries)


def test_what_was_heard_is_the_same_the_second_time(
    line: Line, heard: list[int], network: Network
) -> None:
    memory = Memory()
    one, other = line.sound.cut(0.0, 2.0), line.sound.cut(1.0, 2.5)
    first = [memory.keep(sound, network) for sound in (one, other)]
    again = [memory.recall(sound, network) for sound in (one, other)]
    assert heard == [len(one), len(other)]
    for before, after in zip(first, again, strict=True):
        same(before, after)
    slower = Sound(one.samples, 16_000)
    assert len(memory.recall(slower, network).posteriors) != len(first[0].posteriors)


def test_another_network_hears_for_itself(line: Line, heard: list[int], network: Network) -> None:
    memory, sound = Memory(), line.sound.cut(0.0, 1.0)
    other = Network(network.weights, network.dilations, network.tuning)
    memory.keep(sound, network)
    memory.keep(sound, other)
    memory.recall(sound, other)
    assert len(heard) == 3
    memory.recall(sound, network)
    assert len(heard) == 3


def test_more_than_is_read_at_once_is_recalled_exactly(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above some size the file is mapped."""
    rng = np.random.default_rng(1)
    rows = _NEAR // (4 * (len(PHONES) + 2)) // 2 + 1

    def said(sound: Sound, network: Network) -> Heard:
        del sound, network
        shape = (rows, len(PHONES))
        return Heard(rng.random(shape, np.float32), rng.random(2 * rows, np.float32))

    monkeypatch.setattr("align.memory.hear", said)
    memory = Memory()
    sounds = [Sound(np.full(10, level, np.float32), 16_000) for level in (0.1, 0.2, 0.3)]
    kept = [memory.keep(sound, network) for sound in sounds]
    for sound, before in zip(reversed(sounds), reversed(kept), strict=True):
        same(memory.recall(sound, network), before)


def test_a_checked_text_is_heard_once_in_every_piece(line: Line, heard: list[int]) -> None:
    gap = np.zeros(line.sound.rate // 2, np.float32)
    sound = Sound(np.concatenate([line.sound.samples, gap] * 6), line.sound.rate)
    text = " ".join([line.script.text] * 6)
    timing = align_sound(sound, text, engine="nnet")
    pieces = _listen(recording(sound), _USUAL_S).pieces
    assert len(heard) == len(pieces) > 2
    assert align_sound(sound, text, engine=NnetAligner()) == timing
    assert len(heard) == len(pieces)


def no_file(**_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_file(**_: Any) -> Any:
    return Path("/dev/full").open("wb", buffering=0)


@pytest.mark.parametrize("opened", [no_file, full_file])
def test_a_full_disk_costs_time_alone(
    line: Line, heard: list[int], monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Any]
) -> None:
    if opened is full_file and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    expected = align_sound(line.sound, line.script.text, engine="nnet")
    assert len(heard) == 1
    monkeypatch.setattr(tempfile, "TemporaryFile", opened)
    assert align_sound(line.sound, line.script.text, engine="nnet") == expected
    assert len(heard) == 3


@pytest.mark.parametrize(
    ("engine", "text", "check"),
    [("nnet", True, False), ("nnet", False, True), ("sphinx", True, True)],
)
def test_what_is_heard_once_is_not_written_down(
    line: Line, monkeypatch: pytest.MonkeyPatch, engine: str, text: bool, check: bool
) -> None:
    asked: list[dict[str, Any]] = []

    def opened(**settings: Any) -> None:
        asked.append(settings)
        no_file()

    monkeypatch.setattr(tempfile, "TemporaryFile", opened)
    given = line.script.text if text else None
    assert align_sound(line.sound, given, engine=engine, check=check).words
    assert not asked


def test_engines_of_ours_hear_as_they_are_told() -> None:
    def deaf(sound: Sound, network: Network) -> Heard:
        raise NotImplementedError

    alone, led = get_aligner("nnet", deaf), get_aligner(hearing=deaf)
    assert isinstance(alone, NnetAligner)
    assert isinstance(led, CombinedAligner)
    assert alone._hear is led.first._hear is deaf
    assert get_aligner("sphinx", deaf).name == "sphinx"


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
