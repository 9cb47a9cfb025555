"""Every command in the documentation is a real one, and the cheap ones do what the pages say."""

from __future__ import annotations

import doctest
import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from pages import ROOT, Block, Command, blocks, commands, pages, spans

from studio.cli import app, run

#: Programs other than ours that a page may name; anything else is a slip of the pen.
OTHERS = frozenset(
    ["cd", "cp", "curl", "git", "head", "ls", "mkdir", "pip", "python", "ray", "tensorboard", "uv"]
)
DRAWN = re.compile(r"\b[0-9a-f]{12}\b")  # a new consent record's id
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
ROOMS = frozenset(["align", "lipsync", "media", "studio", "voice", "weights"])
SHOWN = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def every_block() -> list[Block]:
    return [block for page in pages() for block in blocks(page)]


def every_command() -> list[Command]:
    return [command for block in every_block() for command in commands(block)]


def ours() -> list[Any]:
    found = [c for c in every_command() if Path(c.words[0]).name == "wildline"]
    return [pytest.param(c, id=f"{c.where} {' '.join(c.words[1:3])}") for c in found]


def others() -> list[Any]:
    found = [c for c in every_command() if Path(c.words[0]).name != "wildline"]
    return [pytest.param(c, id=f"{c.where} {c.words[0]}") for c in found]


@cache
def root() -> Any:
    return typer.main.get_command(app)


def parse(arguments: tuple[str, ...]) -> Any:
    """The leaf command's context, arguments checked as a real call does, body not run."""
    command, context = root(), root().make_context("wildline", list(arguments))
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return context


def refusal(arguments: tuple[str, ...]) -> str | None:
    """What the command line has against a call; None when it would be run."""
    try:
        parse(arguments)
    except typer.Exit as told:  # --help
        return None if told.exit_code == 0 else f"exit code {told.exit_code}"
    except Exception as error:
        message = getattr(error, "format_message", None)  # how Typer words a wrong call
        if message is None:
            raise
        return str(message())
    return None


@pytest.mark.parametrize("command", ours())
def test_the_command_line_takes_it(command: Command) -> None:
    assert refusal(command.words[1:]) is None, " ".join(command.words)


def test_a_wrong_call_would_be_noticed() -> None:
    for wrong in (
        ("say", "text", "-o", "x.wav"),  # no voice
        ("say", "text", "--voice", "v", "-o", "x.wav", "--loud"),
        ("resync", "a.mp4", "-o", "x.mp4"),  # no sound
        ("redub", "--footage", "a", "--line", "b", "-o", "c", "--codec", "dnx"),
        ("consent", "shew", "x.toml"),
        ("speak",),
    ):
        assert refusal(wrong), wrong


@pytest.mark.parametrize("command", others())
def test_what_is_not_ours_exists(command: Command) -> None:
    program, *arguments = command.words
    name = Path(program).name
    if name == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert {a for a in arguments if "=" not in a} <= set(targets), command
        return
    assert name in OTHERS or name.startswith("sphinx-"), command
    if name == "python":
        assert_script(command.where, arguments)


def assert_script(where: str, arguments: list[str]) -> None:
    """A script of ours exists and knows the options that it is given."""
    if arguments[0] == "-m":
        script = ROOT / f"{arguments[1].replace('.', '/')}.py"
        if arguments[1].partition(".")[0] not in ("samples", "studio"):
            return
    else:
        script = ROOT / arguments[0]
    assert script.is_file(), f"{where}: {script} is not there"
    source = script.read_text("utf-8")
    for option in OPTION.findall(" ".join(arguments)):
        assert f'"{option}"' in source or option == "--help", f"{where}: {option}"


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, child in below.items():
        yield from leaves(child, (*path, name))


