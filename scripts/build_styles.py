"""Rebuild voice/data/styles.{safetensors,toml}: the stock voices, from a folder of Kokoro packs.

    python scripts/build_styles.py PACKS            # PACKS/*.bin, raw float32 [510, 256] each

The packs come from npm kokoro-js@1.2.1 (Apache-2.0), folder `voices`. Every stock voice is a
convex blend of three packs of neighbouring pitch, none above half, so that it is nobody's
likeness. Many blends are drawn at random; those farthest apart in style are spoken and
measured; of those that are clear, the ones farthest apart to the ear (GE2E) are kept, an
even share per octave of pitch.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomlkit
from safetensors.numpy import save

from align.text import speakable
from media.files import atomic_path, sha256_of
from voice.engines import Utterance, get_synthesizer
from voice.engines.kokoro_model import load_model
from voice.scores import intelligibility, naturalness
from voice.similarity import ge2e
from voice.voice import Voice
from weights.registry import locate

DATA = Path(__file__).resolve().parents[1] / "voice" / "data"
LINE = "The committee will meet on Thursday, and nobody was surprised by the budget."
SEED = 11
DRAWN, SPOKEN, KEPT = 2000, 44, 30
NEIGHBOURS_SEMITONES = 3.5
# A voice for the film that ships as a sample: one that no fit starts from.
PRESENTER, PRESENTER_HZ = "mara", (175, 225)
REGISTERS = ((105, "bass"), (130, "baritone"), (160, "tenor"), (190, "alto"), (220, "mezzo"))


@dataclass(frozen=True)
class Blend:
    """A candidate, and what was measured of it."""

    style: np.ndarray
    packs: tuple[str, ...]
    weights: tuple[float, ...]
    f0: tuple[float, float, float] = (0.0, 0.0, 0.0)  # median, 5th, 95th percentile
    heard: np.ndarray | None = None
    wer: float = 1.0
    dnsmos: float = 0.0


def read_packs(folder: Path) -> dict[str, np.ndarray]:
    """Name -> one style: the mean of the rows for 60 to 120 tokens, usual lines."""
    files = sorted(folder.glob("*.bin"))
    if not files:
        raise SystemExit(f"there are no .bin packs in {folder}")
    return {f.stem: np.fromfile(f, np.float32).reshape(-1, 256)[60:120].mean(0) for f in files}


def spoken(style: np.ndarray) -> Utterance:
    """The line in `style`."""
    return get_synthesizer("kokoro").speak(speakable(LINE), Voice("blend", style))


def predicted_f0(styles: dict[str, np.ndarray]) -> dict[str, float]:
    """Median F0 in Hz of the line in each style, without making the sound."""
    import torch

    model = load_model()
    vocabulary = json.loads(locate("kokoro-vocab").read_text("utf-8"))["vocab"]
    encoded = model.encode(model.ids([vocabulary[c] for c in speakable(LINE).kokoro]))
    medians = {}
    for name, numbers in styles.items():
        style = torch.tensor(numbers)[None]
        features, frames = model.predict_durations(encoded, style)
        durations = frames.round().clamp(min=1).long()[0]
        f0 = model.f0_energy(features, durations, style)[0]
        medians[name] = float(f0[f0 > 10].median())
    return medians


def pitch(f0: np.ndarray) -> tuple[float, float, float]:
    """(median, 5th, 95th percentile) in Hz of the voiced steps."""
    return tuple(float(x) for x in np.percentile(f0[f0 > 0], (50, 5, 95)))


def draw(packs: dict[str, np.ndarray], f0: dict[str, float], rng: np.random.Generator) -> Blend:
    """Three packs of neighbouring pitch with random weights, none above half."""
    names = sorted(packs)
    first = names[rng.integers(len(names))]
    near = [
        n
        for n in names
        if n != first and abs(12 * np.log2(f0[n] / f0[first])) <= NEIGHBOURS_SEMITONES
    ]
    if len(near) < 2:
        return draw(packs, f0, rng)
    chosen = (first, *rng.choice(near, 2, replace=False))
    weights = np.array([0.5, *(0.5 * rng.dirichlet((2, 2)))]).round(3)
    weights[-1] = round(1 - weights[:-1].sum(), 3)
    if weights.min() < 0.1:
        return draw(packs, f0, rng)
    style = sum(w * packs[n] for w, n in zip(weights, chosen, strict=True))
    return Blend(
        style.astype(np.float32), tuple(map(str, chosen)), tuple(float(w) for w in weights)
    )


def farthest(points: np.ndarray, count: int) -> list[int]:
    """Greedy farthest-point choice (Gonzalez 1985) of `count` rows, starting at the medoid."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    chosen = [int(distances.sum(1).argmin())]
    nearest = distances[chosen[0]].copy()
    while len(chosen) < min(count, len(points)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances[chosen[-1]])
    return chosen


