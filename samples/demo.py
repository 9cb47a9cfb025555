"""make demo: a line that was never recorded, said by the presenter in samples/.

Fits a voice to the three short recordings in samples/archive, speaks the line in
samples/script.txt with it, and makes the face in samples/presenter.mp4 say that line. Mara
Voss is nobody: a drawn head with a blended voice. Everything lands in out/demo.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent
ROOT = SAMPLES.parent
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # nothing goes over the network
sys.path.insert(0, str(ROOT))  # also from a checkout that is not installed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; the folder to write to may be given as the only argument."""
    from media.errors import WildlineError

    given = sys.argv[1:] if arguments is None else arguments
    out = Path(given[0]) if given else ROOT / "out" / "demo"
    out.mkdir(parents=True, exist_ok=True)
    try:
        demonstrate(out)
    except WildlineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def demonstrate(out: Path) -> None:
    """Voice, line, lips, and the marks read back; prints each as it happens."""
    from studio.redub import fit, redub, summary

    began = time.monotonic()
    line = (SAMPLES / "script.txt").read_text("utf-8").strip()
    clip = out / "presenter-redub.mp4"
    consent = SAMPLES / "consent.toml"
    print(f"== consent: {consent}; Mara Voss is fictional, a real person has to sign")
    print("== voice: fitting to three short recordings in samples/archive (2-4 minutes)")
    voice = fit(SAMPLES / "archive", out / "voice", consent=consent, progress=Steps())
    print(f'== line: speaking "{line}"')
    print("== lips: finding the face in samples/presenter.mp4 and making it say the line")
    made = redub(
        SAMPLES / "presenter.mp4",
        line,
        clip,
        voice=str(out / "voice"),
        consent=consent,
        at_s=0.5,
        progress=Steps(),
    )
    print("== marks: what anyone can read back from the clip")
    show_marks(clip)
    minutes = (time.monotonic() - began) / 60
    print(f"\nclip    {clip}")
    print(f"voice   {scores(voice.scores)}")
    print(f"line    {scores(made.line.take.scores)}")
    print(f"lips    {summary(made.clip)}")
    print(f"time    {minutes:.1f} minutes")


class Steps:
    """A progress callback for any terminal or log: one line a step, with its time."""

    def __init__(self) -> None:
        self._what, self._began = "", time.monotonic()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Say when a new step begins; `done` of `total` is left to real progress bars."""
        del done, total
        if what != self._what:
            print(f"   {time.monotonic() - self._began:6.1f} s  {what}", flush=True)
            self._what = what


def show_marks(clip: Path) -> None:
    """Watermark, Content Credentials and ledger, in plain words."""
    from studio.verify import examine

    for sentence in examine(clip).sentences():
        print(f"   {sentence}")


def scores(values: object) -> str:
    """A score record on one line."""
    from studio._display import scores_text

    return scores_text(values)


if __name__ == "__main__":
    sys.exit(main())
