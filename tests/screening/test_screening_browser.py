"""The pages in a real browser: what an editor and a test viewer do, from load to vote."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.batch.records import read_decisions, read_requests
from studio.ledger import read_ledger
from studio.production import Production

playwright = pytest.importorskip("playwright.sync_api")
ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def _browser() -> str:
    """Where a Chromium is: `WILDLINE_CHROMIUM`, or one of the usual names."""
    found = os.environ.get("WILDLINE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "")
    if not found:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = _browser()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio"],
        )
        yield browser
        browser.close()


@pytest.fixture
def room(production: Production) -> Iterator[tuple[str, str]]:
    """`wildline screen` at work; the editors' and the audience's links."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "studio.cli", "screen", str(production.folder)]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        links = [process.stdout.readline().split()[1] for _ in range(2)]
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield links[0], links[1]
    finally:
        process.terminate()
        process.communicate(timeout=20)


class Page:
    """A page that fails the test when a script on it does, or when the policy blocks something."""

    def __init__(self, browser: Any, link: str) -> None:
        self.context = browser.new_context(viewport={"width": 1500, "height": 1000})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda m: self.complaints.append(m.text) if m.type == "error" else None
        )
        self.page.goto(link)

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, kind: object, *rest: object) -> None:
        self.context.close()
        if kind is None:
            assert self.complaints == []


def _at(page: Any) -> tuple[str, str]:
    return page.text_content("#tc"), page.text_content("#frame")


def _shot(page: Any, name: str) -> None:
    """Keep a picture where `WILDLINE_SCREENSHOTS` asks for it."""
    folder = os.environ.get("WILDLINE_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def _until(page: Any, condition: str, seconds: float = 30) -> None:
    """Wait for a condition; Playwright's own way evaluates strings, which the policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never came true: {condition}"
        page.wait_for_timeout(20)


def _open(page: Any, cue: str = "MAR101") -> None:
    page.click(f"#cues li[data-cue='{cue}'] a")
    page.wait_for_selector("#desk[data-ready]", timeout=30_000)
    _until(
        page, "['#made', '#original'].every((name) => document.querySelector(name).dataset.ready)"
    )
    _until(page, "!document.querySelector('#original').seeking")


@pytest.mark.slow
def test_an_editor_looks_steps_plays_rates_and_asks(
    chromium: Any, room: tuple[str, str], production: Production
) -> None:
    with Page(chromium, room[0]) as page:
        assert "token" not in page.url
        _shot(page, "home")
        page.fill("#by", "Ines")
        page.locator("#by").blur()
        _open(page)
        assert _at(page) == ("00:00:00:12", "frame 0")
        assert page.text_content("#which") == "1.1"
        _steps(page)
        _plays(page)
        page.keyboard.press("Home")
        _shot(page, "cue")
        _decides(page, production)
        _asks(page, production)
        _shot(page, "asked")


def _steps(page: Any) -> None:
    """Both pictures are on the frame that the timecode says."""
    for key, label in (
        ("ArrowRight", "00:00:00:13"),
        ("Shift+ArrowRight", "00:00:00:23"),
        ("ArrowRight", "00:00:01:00"),
        ("ArrowLeft", "00:00:00:23"),
        ("End", "00:00:02:10"),
        ("Home", "00:00:00:12"),
    ):
        page.keyboard.press(key)
        assert _at(page)[0] == label
    page.keyboard.press("Shift+ArrowRight")
    _until(page, "!document.querySelector('#made').seeking")
    times = page.evaluate("[original.currentTime, made.currentTime]")
    frames = [int(t * 24000 / 1001) for t in times]
    assert frames == [22, 22]


def _plays(page: Any) -> None:
    page.keyboard.press("Home")
    page.keyboard.press("l")
    _until(page, "document.querySelector('#original').currentTime > 1.2")
    assert page.evaluate("[original.muted, made.muted, voice.muted]") == [True, False, True]
    drift = page.evaluate("Math.abs(original.currentTime - made.currentTime)")
    assert drift < 0.1
    page.keyboard.press("k")
    assert page.evaluate("original.paused && made.paused")
    before = page.evaluate("original.currentTime")
    page.keyboard.press("j")
    _until(page, f"document.querySelector('#original').currentTime < {before} - 0.3")
    page.keyboard.press("k")
    page.keyboard.press("a")
    assert page.evaluate("[original.muted, made.muted, voice.muted]") == [False, True, True]
    page.keyboard.press("a")
    page.keyboard.press("]")  # the other take is heard over the original picture
    assert page.text_content("#which") == "1.2"
    assert page.evaluate("[original.muted, made.muted, voice.muted]") == [True, True, False]
    _until(page, "document.querySelector('#made').dataset.ready")
    page.keyboard.press("Home")
    page.keyboard.press("l")
    _until(page, "!voice.paused && voice.currentTime > 0.4")
    page.keyboard.press("k")
    page.keyboard.press("[")


def _decides(page: Any, production: Production) -> None:
    _until(page, "document.querySelector('#made').dataset.ready")
    page.keyboard.press("4")
    page.wait_for_selector(".take[data-take='1.1'] .stars button.on:nth-child(4)")
    page.keyboard.press("c")
    page.wait_for_selector(".take[data-take='1.1'].circled")
    page.keyboard.press("m")
    page.evaluate("document.dispatchEvent(new CustomEvent('cues-changed'))")  # the batch goes on
    page.keyboard.type("<i>lovely</i> on the m")
    page.keyboard.press("Enter")
    page.wait_for_selector(".take[data-take='1.1'] .comment")
    assert page.text_content(".take[data-take='1.1'] .comment").startswith("Ines <i>lovely</i>")
    page.keyboard.press("Escape")
    page.click(".take[data-take='1.1'] .approve")
    page.wait_for_selector(".take[data-take='1.1'] .approve.yes")
    (entry,) = read_ledger(production.ledger)
    assert (entry.event, entry.facts["by"], entry.facts["take"]) == ("cue.approved", "Ines", "1.1")
    said = read_decisions(production)["MAR101"]
    assert [d.rating for d in said if d.rating] == [4]


def _asks(page: Any, production: Production) -> None:
    """Another wording, then a phone's boundary."""
    page.keyboard.press("e")
    page.fill("#line", "Good evening, my name is Mara Voss.")
    page.fill("#note", "slower")
    page.click("#ask")
    page.wait_for_selector(".state.amber")
    page.wait_for_selector("#cues li[data-cue='MAR101'] .light.amber", timeout=10_000)
    page.evaluate("document.querySelector('#canvas').scrollIntoView()")
    box = page.locator("#canvas").bounding_box()
    take = page.evaluate("fetch('/api/cue/MAR101').then((r) => r.json()).then((d) => d.takes[0])")
    duration = page.evaluate("original.duration")
    boundary = take["phones"][3][2]  # seconds; the take begins at the in point
    x = box["x"] + box["width"] * (boundary + 12 * 1001 / 24000) / duration
    y = box["y"] + 226
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 8, y, steps=4)
    page.mouse.up()
    page.wait_for_selector("#moved:not([hidden])")
    page.click("[data-do='send-phones']")
    page.wait_for_selector("#moved", state="hidden")
    asked = read_requests(production)["MAR101"]
    assert (asked[0].text, asked[0].note) == ("Good evening, my name is Mara Voss.", "Ines: slower")
    moved = json.loads((production.folder / str(asked[1].timing)).read_text("utf-8"))
    by = moved["phones"][3]["end"] - boundary
    assert by == pytest.approx(8 / box["width"] * duration, abs=0.004)


