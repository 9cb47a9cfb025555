"""The device is the machine's best, or the one asked for, or a clear refusal."""

from __future__ import annotations

import pytest

from media.errors import WeightsError
from weights.device import best_device, torch_threads


def test_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.delenv("WILDLINE_DEVICE", raising=False)
    assert best_device() == (
        "cuda"
        if torch.cuda.is_available()
        else "mps"
        if torch.backends.mps.is_available()
        else "cpu"
    )


def test_the_user_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDLINE_DEVICE", " CPU ")
    assert best_device() == "cpu"
    for absent in ("cuda:99", "tpu", "cuda:x"):
        monkeypatch.setenv("WILDLINE_DEVICE", absent)
        with pytest.raises(WeightsError, match="WILDLINE_DEVICE"):
            best_device()


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert torch_threads() == 3
    for value in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert torch_threads() >= 1
