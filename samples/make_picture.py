"""docs/pictures/before-after.png: the presenter's own frames above those of the demonstration.

    python -m samples.make_picture out/demo          # after `make demo`

Above: presenter.mp4 as it is. Below: the same frames of presenter-redub.mp4, saying the line of
script.txt; the word that is spoken there, and the phone, stand under each.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from media.reader import probe, read_frames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SAMPLES = Path(__file__).resolve().parent
TARGET = SAMPLES.parent / "docs" / "pictures" / "before-after.png"
STARTS_AT_S = 0.5  # where the demonstration lays the line
MOMENTS = (("chose", "OW"), ("listen", "L"), ("harbour", "AA"), ("back", "B"), ("voices", "V"))
CROP = (450, 150, 870, 650)  # left, top, right, bottom: her face in the 1280x720 picture
WIDTH, GAP, FOOT = 300, 8, 44  # pixels of a tile, between tiles, under them
PAPER, INK = (255, 255, 255), (40, 40, 40)


@dataclass(frozen=True)
class Moment:
    """A frame of both films and what is said there."""

    frame: int
    word: str
    phone: str


def moments(line: Path, rate: float) -> list[Moment]:
    """The middles of the phones that MOMENTS names, from the facts beside the spoken line."""
    facts = json.loads(line.read_text("utf-8"))
    found = []
    for word, phone in MOMENTS:
        spoken = next(w for w in facts["words"] if w["label"].lower().startswith(word))
        inside = (
            p
            for p in facts["phones"]
            if p["label"] == phone and spoken["start_s"] <= p["start_s"] < spoken["end_s"]
        )
        sounded = next(inside)
        middle = STARTS_AT_S + (sounded["start_s"] + sounded["end_s"]) / 2
        found.append(Moment(int(middle * rate), word, phone))
    return found


def pictures(film: Path, wanted: list[Moment]) -> list[NDArray[np.uint8]]:
    """The frames of a film that are wanted, uint8 [height, width, 3] each."""
    numbers = [m.frame for m in wanted]
    frames = {f.index: f.rgb for f in read_frames(film, 0, max(numbers) + 1) if f.index in numbers}
    return [frames[n] for n in numbers]


def sheet(before: Path, after: Path, wanted: list[Moment]) -> Image:
    """Two rows of faces with a word under each column."""
    from PIL import Image, ImageDraw, ImageFont

    left, top, right, bottom = CROP
    height = round(WIDTH * (bottom - top) / (right - left))
    size = (len(wanted) * (WIDTH + GAP) - GAP, 2 * (height + GAP) + FOOT)
    drawn = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(26)
    for row, film in enumerate((before, after)):
        for column, rgb in enumerate(pictures(film, wanted)):
            face = Image.fromarray(rgb).crop(CROP).resize((WIDTH, height), Image.Resampling.LANCZOS)
            drawn.paste(face, (column * (WIDTH + GAP), row * (height + GAP)))
    for column, moment in enumerate(wanted):
        middle = column * (WIDTH + GAP) + WIDTH // 2
        label = f"{moment.word}  /{moment.phone}/"
        pen.text((middle, 2 * (height + GAP) + FOOT // 2 - 4), label, INK, font, anchor="mm")
    return drawn


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="The folder that `make demo` wrote.")
    parser.add_argument("--film", type=Path, default=SAMPLES / "presenter.mp4")
    parser.add_argument("--out", type=Path, default=TARGET)
    given = parser.parse_args()
    line = given.demo / "presenter-redub.line.json"
    wanted = moments(line, float(probe(given.film).rate.value))
    drawn = sheet(given.film, given.demo / "presenter-redub.mp4", wanted)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    drawn.quantize(256, dither=1).save(given.out, optimize=True)
    print(f"{given.out}: {drawn.width}x{drawn.height}, {given.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
