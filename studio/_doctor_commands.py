"""`wildline doctor`: what is wrong with this machine, and what to do."""

from __future__ import annotations

import typer

__all__ = ["doctor"]

_MARKS = {"ok": "ok", "note": "note", "fault": "FAULT"}


def doctor() -> None:
    """Check Python, packages, codecs, torch, weights, disks and keys; say what to do."""
    from studio._display import out, table
    from studio.doctor import examine

    found = list(examine())
    table(
        ("", "area", "found", "what to do"),
        [(_MARKS[f.state], f.area, f.what, f.remedy) for f in found],
    )
    faults = sum(f.state == "fault" for f in found)
    if faults:
        out(f"{faults} fault{'s' if faults > 1 else ''}: see the last column")
        raise typer.Exit(1)
    out("this machine is fit for work")
