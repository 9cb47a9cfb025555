"""The parts of the learned aligner against independent constructions of the same."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from align.engines._features import BANDS, FINE_S, FRAME_S, RATE, features
from align.engines._network import PHONES, Network, Tuning, load_network
from align.engines._path import Step, best_path, build_graph
from align.engines.nnet import Heard, joined, place


def test_features_do_not_mind_level_or_colour() -> None:
    rng = np.random.default_rng(0)
    samples = (rng.normal(0, 0.1, RATE) * np.linspace(0.2, 1, RATE)).astype(np.float32)
    plain = features(samples)
    assert plain.shape == (100, 2 * BANDS)
    assert plain.dtype == np.float32
    assert np.abs(features(samples * np.float32(0.01)) - plain).max() < 1e-3
    np.testing.assert_allclose(plain.reshape(-1, BANDS).mean(axis=0), 0, atol=1e-4)


def test_features_put_a_click_where_it_is() -> None:
    samples = np.zeros(RATE, np.float32)
    at = 0.4321
    samples[round(at * RATE)] = 1.0
    fine = features(samples).reshape(-1, BANDS).mean(axis=1)
    loudest = np.flatnonzero(fine > fine.max() - 0.5)
    assert np.mean((loudest + 0.5) * FINE_S) == pytest.approx(at, abs=0.004)


@pytest.mark.parametrize("count", [0, 1, 159, 160, 161])
def test_features_of_next_to_nothing(count: int) -> None:
    found = features(np.full(count, 0.1, np.float32))
    assert found.shape == (max(1, -(-count // 160)), 2 * BANDS)
    assert np.isfinite(found).all()


def random_weights(channels: int, dilations: tuple[int, ...], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"stem.weight": (3, 2 * BANDS, channels), "stem.bias": (channels,)}
    for i in range(len(dilations)):
        shapes[f"blocks.{i}.norm"] = (channels,)
        shapes[f"blocks.{i}.wide.weight"] = (3, channels, channels)
        shapes[f"blocks.{i}.wide.bias"] = (channels,)
        shapes[f"blocks.{i}.out.weight"] = (channels, channels)
        shapes[f"blocks.{i}.out.bias"] = (channels,)
    shapes |= {"norm": (channels,), "head.weight": (channels, 42), "head.bias": (42,)}
    weights = {k: rng.normal(0, 0.2, s).astype(np.float32) for k, s in shapes.items()}
    return weights | {"log_prior": np.zeros(len(PHONES), np.float32)}


def by_torch(
    weights: dict[str, np.ndarray], dilations: tuple[int, ...], frames: np.ndarray
) -> np.ndarray:
    import torch
    from torch.nn import functional

    w = {k: torch.from_numpy(v) for k, v in weights.items()}

    def conv(x: torch.Tensor, name: str, dilation: int) -> torch.Tensor:
        kernel = w[name + ".weight"].permute(2, 1, 0)
        return functional.conv1d(x, kernel, w[name + ".bias"], padding=dilation, dilation=dilation)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.rms_norm(x.transpose(1, 2), (x.shape[1],), w[name], 1e-5).transpose(1, 2)

    x = conv(torch.from_numpy(frames.T[None].copy()), "stem", 1)
    for i, dilation in enumerate(dilations):
        name = f"blocks.{i}."
        inner = functional.silu(conv(norm(x, name + "norm"), name + "wide", dilation))
        out = inner.transpose(1, 2) @ w[name + "out.weight"] + w[name + "out.bias"]
        x = x + out.transpose(1, 2)
    out = norm(x, "norm").transpose(1, 2) @ w["head.weight"] + w["head.bias"]
    return out[0].numpy()


def test_network_is_what_torch_computes(tmp_path: Path) -> None:
    import json

    from safetensors.numpy import save

    dilations = (1, 2, 4, 8)
    weights = random_weights(24, dilations, 1)
    stored = {k: v.astype(np.float16) for k, v in weights.items()}
    notes = {"dilations": json.dumps(dilations), "tuning": json.dumps({"prior": 0.1})}
    path = tmp_path / "net.safetensors"
    path.write_bytes(save(stored, notes))
    network = load_network(path)
    assert network.dilations == dilations
    assert network.tuning == Tuning(prior=0.1)
    frames = np.random.default_rng(2).normal(0, 1, (57, 2 * BANDS)).astype(np.float32)
    expected = by_torch({k: v.astype(np.float32) for k, v in stored.items()}, dilations, frames)
    posteriors, boundaries = network(frames)
    shifted = expected[:, :40] - expected[:, :40].max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(posteriors, shifted, atol=2e-4)
    np.testing.assert_allclose(boundaries, expected[:, 40:].reshape(-1), atol=2e-4)


def test_network_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    dilations = (1, 2, 4)
    network = Network(random_weights(16, dilations, 3), dilations, Tuning())
    frames = np.random.default_rng(4).normal(0, 1, (100, 2 * BANDS)).astype(np.float32)
    whole = network(frames)
    monkeypatch.setattr("align.engines._network._CHUNK", 33)
    for one, other in zip(whole, network(frames), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


# A way through the words, spelt out: every choice of variants and pauses, every division.


def every_way(words: list[list[str]], frames: int) -> list[list[tuple[int, int, int]]]:
    """All [(word, class, frames)] that fill `frames`."""
    ways = []
    for variants in itertools.product(*words):
        for pauses in itertools.product((False, True), repeat=len(words) + 1):
            chain: list[tuple[int, int]] = []
            for number, variant in enumerate(variants):
                if pauses[number]:
                    chain.append((-1, 0))
                chain += [(number, PHONES.index(p)) for p in variant.split()]
            if pauses[-1]:
                chain.append((-1, 0))
            for cuts in itertools.combinations(range(1, frames), len(chain) - 1):
                bounds = (0, *cuts, frames)
                lengths = np.diff(bounds)
                ways.append([(*c, int(n)) for c, n in zip(chain, lengths, strict=True)])
    return ways


@pytest.mark.parametrize("seed", range(6))
def test_search_finds_the_best_of_all_ways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = [["AH B", "B"], ["S T", "K"]] if seed % 2 else [["AH", "B K"], ["S"], ["T", "K AH"]]
    frames, cost = 7, 0.7
    scores = rng.normal(0, 2, (frames, 40)).astype(np.float32)
    edge = rng.normal(0, 1, frames).astype(np.float32)

    def worth(way: list[tuple[int, int, int]]) -> float:
        total, at = 0.0, 0
        for word, phone, length in way:
            total += scores[at : at + length, phone].sum()
            total += edge[at] - (cost if word < 0 else 0) if at else 0
            at += length
        return float(total)

    best = max(every_way(words, frames), key=worth)
    found = best_path(build_graph(words), scores, edge, cost)
    assert found is not None
    steps, mean = found
    assert [(s.word, s.phone, s.stop - s.start) for s in steps] == best
    assert mean == pytest.approx(worth(best) / frames, abs=1e-4)
    assert steps[0].start == 0
    assert all(a.stop == b.start for a, b in itertools.pairwise(steps))


def test_search_needs_a_frame_for_every_phone() -> None:
    graph = build_graph([["K AE T", "K T"]])
    assert graph.shortest == 2
    scores, edge = np.zeros((1, 40), np.float32), np.zeros(1, np.float32)
    assert best_path(graph, scores, edge, 0.0) is None
    two = best_path(graph, np.zeros((2, 40), np.float32), np.zeros(2, np.float32), 0.0)
    assert two is not None
    assert two[0] == [
        Step(0, PHONES.index("K"), 0, 1),
        Step(0, PHONES.index("T"), 1, 2),
    ]


def test_boundaries_are_found_between_the_frames() -> None:
    """Ideal posteriors and a boundary head that knows: edges come back within 1 ms."""
    edges = [0.2034, 0.2917, 0.4461]
    rows = 70
    middles = (np.arange(rows) + 0.5) * FRAME_S
    classes = np.searchsorted(edges, middles)
    names = ["SIL", "S", "IY", "SIL"]
    posteriors = np.full((rows, 40), -9.0, np.float32)
    posteriors[np.arange(rows), [PHONES.index(names[c]) for c in classes]] = -0.01
    centres = (np.arange(2 * rows) + 0.5) * FINE_S
    chance = sum(np.exp(-0.5 * ((centres - e) / 0.006) ** 2) for e in edges)
    logits = np.log(np.clip(chance, 1e-6, 1 - 1e-6) / (1 - np.clip(chance, 1e-6, 1 - 1e-6)))
    network = Network({"log_prior": np.zeros(40, np.float32)}, (), Tuning())
    phones = place(Heard(posteriors, logits.astype(np.float32)), [("S IY",)], network)
    assert phones is not None
    found = joined(phones, rows * FRAME_S)
    assert [p.phone for p in phones] == ["S", "IY"]
    assert [found[0][0], found[0][1], found[1][1]] == pytest.approx(edges, abs=0.0015)
    assert found[1][0] == found[0][1]


def test_phones_last_as_long_as_they_must() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(-3, 2, (40, 40)).astype(np.float32)
    edge = rng.normal(0, 1, 40).astype(np.float32)
    words = [["K AE T", "K T"], ["S IY"], ["DH AH"]]
    for least in (1, 2, 3):
        found = best_path(build_graph(words, least), scores, edge, 1.0)
        assert found is not None
        steps = found[0]
        assert [s.start for s in steps[1:]] == [s.stop for s in steps[:-1]]
        assert (steps[0].start, steps[-1].stop) == (0, 40)
        said = [s for s in steps if s.word >= 0]
        assert min(s.stop - s.start for s in said) >= least
        own = [" ".join(PHONES[s.phone] for s in said if s.word == w) for w in range(3)]
        assert all(text in variants for text, variants in zip(own, words, strict=True))
        # The score is that of the steps: boundaries count between phones, not inside them.
        frames = sum(float(scores[s.start : s.stop, s.phone].sum()) for s in steps)
        edges = sum(float(edge[s.start]) for s in steps[1:])
        pauses = sum(s.word < 0 for s in steps[1:])
        assert found[1] * 40 == pytest.approx(frames + edges - pauses, abs=0.01)
    assert best_path(build_graph(words, 3), scores[:17], edge[:17], 1.0) is None
