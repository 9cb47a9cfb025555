from .checks import Check
from .results import CueResult, TakeResult, cue_results, decide, request_take
from .run import BatchReport, run_batch

__all__ = [
    "BatchReport",
    "Check",
    "CueResult",
    "TakeResult",
    "cue_results",
    "decide",
    "request_take",
    "run_batch",
]