@pytest.mark.slow
def test_a_viewer_watches_and_votes(
    chromium: Any, room: tuple[str, str], production: Production
) -> None:
    with Page(chromium, room[1]) as page:
        _shot(page, "welcome")
        page.click("#begin")
        # Of the page before, with no film in it, every film would be ready.
        _until(page, "document.querySelector('video')?.readyState >= 2")
        _until(page, "[...document.querySelectorAll('video')].every((v) => v.readyState >= 2)")
        page.evaluate("document.querySelector('video').play()")
        _until(page, "document.querySelector('video').currentTime > 0.2")
        page.click("#send")
        assert "every question" in page.text_content("#said")
        for n in (1, 2):
            for name, value in (("believable", 3 + n), ("moved", 3), ("noticed", "no")):
                page.check(f"input[name='{name}-{n}'][value='{value}']", force=True)
        page.check("input[name='prefer'][value='second']", force=True)
        page.fill("[name='remark-1']", "<script>alert(1)</script>")
        _shot(page, "vote")
        here = page.url
        page.click("#send")
        page.wait_for_url(lambda url: url != here)
    (line,) = (production.work / "audience.jsonl").read_text("utf-8").splitlines()
    vote = json.loads(line)
    shown = list(vote["versions"])
    assert vote["prefer"] == shown[1]
    assert [vote["versions"][v]["believable"] for v in shown] == [4, 5]
    with Page(chromium, room[0]) as page:
        page.click("text=Audience")
        assert "1 viewer" in page.text_content("main")
        _shot(page, "results")