def measure(blend: Blend) -> Blend:
    """Speak and score one candidate."""
    said = spoken(blend.style)
    print(".", end="", flush=True)
    return Blend(
        blend.style,
        blend.packs,
        blend.weights,
        pitch(said.f0),
        ge2e().embed(said.sound),
        intelligibility(said.sound, LINE).wer,
        naturalness(said.sound),
    )


def choose(blends: list[Blend]) -> tuple[list[Blend], Blend]:
    """The clear ones that are farthest apart to the ear (pitch counts as a direction too),
    low to high; and the most natural of the rest as the presenter."""
    clear = [b for b in blends if b.wer == 0 and b.dnsmos >= 2.9]
    octaves = np.array([[np.log2(b.f0[0])] for b in clear])
    order = farthest(np.hstack([np.stack([b.heard for b in clear]), 0.5 * octaves]), len(clear))
    picked = order[: min(KEPT, len(clear) - 1)]
    low, high = PRESENTER_HZ
    rest = [clear[i] for i in order[len(picked) :]]
    presenter = max(rest, key=lambda b: (low <= b.f0[0] <= high, b.dnsmos))
    return sorted((clear[i] for i in picked), key=lambda b: b.f0[0]), presenter


def named(blends: list[Blend]) -> dict[str, Blend]:
    """A name by register and number for each, low to high."""
    names: dict[str, Blend] = {}
    for blend in blends:
        register = next((r for top, r in REGISTERS if blend.f0[0] < top), "soprano")
        number = 1 + sum(n.startswith(f"{register}-") for n in names)
        names[f"{register}-{number}"] = blend
    return names


def write(blends: dict[str, Blend], packs: dict[str, Path]) -> None:
    """Numbers and card, atomically."""
    document = tomlkit.document()
    for line in (
        "Stock voices: blends of Kokoro voice packs, nobody's likeness. Made by",
        "scripts/build_styles.py; a style is the weighted mean of its packs' rows 60 to 119.",
    ):
        document.add(tomlkit.comment(line))
    document["licence"] = "Apache-2.0"
    document["source"] = "Kokoro-82M voice packs by hexgrad, as in npm kokoro-js@1.2.1 (Apache-2.0)"
    document["line"] = LINE
    used = sorted({p for b in blends.values() for p in b.packs})
    document["pack_sha256"] = {name: sha256_of(packs[name]) for name in used}
    rows = tomlkit.aot()
    for name, blend in blends.items():
        median, low, high = (round(f, 1) for f in blend.f0)
        rows.append(
            tomlkit.item(
                {
                    "name": name,
                    "f0_median_hz": median,
                    "f0_range_hz": [low, high],
                    "packs": list(blend.packs),
                    "weights": list(blend.weights),
                    "dnsmos": round(blend.dnsmos, 2),
                    "start": name != PRESENTER,
                }
            )
        )
    document["styles"] = rows
    DATA.mkdir(exist_ok=True)
    with atomic_path(DATA / "styles.safetensors") as temporary:
        temporary.write_bytes(save({n: b.style for n, b in blends.items()}))
    with atomic_path(DATA / "styles.toml") as temporary:
        temporary.write_text(tomlkit.dumps(document), "utf-8")


def main() -> None:
    """Build from the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", type=Path)
    folder = parser.parse_args().packs
    packs = read_packs(folder)
    f0 = predicted_f0(packs)
    rng = np.random.default_rng(SEED)
    drawn = [draw(packs, f0, rng) for _ in range(DRAWN)]
    scale = np.std(np.stack(list(packs.values())), axis=0) + 1e-6
    spread = farthest(np.stack([b.style for b in drawn])[:, :128] / scale[:128], SPOKEN)
    blends, presenter = choose([measure(drawn[i]) for i in spread])
    print(f"\n{len(blends)} blends, {blends[0].f0[0]:.0f} to {blends[-1].f0[0]:.0f} Hz")
    write({**named(blends), PRESENTER: presenter}, {n: folder / f"{n}.bin" for n in packs})


if __name__ == "__main__":
    main()
