"""How fast the screening room answers: 1,000 requests from 20 clients, against the 300 ms asked.

    python benchmarks/screening.py

Starts the room as `wildline screen` does, in a process of its own, over a production of 200
cues with takes about the fictional presenter, and asks for pages and data the way a browser
does. Media (ranges of an excerpt) are timed apart. All of it stays on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

CLIENTS, REQUESTS, CUES = 20, 1000, 200
ASKED_MS = 300.0
TIMEOUT_S = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns 1 when an answer was wrong or the 95th percentile is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--cues", type=int, default=CUES)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        production = Path(folder) / "harbour"
        many(production, options.cues)
        process, port, token = started(production)
        try:
            return asyncio.run(measured(port, token, options))
        finally:
            process.terminate()
            process.wait(30)


def many(folder: Path, cues: int) -> None:
    """The small production, with its second cue's results under many numbers."""
    from mara_production import make_production

    production = make_production(folder, small=True)
    sheet = folder / "cues.csv"
    rows = sheet.read_text("utf-8").splitlines()
    state = json.loads((production.work / "cues" / "MAR102.json").read_text("utf-8"))
    for n in range(cues - 3):
        number = f"MAR{200 + n}"
        rows.append(rows[2].replace("MAR102", number))
        document = {**state, "id": number, "cue": {**state["cue"], "number": number}}
        path = production.work / "cues" / f"{number}.json"
        path.write_text(json.dumps(document), "utf-8")
    sheet.write_text("\n".join(rows) + "\n", "utf-8")


def started(folder: Path) -> tuple[subprocess.Popen[str], int, str]:
    """The room's process, its port and the editors' token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "studio.cli", "screen", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    link = process.stdout.readline().split()[1]
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    return process, port, link.partition("token=")[2]


class Visitor:
    """A browser's connection: kept open, one request after the other, no overhead to speak of."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body. Raises OSError and its kin when the connection breaks."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        sent = {"host": f"127.0.0.1:{self._port}", "authorization": f"Bearer {self._token}"}
        lines = [f"{name}: {value}" for name, value in (sent | (headers or {})).items()]
        writer.write("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].split()[0])
        return int(head.split()[1]), await reader.readexactly(length)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()


async def measured(port: int, token: str, options: argparse.Namespace) -> int:
    """Warm up (excerpts are made once), ask, print."""
    await excerpts_ready(Visitor(port, token))
    places = mix(options.cues)
    taken: dict[str, list[float]] = defaultdict(list)
    wrong: list[str] = []
    began = time.perf_counter()

    async def visit(number: int) -> None:
        visitor = Visitor(port, token)
        for i in range(number, options.requests, options.clients):
            kind, path, extra = places[i % len(places)]
            start = time.perf_counter()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    status, _ = await visitor.get(path, extra)
                if status not in (200, 206):
                    wrong.append(f"{path}: {status}")
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                wrong.append(f"{path}: {error!r}")
            taken[kind].append(1000 * (time.perf_counter() - start))
        visitor.close()

    await asyncio.gather(*(visit(n) for n in range(options.clients)))
    return told(taken, wrong, time.perf_counter() - began, options)


async def excerpts_ready(visitor: Visitor) -> None:
    """Ask for the media once, until they are there."""
    for _ in range(600):
        player = json.loads((await visitor.get("/api/cue/MAR101"))[1])
        if "making" not in (player["original"]["state"], player["shot"]["state"]):
            visitor.close()
            return
        await asyncio.sleep(0.1)
    raise SystemExit("the excerpts were never made")


def mix(cues: int) -> list[tuple[str, str, dict[str, str]]]:
    """(kind, path, headers) as editors come by them: mostly cues, then the list and media."""
    some = [f"MAR{200 + (37 * n) % max(cues - 3, 1)}" for n in range(8)]
    pages = [("page", f"/cue/{cue}", {}) for cue in some[:4]]
    pages += [("page", "/", {}), ("page", "/results", {}), ("page", "/cue/MAR101/panel", {})]
    data = [("data", f"/api/cue/{cue}", {}) for cue in ("MAR101", *some[4:7])]
    data += [("data", "/api/cues", {}), ("data", "/api/cue/MAR101/outline/take/1.1", {})]
    data += [("data", "/api/cue/MAR101/outline/original", {})]
    ranges = [{"range": f"bytes={a}-{a + 65_535}"} for a in (0, 20_000)]
    media = [("media", "/media/MAR101/original", extra) for extra in ranges]
    media += [("media", "/media/MAR101/take/1.1", {})]
    return [*pages, *data, *media, ("static", "/static/room.css", {})]


def told(
    taken: dict[str, list[float]], wrong: list[str], seconds: float, options: argparse.Namespace
) -> int:
    """Print the figures; 0 when they hold."""
    n = sum(map(len, taken.values()))
    print(f"{n} requests from {options.clients} clients, {options.cues} cues, {seconds:.1f} s")
    print(f"{'kind':8}{'n':>6}{'median ms':>12}{'p95 ms':>10}{'max ms':>10}")
    for kind, times in taken.items():
        p50, p95 = np.percentile(times, [50, 95])
        print(f"{kind:8}{len(times):6}{p50:12.0f}{p95:10.0f}{max(times):10.0f}")
    p95 = float(np.percentile([*taken["page"], *taken["data"]], 95))
    print(
        f"pages and data p95 {p95:.0f} ms (asked: {ASKED_MS:.0f}); errors {len(wrong)} (asked: 0)"
    )
    for line in wrong[:5]:
        print(f"  {line}")
    return int(bool(wrong) or p95 > ASKED_MS)


if __name__ == "__main__":
    sys.exit(main())
