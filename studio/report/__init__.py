"""One page about a whole run, with everything in it: fit to be sent by mail.

    write_report(load_production(Path("production.toml")), Path("report.html"))

Contact sheets of original and result, waveforms with phones, spectra against the production
sound, scores against the objectives, takes and who approved them, consent, disclosure and
the ledger. Pictures are inside the page, which loads nothing and runs nothing. It stays
below a size: what fails its objectives is shown first, and the page says what it left out.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {"ReportFacts": "page", "write_report": "page"}

__all__ = ["ReportFacts", "write_report"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"studio.report.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
