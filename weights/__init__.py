"""Every file of learned numbers: where it comes from, its licence, its SHA-256.

    from weights import all_weights, best_device, describe, locate

    model = locate("kokoro-onnx")        # a checked path; assembled in the cache once
    describe("kokoro-onnx").licence      # "Apache-2.0"
    [w.name for w in all_weights()]      # everything that can be asked for
    best_device()                        # "cuda", "mps" or "cpu"; WILDLINE_DEVICE overrides

A file that is missing or altered is refused with the command that mends it.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Weight": "registry",
    "all_weights": "registry",
    "best_device": "device",
    "describe": "registry",
    "locate": "registry",
    "torch_threads": "device",
}

__all__ = ["Weight", "all_weights", "best_device", "describe", "locate", "torch_threads"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"weights.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
