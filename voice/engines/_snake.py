"""Snake after a styled norm, in one pass through memory.

Between the convolutions of the decoder a fit waits for memory: with one torch operation for each
sum and product every tensor of a layer goes through it a dozen times, and half of a step's time
with them. On a CPU a channel is read once and written once here (numba), and stays in the
nearest cache in between; elsewhere torch does it. Channels depend on nothing but themselves, so
any number of threads gives the same bits.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EPS", "styled_snake"]

EPS = 1e-5
_HALVES = {torch.bfloat16: torch.uint16, torch.float32: torch.float32}


def styled_snake(x: Tensor, gain: Tensor, bias: Tensor, alpha: Tensor) -> Tensor:
    """Snake(`gain` * x + `bias`) of x [B, C, T] normalised over its time; gain and bias [B, C, 1],
    alpha [1, C, 1], not 0.

    Snake(u) = u + sin(alpha u)^2 / alpha. One step with its own gradient (none for `alpha`, and on
    a CPU none of the gradient). There the result is of x's type, float32 or bfloat16, elsewhere of
    the gain's.
    """
    kind = _InOnePass if x.device.type == "cpu" and x.dtype in _HALVES else _StyledSnake
    result: Tensor = kind.apply(x, gain, bias, alpha)  # type: ignore[no-untyped-call]
    return result


class _StyledSnake(torch.autograd.Function):
    """By torch's operations, on any device and in any precision."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor, alpha: Tensor) -> Tensor:
        x = x.to(gain.dtype)
        x = x - x.mean(dim=2, keepdim=True)
        scale = torch.rsqrt((x * x).mean(dim=2, keepdim=True) + EPS)
        gain = gain * scale
        phase = (x * (alpha * gain)).add_(alpha * bias)
        ctx.save_for_backward(x, phase, scale, gain)
        sine = torch.sin(phase)
        return torch.addcmul(phase, sine, sine).mul_(1 / alpha)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, phase, scale, gain = ctx.saved_tensors
        grad = torch.addcmul(grad, grad, torch.sin(2 * phase))  # d snake / du = 1 + sin 2 alpha u
        total = grad.sum(dim=2, keepdim=True)
        along = scale * (grad * x).sum(dim=2, keepdim=True)
        ahead = (grad - total / x.shape[2]).sub_(x * (along * scale / x.shape[2])).mul_(gain)
        return ahead, along, total, None


class _InOnePass(torch.autograd.Function):
    """By the compiled loops: float32 or bfloat16 in the CPU's memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor, alpha: Tensor) -> Tensor:
        x = x.contiguous()
        rows = [_rows(t, x.shape) for t in (gain, bias, alpha)]
        out, means, scales = torch.empty_like(x), *torch.empty((2, len(rows[0])))
        ctx.save_for_backward(x, gain, bias, alpha, means, scales)
        work = _kernels()[0 if x.dtype == torch.float32 else 1]
        _shared(work, len(means), (_flat(x), *rows, _flat(out), means.numpy(), scales.numpy()))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, gain, bias, alpha, means, scales = ctx.saved_tensors
        grad = grad.to(x.dtype).contiguous()
        rows = [_rows(t, x.shape) for t in (gain, bias, alpha)]
        ahead, along, total = torch.empty_like(x), *torch.empty((2, len(rows[0])))
        work = _kernels()[2 if x.dtype == torch.float32 else 3]
        given = (_flat(x), _flat(grad), *rows, means.numpy(), scales.numpy())
        _shared(work, len(means), (*given, _flat(ahead), along.numpy(), total.numpy()))
        return ahead, along.view_as(gain), total.view_as(bias), None


def _rows(values: Tensor, shape: torch.Size) -> NDArray[np.float32]:
    """One number for each channel of the batch, float32 [B C]."""
    each = values.detach().float().expand(shape[0], shape[1], 1)
    found: NDArray[np.float32] = each.reshape(-1).contiguous().numpy()
    return found


def _flat(x: Tensor) -> NDArray[Any]:
    """x [B, C, T] as an array [B C, T]; bfloat16, which numpy lacks, as its bits."""
    array: NDArray[Any] = x.detach().view(_HALVES[x.dtype]).flatten(0, 1).numpy()
    return array


def _shared(work: Callable[..., None], count: int, given: tuple[Any, ...]) -> None:
    """`work` on `count` channels, as many at once as torch has threads."""
    threads = min(torch.get_num_threads(), count)
    edges = [round(k * count / threads) for k in range(threads + 1)]
    if threads == 1:
        work(0, count, *given)
        return
    (own, *spans) = pairwise(edges)
    others = [_helpers(threads).submit(work, *span, *given) for span in spans]
    work(*own, *given)
    for other in others:
        other.result()


@functools.cache
def _helpers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, "snake")


@functools.cache
def _kernels() -> tuple[Callable[..., None], ...]:
    """(forward, forward on halves, backward, backward on halves)."""
    from voice.engines import _snake_kernels as kernels

    return kernels.forward, kernels.forward_halves, kernels.backward, kernels.backward_halves
