"""A production: consent, the four jobs, provenance, and the `wildline` command.

    from studio import fit, say, verify_file
    from studio.redub import redub

    fit(Path("recordings"), Path("voices/anna"), consent=Path("consent.toml"))
    say("We chose to go.", "voices/anna", Path("line.wav"), consent=Path("consent.toml"))
    redub(scene, "We chose to go.", out, voice="voices/anna", consent=Path("consent.toml"))
    for sentence in verify_file(out).sentences(): ...

Nothing runs without a consent record that covers it, and nothing is delivered without a
watermark, Content Credentials, a row in the disclosure sheet and a line in the ledger.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Consent": ("consent", "Consent"),
    "Ledger": ("ledger", "Ledger"),
    "Papers": ("provenance", "Papers"),
    "check_consent": ("consent", "check"),
    "detect": ("watermark", "detect"),
    "fit": ("speaking", "fit"),
    "load_consent": ("consent", "load_consent"),
    "read_credentials": ("credentials", "read_credentials"),
    "resync": ("scene", "resync"),
    "save_consent": ("consent", "save_consent"),
    "say": ("speaking", "say"),
    "sign": ("credentials", "sign"),
    "verify_file": ("verify", "examine"),
    "verify_ledger": ("ledger", "verify"),
}

__all__ = [
    "Consent",
    "Ledger",
    "Papers",
    "check_consent",
    "detect",
    "fit",
    "load_consent",
    "read_credentials",
    "resync",
    "save_consent",
    "say",
    "sign",
    "verify_file",
    "verify_ledger",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(f"studio.{module}"), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
