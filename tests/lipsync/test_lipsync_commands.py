"""`wildline score` and `wildline preview`, and how `resync` takes an engine's checkpoint."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from lipsync_film import film, talking_marks, track_of
from lipsync_talk import talk, voice

import lipsync.faces
from align.formats import write_timing
from align.timing import Span, Timing
from lipsync.people import FaceChoice
from lipsync.preview import PreviewShot
from media.errors import EngineMissingError, MediaError, WildlineError
from studio._jobs import chosen_face, quiet
from studio._lipsync_commands import _open, engine_spec
from studio._preview_server import make_server
from studio.cli import run

LINE = talk(3.0, seed=3)
MARKS = talking_marks(LINE, 75)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lipsync.faces, "track_faces", lambda *_a, **_k: track_of(MARKS))
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "cache"))
    write_timing(LINE, tmp_path / "line.json")
    return film(tmp_path / "scene.mp4", MARKS, sound=voice(LINE))


def test_score_prints_what_it_measures_and_what_that_cannot_tell(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = tmp_path / "scores.json"
    timing = str(tmp_path / "line.json")
    done = run(["score", str(scene), "--timing", timing, "--json", str(numbers)])
    shown = capsys.readouterr().out
    assert done == 0
    assert "closure rate" in shown
    assert "what it cannot tell" in shown
    assert "--before" in shown
    kept = json.loads(numbers.read_text())
    assert kept["result"]["frames"] == 75
    assert kept["result"]["seam"] is None
    assert "source" not in kept


def test_score_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", str(tmp_path / "none.mp4")]) == 2
    error = capsys.readouterr().err
    assert "does not exist" in error
    assert error.count("\n") == 1


def test_preview_asks_for_consent(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["preview", str(scene), str(tmp_path / "line.wav"), "--no-open"]) == 2
    assert "consent" in capsys.readouterr().err


def test_preview_listens_who_talks_where_the_line_goes_as_a_shot_does(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(PreviewShot, "open", lambda *_a, **told: asked.append(told))
    phones = (Span("AA", 0.2, 0.5), Span("M", 0.5, 0.9))
    line = Timing((Span("am", 0.2, 0.9),), phones, 1.0)
    for face in ("talking", "left", None):
        _open(scene, 1.0, line, 0.5, face, quiet)
    talking, left, nobody = (told["face"] for told in asked)
    assert talking.kind == "talking"
    assert talking.span == pytest.approx((0.7, 2.4))
    assert (left.kind, left.span, nobody) == ("left", None, None)
    with pytest.raises(MediaError, match="60 s before the footage"):
        _open(scene, -60.0, line, 0.5, None, quiet)
    assert chosen_face("talking", (0.1, 0.4)) == FaceChoice("talking", span=(0.0, 0.9))
    own = FaceChoice("talking", span=(3.0, 4.0))
    assert chosen_face(own, (0.1, 0.4)) is own


def test_engines_are_named_with_their_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert engine_spec("mouthbank", None) == "mouthbank"
    assert engine_spec("wav2lip", Path("w.pth")) == "wav2lip:w.pth"
    assert "research" in capsys.readouterr().err
    for engine, weights, words in (
        ("wav2lip", None, "--weights FILE"),
        ("mouthbank", Path("w.pth"), "leave --weights out"),
        ("nonsense", None, "mouthbank, mouthnet, wav2lip"),
    ):
        with pytest.raises(EngineMissingError, match=words):
            engine_spec(engine, weights)


@pytest.fixture
def serving() -> Iterator[Callable[..., str]]:
    running = []

    def start(render: Callable[[BinaryIO], int], said: list[str]) -> str:
        server = make_server(render, title="a <b>", port=0, show=said.append)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_the_page_plays_while_the_video_is_made(serving: Callable[..., str]) -> None:
    seen, goes_on = threading.Event(), threading.Event()

    def render(sink: BinaryIO) -> int:
        sink.write(b"first")
        goes_on.wait(5)
        sink.write(b"second")
        return 2

    address = serving(render, [])
    page = urllib.request.urlopen(f"{address}/", timeout=5).read().decode()
    assert "a &lt;b&gt;" in page
    assert "/preview.mp4" in page
    with urllib.request.urlopen(f"{address}/preview.mp4", timeout=5) as answer:
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.read(5) == b"first"  # before the rest exists
        seen.set()
        goes_on.set()
        assert answer.read() == b"second"
    assert seen.is_set()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address}/etc/passwd", timeout=5)


def test_a_new_look_stops_the_rendering_before_it(serving: Callable[..., str]) -> None:
    stopped = threading.Event()
    starts: list[int] = []

    def render(sink: BinaryIO) -> int:
        starts.append(1)
        try:
            for _ in range(2000 if len(starts) == 1 else 1):
                sink.write(b"x" * 100)
                threading.Event().wait(0.002)
        except OSError:
            stopped.set()
            raise
        return 0

    address = serving(render, [])
    first = urllib.request.urlopen(f"{address}/preview.mp4", timeout=5)
    first.read(100)
    second = urllib.request.urlopen(f"{address}/preview.mp4", timeout=5)
    assert second.read() == b"x" * 100
    assert stopped.wait(5)
    first.close()


def test_refusals_of_a_rendering_are_shown_and_a_taken_port_too(
    serving: Callable[..., str],
) -> None:
    def render(_sink: BinaryIO) -> int:
        raise MediaError("the scene is gone; bring it back")

    said: list[str] = []
    address = serving(render, said)
    with pytest.raises(http.client.IncompleteRead):
        urllib.request.urlopen(f"{address}/preview.mp4", timeout=5).read()
    assert said == ["error: the scene is gone; bring it back"]
    port = int(address.rsplit(":", 1)[1])
    with pytest.raises(WildlineError, match="choose another with --port"):
        make_server(render, title="", port=port, show=said.append)