def options_of(command: Any) -> set[str]:
    return {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_named_in_the_text_exist(page: Path) -> None:
    known = dict(leaves(root()))
    first_words = {path[0] for path in known}
    for line, text in spans(page):
        words = text.split()
        if not words or words[0] != "wildline" or len(words) == 1 or words[1].startswith("-"):
            continue
        where = f"{page.relative_to(ROOT)}:{line}: {text}"
        if words[1] == "COMMAND":
            continue
        assert words[1] in first_words, where
        command = known.get(tuple(words[1:2])) or known.get(tuple(words[1:3]))
        if command is not None:
            assert set(OPTION.findall(text)) <= options_of(command), where


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_options_named_in_the_text_exist(page: Path) -> None:
    known = {o for _, command in leaves(root()) for o in options_of(command)}
    for folder in ("scripts", "benchmarks", "samples"):
        for script in (ROOT / folder).glob("*.py"):
            known |= set(re.findall(r'"(--[a-z][a-z0-9-]+)"', script.read_text("utf-8")))
    for line, text in spans(page):
        if text.startswith("--"):
            unknown = set(OPTION.findall(text)) - known
            assert not unknown, f"{page.relative_to(ROOT)}:{line}: {text}"


def test_commands_stand_in_fences() -> None:
    """An indented or unlabelled block would escape every check above."""
    for page in pages():
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            where = f"{page.relative_to(ROOT)}:{number}"
            assert not re.match(r"^ {4}(\$ )?(wildline|make) ", line), f"{where}: use a fence"
        for block in blocks(page):
            assert block.language, f"{block.where}: say what is in the block"
            if block.language == "text":
                assert not re.search(r"^(\$ )?wildline ", block.text, re.MULTILINE), block.where


def pages_to_run() -> list[Any]:
    found = [p for p in pages() if any(b.run for b in blocks(p))]
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in found]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader has at hand: the samples, and under the tutorial's names a part of them."""
    samples, place = ROOT / "samples", tmp_path / "place"
    place.mkdir()
    shutil.copytree(samples, place / "samples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(samples / "archive", place / "tapes")
    shutil.copy(samples / "presenter.mp4", place / "scene.mp4")
    monkeypatch.chdir(place)
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    return place


@pytest.mark.parametrize("page", pages_to_run())
def test_blocks_marked_to_run(
    page: Path, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in (b for b in blocks(page) if b.run):
        if block.language == "python":
            exec(compile(block.text, block.where, "exec"), {"__name__": "page"})
            continue
        for command in commands(block):
            if command.words[0] == "cd":
                monkeypatch.chdir(Path(command.words[1]))
                continue
            assert Path(command.words[0]).name == "wildline", command
            capfd.readouterr()
            code = run(list(command.words[1:]))
            told = "".join(capfd.readouterr())
            told = told.replace(str(folder) + os.sep, "")
            if block.language == "sh":
                assert code == 0, f"{command.where}: {' '.join(command.words)}\n{told}"
            elif command.output:
                wanted, told = DRAWN.sub("ID", command.output), DRAWN.sub("ID", told)
                fits = doctest.OutputChecker().check_output(wanted, told, SHOWN)
                assert fits, f"{command.where}: {' '.join(command.words)}\n{told}"


@pytest.mark.parametrize(
    "block", [pytest.param(b, id=b.where) for b in every_block() if b.language == "python"]
)
def test_python_in_the_pages_compiles(block: Block) -> None:
    compile(block.text, block.where, "exec")


def test_python_in_the_pages_imports_what_exists() -> None:
    pattern = re.compile(r"^ *from (\w[\w.]*) import ([\w, ]+)$", re.MULTILINE)
    for block in (b for b in every_block() if b.language == "python"):
        for module, names in pattern.findall(block.text):
            if module.partition(".")[0] not in ROOMS:
                continue
            found = import_module(module)
            for name in names.split(","):
                assert hasattr(found, name.strip()), f"{block.where}: {module}.{name.strip()}"


def test_relative_links_lead_somewhere() -> None:
    pattern = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
    for page in pages():
        for target in pattern.findall(page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"
