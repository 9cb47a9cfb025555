from .device import best_device, torch_threads
from .registry import Weight, all_weights, describe, locate

__all__ = [
    "Weight",
    "all_weights",
    "best_device",
    "describe",
    "locate",
    "torch_threads",
]
