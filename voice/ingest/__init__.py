"""From a box of tapes to a dataset: `wildline archive IN... -o DATASET`.

    from voice.ingest import Settings, make_dataset, read_dataset
    made = make_dataset([Path("tapes/")], Path("anna"), Settings(repair="auto"))
    print(made.report())
    rows = read_dataset(Path("anna"))           # clips with words, grades and where they come from

Every recording is streamed twice: once to be measured (`survey`: hum, clicks, clipping, noise,
room), once to be cut at its pauses, repaired where that was asked for or is needed (`repair`) and
written down (`words`). Then all clips together: whose voice it is (`speakers`), what is there
twice (`duplicates`), how good it is (`grading`). What falls out keeps its reason. A dataset is a
folder in the manner of LJ Speech, with a manifest and a page to look at (`report`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["Dataset", "Row", "Settings", "is_dataset", "make_dataset", "read_dataset"]

_HOME = {
    "Dataset": "voice.ingest.dataset",
    "Row": "voice.ingest.dataset",
    "Settings": "voice.ingest.settings",
    "is_dataset": "voice.ingest.dataset",
    "make_dataset": "voice.ingest.build",
    "read_dataset": "voice.ingest.dataset",
}


def __getattr__(name: str) -> Any:
    """Re-export lazily: importing the package loads no engine."""
    if name not in _HOME:
        raise AttributeError(f"module 'voice.ingest' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
