"""Objectives in numbers: what was measured of a cue against what its scene asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from studio.production import Thresholds

__all__ = ["Check", "checks_of"]

_AT_MOST = ("wer", "length")
_AT_LEAST = ("similarity", "naturalness", "closure_rate", "silence_shut", "audience")
_LOUDNESS_TOLERANCE = 2.0  # LU, as streaming services allow a dialogue measurement


@dataclass(frozen=True, slots=True)
class Check:
    """One measured number against its threshold.

    `passed` is None where there is nothing to compare: not measured (a stock voice is like
    nobody, a wild line has no lips), or no threshold asked for. `bound` says which way.
    """

    name: str
    value: float | None
    threshold: float | None
    passed: bool | None
    bound: str = ""


def checks_of(values: Mapping[str, float | None], asked: Thresholds) -> tuple[Check, ...]:
    """Every measured or asked-for number, in a fixed order."""
    checks = [_check(n, values.get(n), getattr(asked, n), "at most") for n in _AT_MOST]
    checks += [_check(n, values.get(n), getattr(asked, n), "at least") for n in _AT_LEAST]
    checks.append(_loudness(values.get("loudness"), asked))
    return tuple(c for c in checks if c.value is not None or c.threshold is not None)


def _check(name: str, value: float | None, threshold: float | None, bound: str) -> Check:
    if value is None or threshold is None or math.isnan(value):
        return Check(name, value, threshold, None, bound)
    passed = value <= threshold if bound == "at most" else value >= threshold
    return Check(name, value, threshold, passed, bound)


def _loudness(value: float | None, asked: Thresholds) -> Check:
    tolerance = asked.loudness_tolerance or _LOUDNESS_TOLERANCE
    bound = f"within {tolerance:g} LU of"
    if value is None or asked.loudness is None:
        return Check("loudness", value, asked.loudness, None, bound)
    return Check("loudness", value, asked.loudness, abs(value - asked.loudness) <= tolerance, bound)
