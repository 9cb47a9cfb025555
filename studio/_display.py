"""What the commands show: progress with rate and time left, tables, scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import TaskID

    from studio.redub import Progress

__all__ = ["out", "progress_bars", "scores_text", "table"]

_PIPE_WIDTH = 300  # columns: nothing is folded where a program reads


def out(text: str = "") -> None:
    """A line on standard output, exactly as it is (no markup, no wrapping)."""
    import sys

    sys.stdout.write(f"{text}\n")


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A `progress` callback that draws one bar a step on a terminal, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total, rate="")
        task = tasks[what]
        speed = bars.tasks[task].speed if task < len(bars.tasks) else None
        rate = f"{speed:.1f}/s" if speed else ""
        bars.update(task, completed=done, total=total, rate=rate)

    with bars:
        yield show


def scores_text(scores: object) -> str:
    """Numbers on one line: "similarity 0.880, wer 0.000"; what was not measured is left out."""
    if is_dataclass(scores) and not isinstance(scores, type):
        values: Mapping[str, Any] = {f.name: getattr(scores, f.name) for f in fields(scores)}
    elif isinstance(scores, Mapping):
        values = scores
    else:
        return str(scores)
    return ", ".join(
        f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
        if isinstance(value, (int, float))
    )


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table on standard output, as wide as the terminal, or one line a row in a pipe."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*row)
    console = Console(markup=False)
    if not console.is_terminal:
        console = Console(markup=False, width=_PIPE_WIDTH)
    console.print(drawn)
