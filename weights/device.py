"""Which device to compute on, and with how many threads."""

from __future__ import annotations

import os
import re

from media.errors import WeightsError

__all__ = ["best_device", "torch_threads"]

_KNOWN = re.compile(r"cpu|mps|cuda(:\d+)?")


def best_device() -> str:
    """ "cuda", "mps" or "cpu": the fastest that this machine has.

    `WILDLINE_DEVICE` overrides it ("cuda:1" for the second card). Raises `WeightsError`
    when the device asked for is unknown or absent.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    has_mps = torch.backends.mps.is_available()
    wanted = os.environ.get("WILDLINE_DEVICE", "").strip().lower()
    if not wanted:
        return "cuda" if has_cuda else "mps" if has_mps else "cpu"
    if not _KNOWN.fullmatch(wanted):
        raise WeightsError(f"WILDLINE_DEVICE is '{wanted}'; set it to cpu, cuda or mps")
    card = int(wanted.partition(":")[2] or 0)
    absent = (
        wanted.startswith("cuda") and not (has_cuda and card < torch.cuda.device_count())
    ) or (wanted == "mps" and not has_mps)
    if absent:
        raise WeightsError(f"this machine has no '{wanted}'; set WILDLINE_DEVICE to cpu")
    return wanted


def torch_threads() -> int:
    """CPU threads to compute with: `OMP_NUM_THREADS`, or every core this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1
