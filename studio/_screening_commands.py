"""`wildline screen` and `wildline report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report", "screen"]

_PATIENCE_S = 0.3  # between two looks at what the batch has done
_Production = Annotated[
    Path, typer.Argument(help="production.toml, or its folder.", show_default=False)
]


def screen(
    production: _Production,
    host: Annotated[
        str, typer.Option("--host", help="0.0.0.0 lets other machines in, unencrypted.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65_535)] = 8760,
    new_links: Annotated[
        bool, typer.Option("--new-links", help="End the links that were sent out before.")
    ] = False,
) -> None:
    """Open the screening room: takes beside the original, and a test screening for audiences."""
    import sys

    from studio._display import out as say
    from studio.production import load_production
    from studio.screening import Desk, Keys, serve
    from studio.screening.access import is_loopback

    desk = Desk(load_production(production), patience_s=_PATIENCE_S)
    keys = Keys.kept(desk.work, renew=new_links)
    shown = f"[{host}]" if ":" in host else host
    say(f"editors   http://{shown}:{port}/?token={keys.editor}")
    say(f"audience  http://{shown}:{port}/audience?token={keys.audience}")
    if not is_loopback(host):
        say("Other machines can reach this, unencrypted: put a TLS proxy in front of it.")
    say("Ctrl-C ends it. The links stay good until --new-links.")
    sys.stdout.flush()  # also into a pipe, before the server blocks
    serve(desk, keys, host=host, port=port)


def report(
    production: _Production,
    out: Annotated[Path, typer.Option("-o", "--out", help="The HTML file.")] = Path("report.html"),
    most: Annotated[
        float, typer.Option("--most", min=0.2, help="Megabytes that the page may have.")
    ] = 8.0,
) -> None:
    """Write one self-contained page about the last run, fit to send by mail."""
    from studio._display import out as say
    from studio._display import progress_bars
    from studio.production import load_production
    from studio.report import write_report

    with progress_bars() as progress:
        facts = write_report(
            load_production(production), out, most_bytes=int(most * 1e6), progress=progress
        )
    say(f"{facts.path}: {facts.cues} cues, {facts.drawn} with drawings, {facts.size / 1e6:.1f} MB")
