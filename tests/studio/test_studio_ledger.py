"""The chain shows every change to what was written, and nothing is lost when writing fails."""

from __future__ import annotations

import json
import multiprocessing
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.errors import ProvenanceError
from studio.ledger import Ledger, inspect, located, read_ledger, told, verify


def _filled(path: Path, n: int = 5) -> Ledger:
    ledger = Ledger(path)
    for i in range(n):
        ledger.append("test.event", number=i, text="Zeile ü")
    return ledger


def test_lines_are_numbered_chained_and_verified(tmp_path: Path) -> None:
    ledger = _filled(tmp_path / "l.jsonl")
    entries = list(read_ledger(ledger.path))
    assert [e.number for e in entries] == [1, 2, 3, 4, 5]
    assert [e.previous for e in entries[1:]] == [e.line_sha256 for e in entries[:-1]]
    assert verify(ledger.path) == 5
    assert ledger.append("one.more").previous == entries[-1].line_sha256


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("l") / "l.jsonl"
    _filled(path, 3)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 2))
    content[at] ^= data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    path.write_bytes(content)
    with pytest.raises(ProvenanceError, match="line"):
        verify(path)


@pytest.mark.parametrize("change", ["remove", "swap", "repeat", "rewrite"])
def test_removed_moved_repeated_and_rewritten_lines_are_found(tmp_path: Path, change: str) -> None:
    ledger = _filled(tmp_path / "l.jsonl")
    lines = ledger.path.read_text("utf-8").splitlines(keepends=True)
    if change == "remove":
        del lines[2]
    elif change == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif change == "repeat":
        lines.insert(2, lines[2])
    else:  # a whole line rewritten with a hash of its own that fits
        other = _filled(tmp_path / "other.jsonl", 2)
        other.append("forged", number=2, text="Zeile ü")
        lines[2] = other.path.read_text("utf-8").splitlines(keepends=True)[2]
    ledger.path.write_text("".join(lines), "utf-8")
    with pytest.raises(ProvenanceError):
        verify(ledger.path)


def test_a_line_torn_by_a_crash_is_cut_off_and_the_chain_goes_on(tmp_path: Path) -> None:
    ledger = _filled(tmp_path / "l.jsonl", 3)
    with ledger.path.open("ab") as file:
        file.write(b'{"number":4,"time":"20')
    ledger.append("after")
    assert verify(ledger.path) == 4


def test_an_altered_last_line_stops_the_work(tmp_path: Path) -> None:
    ledger = _filled(tmp_path / "l.jsonl", 2)
    text = ledger.path.read_text("utf-8").replace('"number":1,"text"', '"number":9,"text"')
    ledger.path.write_text(text, "utf-8")
    with pytest.raises(ProvenanceError, match="name a new one with --ledger"):
        ledger.append("next")


def test_an_unwritable_ledger_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "l.jsonl", Path("/proc/nothing/l.jsonl")):
        with pytest.raises(ProvenanceError, match="cannot be written"):
            Ledger(place).append("event")


def _append_with_limit(path: Path, room: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, resource.RLIM_INFINITY))
    try:
        Ledger(path).append("too.long", text="x" * 500)
    except ProvenanceError:
        raise SystemExit(7) from None


@pytest.mark.parametrize("room", [0, 100])
def test_a_full_disk_leaves_the_ledger_whole(tmp_path: Path, room: int) -> None:
    ledger = _filled(tmp_path / "l.jsonl", 2)
    before = ledger.path.read_bytes()
    child = multiprocessing.get_context("fork").Process(
        target=_append_with_limit, args=(ledger.path, room)
    )
    child.start()
    child.join(30)
    assert child.exitcode == 7
    assert ledger.path.read_bytes() == before


def _append_many(path: Path) -> None:
    for i in range(20):
        Ledger(path).append("parallel", number=i)


def test_writers_in_parallel_keep_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_append_many, args=(path,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert verify(path) == 80


def test_every_line_is_json_and_ends(tmp_path: Path) -> None:
    ledger = _filled(tmp_path / "l.jsonl", 2)
    raw = ledger.path.read_bytes()
    assert raw.endswith(b"\n")
    assert {"number", "time", "event", "facts", "previous", "sha256"} == set(
        json.loads(raw.splitlines()[0])
    )


def test_a_noted_line_must_still_be_there(tmp_path: Path) -> None:
    ledger = _filled(tmp_path / "wildline-ledger.jsonl")
    noted = list(read_ledger(ledger.path))[3].line_sha256
    found = inspect(located(tmp_path), noted)
    assert (found.lines, found.held) == (5, 4)
    cut = b"".join(ledger.path.read_bytes().splitlines(keepends=True)[:3])
    ledger.path.write_bytes(cut)
    assert inspect(ledger.path).lines == 3  # by itself a cut tail cannot be seen
    with pytest.raises(ProvenanceError, match="was cut or written anew"):
        inspect(ledger.path, noted)


def test_the_commands_name_the_altered_line(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    from studio._consent_commands import ledger_show, ledger_verify

    ledger = _filled(tmp_path / "wildline-ledger.jsonl", 3)
    ledger_verify(tmp_path)
    ledger_show(tmp_path, 2)
    said = capsys.readouterr().out
    assert "3 lines, the chain is whole" in said
    assert said.count("test.event") == 3  # the last line once, the list twice
    text = ledger.path.read_text("utf-8").replace('"number":1,"text"', '"number":7,"text"')
    ledger.path.write_text(text, "utf-8")
    with pytest.raises(ProvenanceError, match=r"line 2 of .* was altered"):
        ledger_verify(ledger.path)


def test_a_refusal_is_written_once(tmp_path: Path) -> None:
    ledger, error = Ledger(tmp_path / "l.jsonl"), ProvenanceError("no mark holds")
    for _ in range(2):
        ledger.append_refusal("output.refused", error, output="a.wav")
    (entry,) = read_ledger(ledger.path)
    assert told(entry) == "a.wav; no mark holds"
