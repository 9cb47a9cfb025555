"""make demo: a line that was never recorded, said by the presenter in samples/.

Fits a voice to the three short recordings in samples/archive, speaks the line in
samples/script.txt with it, and makes the face in samples/presenter.mp4 say that line. Mara
Voss is nobody: a drawn head with a blended voice. Everything lands in out/demo. The installed
`wildline demo` does the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent
ROOT = SAMPLES.parent
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # nothing goes over the network
sys.path.insert(0, str(ROOT))  # also from a checkout that is not installed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; the folder to write to may be given as the only argument."""
    from studio.cli import run

    given = list(sys.argv[1:] if arguments is None else arguments)
    return run(["demo", "--out", given[0] if given else str(ROOT / "out" / "demo")])


if __name__ == "__main__":
    sys.exit(main())
