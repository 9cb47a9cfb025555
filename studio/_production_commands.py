"""`wildline init | batch | check`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from studio.batch.results import CueResult
    from studio.batch.run import BatchReport, Watcher
    from studio.batch.trend import Standing
    from studio.production import Production

__all__ = ["batch", "check", "init"]

_ProductionFile = Annotated[
    Path, typer.Argument(help="production.toml, or its folder.", metavar="PRODUCTION")
]
_MOST_LINES = 40  # of problems that are shown one by one
_MARKS = {True: "green", False: "red", None: "-"}
_LONGEST_TREND = 6


def init(
    folder: Annotated[Path, typer.Argument(help="The production's folder.")],
    title: Annotated[str, typer.Option("--title", help="Default: the folder's name.")] = "",
    rate: Annotated[str, typer.Option("--rate", help="Frames a second: 23.976, 25, ...")] = "24",
) -> None:
    """Begin a production: a commented production.toml, folders, a local certificate."""
    from media.time import FrameRate
    from studio._display import out
    from studio._production_template import make_production
    from studio.certificate import load_identity

    name = title or folder.resolve().name
    made = make_production(folder, title=name, rate=FrameRate.parse(rate))
    out(f"{made.file}: {made.title}, {made.rate} frames a second")
    signer = load_identity()
    kind = "a certificate made on this machine" if signer.local else "the configured certificate"
    out(f"files will be signed with {kind}: {signer.subject}")
    out("next: people and scenes in production.toml, lines in cues/adr.csv, then: wildline batch")


def batch(
    production: _ProductionFile = Path("production.toml"),
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="Workers; default: one a core, or one on a GPU."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Cue numbers or characters, with * and ?; repeat."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make the cues anew.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only plan and estimate.")] = False,
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="A Ray cluster: auto, HOST:PORT, ray://...", metavar="ADDRESS"),
    ] = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Do not write out/report.html.")
    ] = False,
) -> None:
    """Make every cue of a production that is not made yet."""
    from studio.batch.run import run_batch
    from studio.production import load_production

    loaded = load_production(production)
    with _progress() as watch:
        report = run_batch(
            loaded,
            jobs=jobs,
            only=only or (),
            force=force,
            dry_run=dry_run,
            ray=ray,
            watch=watch,
        )
    if dry_run:
        _show_plan(report, jobs)
    else:
        _show_report(report)
        if report.planned and not no_report:
            _write_report(loaded)
    _show_problems(report)
    if report.failed or report.refused or any(p.fatal for p in report.problems):
        raise typer.Exit(1)


def _show_plan(report: BatchReport, jobs: int | None) -> None:
    from studio._display import out, table
    from studio.batch.local import default_jobs

    rows: list[tuple[str, ...]] = [
        (p.cue, ", ".join(p.steps), _duration(p.seconds)) for p in report.planned
    ]
    if rows:
        table(("cue", "steps", "about"), rows)
    workers = jobs or default_jobs()
    out(
        f"{report.cues} cues, {report.skipped} unchanged, {len(report.planned)} to do: "
        f"about {_duration(report.work_s / workers)} with {workers} workers"
    )


def _show_report(report: BatchReport) -> None:
    from studio._display import out

    parts = [f"{len(report.done)} made", f"{report.skipped} unchanged"]
    parts += [f"{len(report.failed)} failed"] if report.failed else []
    parts += [f"{len(report.refused)} refused"] if report.refused else []
    out(f"{report.cues} cues: {', '.join(parts)}, in {_duration(report.seconds)}")
    for what, rows in (("failed", report.failed), ("refused", report.refused)):
        for cue, reason in rows[:_MOST_LINES]:
            out(f"{what}: {cue}: {reason}")
        _show_rest(what, len(rows))


def _show_problems(report: BatchReport) -> None:
    from studio._display import out

    for problem in report.problems[:_MOST_LINES]:
        out(f"{'not made' if problem.fatal else 'look at'}: {problem}")
    _show_rest("problems", len(report.problems))


def _write_report(production: Production) -> None:
    """The page about this run, in `out/`; the cues are made whether or not it can be."""
    from media.errors import WildlineError
    from studio._display import out, progress_bars
    from studio.report import write_report

    if not production.out.is_dir():
        return
    try:
        with progress_bars() as progress:
            facts = write_report(production, production.out / "report.html", progress=progress)
        out(f"{facts.path}: {facts.cues} cues, {facts.drawn} with drawings")
    except WildlineError as error:
        out(f"no report: {error}")


def _show_rest(what: str, count: int) -> None:
    from studio._display import out

    if count > _MOST_LINES:
        out(f"{what}: and {count - _MOST_LINES} more")


def _duration(seconds: float) -> str:
    """12.3 s, 4 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


@contextmanager
def _progress() -> Iterator[Watcher]:
    """A bar over the expected seconds of all jobs, with the time left; nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TimeElapsedColumn(),
        TextColumn("left", markup=False),
        TimeLeft(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("planning", total=None)
        ended = 0

        def watch(what: str, done: float, total: float) -> None:
            nonlocal ended
            ended += bool(what)
            words = f"{ended} done, last {what}" if what else "starting workers"
            bar.update(task, description=words, completed=done, total=max(total, 1e-6))

        yield watch


def check(
    production: _ProductionFile = Path("production.toml"),
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Cue numbers, with * and ?; repeat.")
    ] = None,
) -> None:
    """Test every cue against its objectives; exit code 1 while any is red."""
    from studio._display import out, table
    from studio.batch.results import cue_results
    from studio.batch.run import selected
    from studio.batch.trend import note_standing, trend_of
    from studio.cues.reading import read_cues
    from studio.production import load_production

    loaded = load_production(production)
    sheet = read_cues(loaded)
    results = cue_results(loaded, sheet.cues)
    note_standing(loaded, results)
    trends = trend_of(loaded)
    wanted = {c.id for c in selected(sheet.cues, only or ())}
    shown = [r for r in results if r.cue.id in wanted]
    rows: list[tuple[str, ...]] = [_standing_row(r, trends.get(r.cue.id, ())) for r in shown]
    table(("cue", "character", "take", "now", "trend", "red"), rows)
    for problem in sheet.problems[:_MOST_LINES]:
        out(f"{'not made' if problem.fatal else 'look at'}: {problem}")
    count = {mark: sum(r.passed is mark for r in shown) for mark in (True, False, None)}
    out(f"{count[True]} green, {count[False]} red, {count[None]} not made yet")
    if count[False]:
        raise typer.Exit(1)


def _standing_row(result: CueResult, trend: tuple[Standing, ...]) -> tuple[str, ...]:
    """One line of the table: where it stands, how it came there, and what is red."""
    red = [
        f"{c.name} {_number(c.value)} ({c.bound} {_number(c.threshold)})"
        for c in result.checks
        if c.passed is False
    ]
    if result.status in ("failed", "refused"):
        red.append(f"{result.status}: {result.reason}")
    steps = " > ".join(_MARKS[s.passed] for s in trend[-_LONGEST_TREND:])
    now = _MARKS[result.passed] if result.passed is not None else result.status
    return (result.cue.id, result.cue.character, result.chosen or "", now, steps, "; ".join(red))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
