"""Wildline beside other programs, on the same input in the same run: what `make bench` calls.

    python benchmarks/bench.py                         # say, align, lips and batch
    python benchmarks/bench.py say align --runs 5
    python benchmarks/bench.py scaling --minutes 1 2 5 10
    python benchmarks/bench.py --into docs/benchmarks  # into the documentation

Parts: `say` against kokoro-onnx and kokoro, `align` against PocketSphinx and torchaudio, `lips`
against a per-frame loop in the manner of Wav2Lip, `batch` for 1 to 1,000 cues, `scaling` for
minutes of footage. Tables are printed and written as `bench-PART.json` and `side-by-side.md`. The
other programs are installed from PyPI into environments of their own, in the cache folder.
Recordings of real people are measured too where `--data` or WILDLINE_DATA names them.
"""

# Imports follow the mending of sys.path.
# ruff: noqa: E402

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    # Files here are called like packages they measure.
    sys.path[0] = str(ROOT)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from benchmarks.peers import tables
from benchmarks.peers.tables import PARTS, Result

Part = Callable[[Result, Path, argparse.Namespace], None]


def say(result: Result, scratch: Path, given: argparse.Namespace) -> None:
    """Speaking."""
    from benchmarks.peers import speaking

    speaking.run(result, scratch, runs=given.runs, data=given.data)


def align(result: Result, scratch: Path, given: argparse.Namespace) -> None:
    """Timing."""
    from benchmarks.peers import alignment
    from media.files import user_cache_dir

    keep = user_cache_dir() / "peers" / "lines"
    how = {"data": given.data, "wears": given.wears, "keep": keep, "every": given.every}
    alignment.run(result, scratch, **how)


def lips(result: Result, scratch: Path, given: argparse.Namespace) -> None:
    """Lips."""
    from benchmarks.peers import lips as part

    part.run(result, scratch, footage=given.footage, s3fd=given.s3fd, seconds=given.seconds)


def batch(result: Result, scratch: Path, given: argparse.Namespace) -> None:
    """Cues."""
    from benchmarks.peers import cues

    cues.run(result, scratch, cues=given.cues, real=given.real_cues)


def scaling(result: Result, scratch: Path, given: argparse.Namespace) -> None:
    """Minutes of footage."""
    from benchmarks.peers import lengths

    earlier = tables.read(given.into, "scaling")
    lengths.run(result, scratch, footage=given.footage, minutes=given.minutes, earlier=earlier)


def columns(part: str) -> dict[str, str]:
    """The columns of a part's table."""
    from importlib import import_module

    module = import_module(f"benchmarks.peers.{_MODULES[part]}")
    found: dict[str, str] = module.COLUMNS
    return found


_MODULES = dict(zip(PARTS, ("speaking", "alignment", "lips", "cues", "lengths"), strict=True))
_RUNS: dict[str, Part] = dict(zip(PARTS, (say, align, lips, batch, scaling), strict=True))
_TITLES = dict(
    zip(
        PARTS,
        (
            "Speaking",
            "Timing",
            "Lips",
            "Cues by the thousand",
            "Footage by the minute",
        ),
        strict=True,
    )
)


def measure(part: str, given: argparse.Namespace) -> Result:
    """Run one part."""
    result = Result(part, _TITLES[part], columns(part))
    result.machine, result.date = tables.machine(), tables.today()
    result.versions["Wildline"] = tables.own_versions()
    result.load["before"] = list(os.getloadavg())
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        _RUNS[part](result, Path(scratch), given)
    result.seconds = time.monotonic() - began
    result.load["after"] = list(os.getloadavg())
    return result


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"of {' '.join(PARTS)}; all but scaling")
    parser.add_argument("--into", type=Path, default=ROOT / "out" / "bench")
    parser.add_argument("--data", type=Path, default=os.environ.get("WILDLINE_DATA"))
    parser.add_argument("--runs", type=int, default=3, help="say: of every line")
    parser.add_argument("--wears", nargs="+", default=["clean", "noise 10 dB"], help="align")
    parser.add_argument("--every", type=int, default=1, help="align: of the lines, one in this")
    parser.add_argument("--footage", type=Path, help="lips, scaling: instead of samples/")
    parser.add_argument("--seconds", type=float, default=0, help="lips: of samples/, not all")
    parser.add_argument("--s3fd", type=int, default=4, help="lips: frames of that detector")
    parser.add_argument("--cues", type=int, nargs="+", default=[1, 10, 100, 1000], help="batch")
    parser.add_argument("--real-cues", type=int, nargs="*", default=[1, 10], help="batch")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 2.0], help="scaling")
    given = parser.parse_args()
    given.parts = given.parts or [part for part in PARTS if part != "scaling"]
    if strange := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(strange))}; choose of {', '.join(PARTS)}")
    return given


def main() -> None:
    """Run the parts one after the other; what one found is kept before the next begins."""
    given = arguments()
    for part in given.parts:
        result = measure(part, given)
        print(result.markdown(), flush=True)
        result.write(given.into)


if __name__ == "__main__":
    main()
