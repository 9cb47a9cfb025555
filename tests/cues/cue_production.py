"""A production for reading cue sheets: no media, no engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio.production import Production, parse_production


def production_at(folder: Path, *files: str, rate: str = "24000/1001", **more: Any) -> Production:
    """A production of Mara and the Keeper with these cue sheets."""
    data: dict[str, Any] = {
        "title": "The Harbour",
        "rate": rate,
        "people": {
            "mara": {"name": "Mara Voss", "voice": "stock:mara", "characters": ["NARRATOR"]},
            "keeper": {"name": "The Keeper", "voice": "stock:mara"},
        },
        "cues": [{"file": name} for name in files],
        **more,
    }
    return parse_production(data, folder / "production.toml")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path
