"""Norm and Snake in one pass: the compiled loops against the same worked out in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import config, float32

from voice._compiled_code import keep_compiled_code
from voice.engines._snake import styled_snake
from voice.engines._snake_kernels import _compiled

# (batch, channels, time)
SHAPES = [(1, 1, 1), (1, 3, 2), (2, 5, 7), (1, 4, 33), (3, 1, 64), (1, 2, 4099)]


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def both_ways(
    x: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor, alpha: torch.Tensor, grad: torch.Tensor
) -> list[torch.Tensor]:
    """Output, and gradients of x, gain and bias."""
    given = [t.detach().clone().requires_grad_(True) for t in (x, gain, bias)]
    out = styled_snake(*given, alpha)
    return [out.detach(), *torch.autograd.grad(out, given, grad.to(out.dtype))]


def apart(ours: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """The largest difference, as a share of the largest number (of 1 where all are smaller)."""
    return max(
        float((a - b).abs().max() / b.abs().max().clamp_min(1.0))
        for a, b in zip(ours, wanted, strict=True)
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slope", [1e-3, 1.0, -7.0, 30.0])
def test_odd_shapes_and_slopes(shape: tuple[int, int, int], slope: float) -> None:
    batch, channels, time = shape
    x, grad = 2 * drawn(0, *shape) + 3, drawn(1, *shape)
    gain, bias = 1 + 0.3 * drawn(2, batch, channels, 1), drawn(3, batch, channels, 1)
    alpha = torch.full((1, channels, 1), slope)
    ours = both_ways(x, gain, bias, alpha, grad)
    wanted = both_ways(*(t.double() for t in (x, gain, bias, alpha, grad)))
    near = 3e-5 if time > 1 else 1e-3  # a single moment has no deviation to be divided by
    assert apart(ours, wanted) < near * max(1.0, abs(slope))


def test_a_constant_channel_is_its_bias() -> None:
    x = torch.tensor([0.0, 5.0, -300.0])[None, :, None].repeat(1, 1, 57)
    gain, bias, alpha = drawn(0, 1, 3, 1), drawn(1, 1, 3, 1), drawn(2, 1, 3, 1).abs() + 0.5
    ours = both_ways(x, gain, bias, alpha, drawn(3, 1, 3, 57))
    snake = bias + torch.sin(alpha * bias) ** 2 / alpha
    torch.testing.assert_close(ours[0], snake.expand(1, 3, 57), rtol=0.02, atol=0.02)
    assert all(bool(torch.isfinite(t).all()) for t in ours)


def test_memory_in_any_order() -> None:
    """Turned, cut and stretched tensors, and gradients that are one number."""
    x = drawn(0, 2, 40, 6).mT[:, :, ::3]
    wide = drawn(1, 2, 6, 4)
    gain, bias, alpha = wide[:, :, :1], wide[:, :, 1:2], drawn(2, 1, 6, 2).abs()[:, :, :1] + 0.5
    grad = torch.ones(1).expand(2, 6, 14)
    ours = both_ways(x, gain, bias, alpha, grad)
    wanted = both_ways(*(t.double() for t in (x, gain, bias, alpha, grad)))
    assert apart(ours, wanted) < 3e-5
    one, alone = drawn(3, 1, 6, 1), drawn(4, 1, 6, 2)[:, :, :1]  # a view with gaps
    torch.testing.assert_close(
        styled_snake(x[:1], one, alone, alpha),
        styled_snake(x[:1], one, alone.clone(), alpha.clone()),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_noticed(kind: torch.dtype, bad: float) -> None:
    x, grad = drawn(0, 1, 3, 50).to(kind), drawn(1, 1, 3, 50).to(kind)
    gain, bias, alpha = torch.ones(1, 3, 1), torch.zeros(1, 3, 1), torch.ones(1, 3, 1)
    clean = both_ways(x, gain, bias, alpha, grad)
    spoilt = x.clone()
    spoilt[0, 1, 20] = bad
    for mine, other in zip(both_ways(spoilt, gain, bias, alpha, grad), clean, strict=True):
        assert bool(torch.isnan(mine[0, 1]).any())
        torch.testing.assert_close(mine[0, [0, 2]], other[0, [0, 2]], rtol=0, atol=0)
    wrong = grad.clone()
    wrong[0, 1, 20] = float("nan")
    for mine in both_ways(x, gain, bias, alpha, wrong)[1:]:
        assert bool(torch.isnan(mine[0, 1]).all())


def test_a_second_derivative_is_refused_and_not_nought() -> None:
    x = drawn(0, 1, 2, 9).requires_grad_(True)
    ones = torch.ones(1, 2, 1)
    out = styled_snake(x, ones, ones, ones)
    (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("trouble", ["nowhere to keep it", "damaged"])
def test_loops_are_compiled_where_they_cannot_be_kept(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> Callable[[float], float]:
        @_compiled(float32)
        def thrice(x: np.float32) -> np.float32:
            return x + x + x

        return thrice

    monkeypatch.setattr(config, "CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator")
    if trouble == "damaged":
        monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
        assert made()(2.0) == 6.0
        (index,) = tmp_path.rglob("*.nbi")
        index.write_bytes(b"")
    assert made()(2.0) == 6.0


def test_numba_keeps_its_code_in_our_cache_where_packages_cannot_be_written(tmp_path: Path) -> None:
    nowhere, cache = tmp_path / "read-only", {"WILDLINE_CACHE": str(tmp_path)}
    chosen = dict(cache)
    keep_compiled_code(chosen, nowhere)
    assert chosen["NUMBA_CACHE_DIR"] == str(tmp_path / "numba")
    own = {**cache, "NUMBA_CACHE_DIR": "/elsewhere"}
    keep_compiled_code(own, nowhere)
    assert own["NUMBA_CACHE_DIR"] == "/elsewhere"
    for plain in ({}, dict(cache)):
        before = dict(plain)
        keep_compiled_code(plain, nowhere if not plain else tmp_path)
        assert plain == before
