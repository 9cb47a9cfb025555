"""Options that several commands share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "Consent",
    "Deliver",
    "Duration",
    "LedgerFile",
    "Project",
    "SaidText",
    "SaidTiming",
    "Seed",
    "Sheet",
    "Takes",
    "WhichFace",
]

Consent = Annotated[
    Path | None, typer.Option("--consent", help="The person's consent record (TOML).")
]
Project = Annotated[
    str | None, typer.Option("--project", help="The production; must be the consent's.")
]
LedgerFile = Annotated[
    Path | None,
    typer.Option("--ledger", help="Default: beside the output.", metavar="FILE"),
]
Sheet = Annotated[
    Path | None,
    typer.Option("--disclosure", help="Default: beside the output.", metavar="FILE"),
]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same bytes.")]
Takes = Annotated[int, typer.Option("--takes", min=1, max=50, help="The best of so many.")]
SaidText = Annotated[
    str | None, typer.Option("--text", help="What the sound says; recognised when absent.")
]
SaidTiming = Annotated[
    Path | None, typer.Option("--timing", help="Its words and phones, if you have them.")
]
Duration = Annotated[
    float | None, typer.Option("--duration", help="Speak the line in so many seconds.")
]
WhichFace = Annotated[
    str | None,
    typer.Option(
        "--face",
        help="Whose of several faces: a picture, left, right, talking, or x,y.",
        metavar="WHO",
    ),
]
Deliver = Annotated[
    Literal["picture", "patch"],
    typer.Option("--deliver", help="patch: mouth and matte alone (.mov, or .png stills)."),
]
