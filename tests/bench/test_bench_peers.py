"""What `make bench` prints and keeps, and how it speaks with other programs."""

from __future__ import annotations

import json
import math
import sys
import wave
from pathlib import Path

import pytest

from benchmarks.peers import speaking, tables
from benchmarks.peers.environments import HERE, PeerError, Worker
from benchmarks.peers.tables import Result, cell, ratio, table

WORKER = f"""
import sys
sys.path.insert(0, {str(HERE / "workers")!r})
from array import array
from serving import serve

def answer(asked):
    if asked["x"] < 0:
        raise SystemExit("nothing is below nought")
    print("a library that talks")
    return {{"twice": 2 * asked["x"], "samples": array("d", [0.0, 0.5, 2.0]), "rate": 3}}

serve(answer, prepare=lambda asked: {{**asked, "x": asked["x"] + 1}}, says={{"trained": True}})
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    return path


def test_a_worker_answers_and_says_what_it_cost(script: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.wav"
    with Worker.ours(str(script)) as worker:
        assert worker.says["trained"]
        assert worker.versions["python"] == sys.version.split()[0]
        told = worker.ask({"x": 1, "out": str(out)})
        assert told["twice"] == 4
        assert told["sound_s"] == 1.0
        assert told["wall_s"] >= 0
        assert told["peak_mb"] > 1
        assert worker.ask({"x": 2, "out": str(out)})["twice"] == 6
    with wave.open(str(out)) as stream:
        assert stream.getparams()[:4] == (1, 2, 3, 3)
        assert stream.readframes(3) == b"\x00\x00\x00\x40\xff\x7f"


def test_a_worker_that_ends_says_why(script: Path) -> None:
    with Worker.ours(str(script)) as worker, pytest.raises(PeerError, match="below nought"):
        worker.ask({"x": -5})


def test_every_peer_is_pinned() -> None:
    for pins in (HERE / "pins").glob("*.txt"):
        lines = pins.read_text("utf-8").splitlines()
        assert any(line.startswith(f"{pins.stem}==") for line in lines), pins
        assert all("==" in line and "://" not in line for line in lines), pins


def test_one_run_has_no_median() -> None:
    assert "wall and processor time of one run\n" in speaking.note(1)
    assert "median" not in speaking.note(1)
    assert "median wall and the least processor time of 3 runs\n" in speaking.note(3)


def test_cells() -> None:
    assert cell(None, ".2f") == ""
    assert cell(1.234, ".2f") == "1.23"
    assert cell("2/40", ".2f") == "2/40"
    assert table({"who": "", "ms": ".1f"}, [{"who": "ours", "ms": 3}, {"who": "truth"}]) == [
        "| who | ms |",
        "|---|--:|",
        "| ours | 3.0 |",
        "| truth |  |",
    ]
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is None
    assert ratio(3.0, 0.0) is None


def test_results_are_kept_and_the_page_holds_all_parts(tmp_path: Path) -> None:
    for part in ("lips", "say"):
        result = Result(part, part.title(), {"who": "", "s": ".1f"}, [{"who": "ours", "s": 1.0}])
        result.load = {"before": [0.5, 1, 1], "after": [2.25, 1, 1]}
        result.machine, result.date = tables.machine(), "2026-01-01"
        result.write(tmp_path)
        assert tables.read(tmp_path, part) == result
    assert json.loads((tmp_path / "bench-say.json").read_text())["rows"][0]["who"] == "ours"
    page = (tmp_path / tables.PAGE).read_text()
    assert page.index("## Say") < page.index("## Lips")
    assert "load average 0.5 to 2.2" in page
    assert tables.read(tmp_path, "batch") is None
    assert sorted(p.name for p in tmp_path.iterdir())[0].startswith("bench")  # nothing hidden


def test_errors_of_words_and_phones() -> None:
    from align.text import speakable
    from benchmarks.align import Case
    from benchmarks.peers.alignment import Found, against, errors
    from media.audio import Sound

    script = speakable("Glue it.")
    case = Case(Sound([0.0] * 16, 16), script, [0.1, 0.3, 0.3, math.nan], [0.2])  # type: ignore[arg-type]
    told = {"spoken": [[0.1, 0.32], [0.32, 0.5]], "phones": [[0.1, 0.21], [0.21, 0.4]]}
    found = errors(told, case)
    assert found is not None
    assert found["words"] == pytest.approx([0, 20, 20])
    assert found["phones"] == pytest.approx([10])
    assert errors({"words": None, "phones": None}, case) is None
    stock = Found("stock", [found, None], cpu_s=4.0, sound_s=2.0)
    other = Found("ours", [errors({**told, "phones": [[0.2, 0.4]]}, case), found], 2.0, 2.0)
    assert stock.row()["lost"] == "1/2"
    ratios = against(stock, other)
    assert ratios["CPU, PocketSphinx / this"] == 2.0
    assert ratios["words, PocketSphinx / this"] == 1.0
    assert "phones, PocketSphinx / this" in ratios


def test_the_detectors_size() -> None:
    """22.5 M parameters, as published."""
    torch = pytest.importorskip("torch")
    sys.path.append(str(HERE / "workers"))
    try:
        from s3fd import S3fd
    finally:
        sys.path.pop()
    network = S3fd()
    assert 22.4e6 < sum(p.numel() for p in network.parameters()) < 22.5e6
    with torch.inference_mode():
        shapes = [tuple(s.shape) for s, _ in network(torch.zeros(1, 3, 64, 96))]
    assert [s[1] for s in shapes] == [4, 2, 2, 2, 2, 2]
    assert shapes[0][2:] == (16, 24)
