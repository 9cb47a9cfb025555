"""A person's voice as a folder: `voice.toml`, a card to read, and `voice.safetensors`.

    voice = load_voice("voices/anna")            # or load_voice("stock:NAME")
    voice.save(Path("voices/anna"))

The numbers are one style, float32 [256] (0..127 timbre, 128..255 prosody), and, for a
voice fitted to a person, the centroid of their recordings under each speaker encoder.
Stock voices ship with the package: blends of several openly licensed voice packs, nobody's
likeness, to speak with and to start a fit from.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media.errors import WeightsError
from media.files import atomic_path, output_error

if TYPE_CHECKING:
    Floats = NDArray[np.float32]

__all__ = [
    "CARD_NAME",
    "NUMBERS_NAME",
    "PROSODY_SIZE",
    "STYLE_SIZE",
    "Manner",
    "Source",
    "Voice",
    "VoiceScores",
    "WeightsUsed",
    "load_voice",
    "stock_voices",
]

STYLE_SIZE = 256
PROSODY_SIZE = 128  # of it, at its end
CARD_NAME, NUMBERS_NAME = "voice.toml", "voice.safetensors"
_STOCK = "stock:"
_MANNER, _LAYER = "manner.", "layer."
_LARGEST = 64 << 20  # bytes; a voice has a few thousand
_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Source:
    """One recording that went into a voice."""

    file: str
    sha256: str
    minutes: float


@dataclass(frozen=True, slots=True)
class WeightsUsed:
    """Learned numbers that the voice stands on.

    `part` says what a trained voice speaks with: "model" or "reference". Engines that find these
    as files compare them with `sha256` before they speak (`voice.engines._coqui.held_to_card`).
    It is empty for what the voice was merely made from.
    """

    name: str
    sha256: str
    licence: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class VoiceScores:
    """What was measured on sentences that were not fitted; None where it was not.

    `similarity` is the judge's cosine to held-out recordings; `similarity_ceiling` the
    recordings' own to each other; `similarity_best_stock` the nearest stock voice's. `wer`
    is a fraction, `dnsmos` the overall mark 1..5.
    """

    similarity: float | None = None
    similarity_ceiling: float | None = None
    similarity_best_stock: float | None = None
    wer: float | None = None
    dnsmos: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Manner:
    """One way in which the person spoke on their tapes (`voice.deliveries`).

    `prosody` float32 [128] takes the place of the style's second half; `speech_s` and `clips` say
    how much it was learnt from; `measures` are the mean of `voice.delivery.Delivery` there.
    """

    prosody: Floats
    speech_s: float
    clips: int
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """A voice ready to speak.

    `style` float32 [256]; zeros for engines that keep their numbers in a `model` folder beside
    the card. `folder` is where the voice was loaded from. `embeddings` maps an encoder's name
    ("ge2e", "embedder") to the unit-length centroid float32 [256] of the person's recordings.
    `f0_median` and `f0_range` (5th and 95th percentile) in Hz, 0 when unknown. `layers` maps
    names of the engine's styled layers to what they add to the gains and biases that the
    style gives them, float32 [2 channels]. `manners` are the deliveries that were found on the
    person's tapes, by name.

    Raises `WeightsError` when the style, or an embedding, is not 256 finite numbers, or a manner
    not 128.
    """

    name: str
    style: Floats
    engine: str = "kokoro"
    person: str = ""
    consent_id: str = ""
    language: str = "en"
    sources: tuple[Source, ...] = ()
    weights: tuple[WeightsUsed, ...] = ()
    created: str = ""
    scores: VoiceScores = field(default_factory=VoiceScores)
    f0_median: float = 0.0
    f0_range: tuple[float, float] = (0.0, 0.0)
    seed: int = 0
    embeddings: Mapping[str, Floats] = field(default_factory=lambda: MappingProxyType({}))
    folder: Path | None = None
    layers: Mapping[str, Floats] = field(default_factory=lambda: MappingProxyType({}))
    manners: Mapping[str, Manner] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        style = np.ascontiguousarray(self.style, np.float32)
        rows = [("style", style, STYLE_SIZE)]
        rows += [(name, numbers, STYLE_SIZE) for name, numbers in self.embeddings.items()]
        rows += [(name, manner.prosody, PROSODY_SIZE) for name, manner in self.manners.items()]
        for what, numbers, size in rows:
            if np.shape(numbers) != (size,) or not np.isfinite(numbers).all():
                raise WeightsError(
                    f"the {what} of voice '{self.name}' is not {size} finite numbers; fit it again"
                )
        if not all(np.isfinite(extra).all() for extra in self.layers.values()):
            raise WeightsError(f"a layer of voice '{self.name}' is not finite; fit it again")
        style.setflags(write=False)
        object.__setattr__(self, "style", style)

    def delivered(self, manner: str) -> Voice:
        """This voice speaking in one of its `manners`; its name says so.

        Raises `WeightsError` when it has none of that name.
        """
        if manner not in self.manners:
            known = ", ".join(self.manners) or "none: too little speech, or all of one manner"
            raise WeightsError(f"voice '{self.name}' has no delivery '{manner}'; it has: {known}")
        style = np.concatenate([self.style[:-PROSODY_SIZE], self.manners[manner].prosody])
        return replace(self, name=f"{self.name}, {manner}", style=style)

    def save(self, folder: Path) -> None:
        """Write card and numbers into `folder`, made when absent; each file whole or not at all.

        Raises `OutputError` when the folder cannot be written.
        """
        from safetensors.numpy import save

        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error
        arrays = {f"embedding.{k}": np.asarray(v, np.float32) for k, v in self.embeddings.items()}
        for name, manner in self.manners.items():
            arrays[f"{_MANNER}{name}"] = np.asarray(manner.prosody, np.float32)
        for name, extra in self.layers.items():
            arrays[f"{_LAYER}{name}"] = np.asarray(extra, np.float32)
        content = save({"style": np.array(self.style), **arrays})
        # Both are on the disk before either has its name; the card knows its numbers, so that
        # those of another fit are never taken for this voice's.
        with atomic_path(folder / CARD_NAME) as card, atomic_path(folder / NUMBERS_NAME) as numbers:
            numbers.write_bytes(content)
            card.write_text(_card(self, hashlib.sha256(content).hexdigest()), encoding="utf-8")


def load_voice(which: str | Path) -> Voice:
    """The voice in a folder, or the shipped one called "stock:NAME".

    Raises `WeightsError` when there is no such voice or its files are damaged.
    """
    if isinstance(which, str) and which.startswith(_STOCK):
        return _stock_voice(which.removeprefix(_STOCK))
    folder = Path(which)
    if not (folder / CARD_NAME).is_file():
        raise WeightsError(
            f"there is no voice in '{folder}' (no {CARD_NAME}); fit one, or name a stock voice "
            f"such as {_STOCK}{stock_voices()[0]}"
        )
    try:
        card = tomllib.loads((folder / CARD_NAME).read_text("utf-8"))
        arrays = _numbers(folder / NUMBERS_NAME, card.get("numbers_sha256"))
        return replace(_from_card(card, arrays), folder=folder)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise WeightsError(
            f"the voice in '{folder}' cannot be read ({error}); fit it again"
        ) from error


def stock_voices() -> tuple[str, ...]:
    """Names of the shipped voices, low to high pitch, then the Japanese packs.

    These are what a fit may start from. The sample film's presenter is not among them,
    though ``load_voice("stock:mara")`` gives her.
    """
    starts = (name for name, row in _stock_cards().items() if row["start"])
    return (*starts, *_japanese_names())


def _numbers(path: Path, sha256: str | None = None) -> dict[str, Floats]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path.name} is far larger than a voice's numbers")
    content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} is damaged or of another fit than {CARD_NAME}")
    try:
        return dict(load(content))
    except SafetensorError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _card(voice: Voice, numbers_sha256: str) -> str:
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment("A voice. The numbers are beside this card."))
    for key in ("name", "person", "consent_id", "engine", "language", "created", "seed"):
        document[key] = getattr(voice, key)
    document["numbers_sha256"] = numbers_sha256
    document["f0_median_hz"] = round(float(voice.f0_median), 1)
    document["f0_range_hz"] = [round(float(f), 1) for f in voice.f0_range]
    marks = {k: getattr(voice.scores, k) for k in VoiceScores.__dataclass_fields__}
    document["scores"] = {k: round(float(v), 4) for k, v in marks.items() if v is not None}
    for name, manner in voice.manners.items():
        document.setdefault("deliveries", tomlkit.table())[name] = {
            "speech_s": round(manner.speech_s, 1),
            "clips": manner.clips,
            "measures": dict(manner.measures),
        }
    for key, rows in (("sources", voice.sources), ("weights", voice.weights)):
        table = tomlkit.aot()
        for row in rows:
            fields = row.__dataclass_fields__
            values = {k: getattr(row, k) for k in fields}
            table.append(tomlkit.item({k: v for k, v in values.items() if k != "part" or v}))
        if rows:
            document[key] = table
    return tomlkit.dumps(document)


def _named(arrays: Mapping[str, Floats], prefix: str) -> Mapping[str, Floats]:
    found = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    return MappingProxyType(found)


def _from_card(card: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Voice:
    low, high = card["f0_range_hz"]
    return Voice(
        name=str(card["name"]),
        style=arrays["style"],
        engine=str(card["engine"]),
        person=str(card["person"]),
        consent_id=str(card["consent_id"]),
        language=str(card["language"]),
        sources=tuple(Source(**row) for row in card.get("sources", ())),
        weights=tuple(WeightsUsed(**row) for row in card.get("weights", ())),
        created=str(card["created"]),
        scores=VoiceScores(**card.get("scores", {})),
        f0_median=float(card["f0_median_hz"]),
        f0_range=(float(low), float(high)),
        seed=int(card["seed"]),
        embeddings=_named(arrays, "embedding."),
        layers=_named(arrays, _LAYER),
        manners=MappingProxyType(
            {
                name: Manner(
                    arrays[f"{_MANNER}{name}"],
                    float(row["speech_s"]),
                    int(row["clips"]),
                    MappingProxyType({k: float(v) for k, v in row["measures"].items()}),
                )
                for name, row in card.get("deliveries", {}).items()
            }
        ),
    )


# --- shipped voices ----------------------------------------------------------------------


def _stock_cards() -> dict[str, dict[str, Any]]:
    card = tomllib.loads((_DATA / "styles.toml").read_text("utf-8"))
    return {row["name"]: row for row in card["styles"]}


def _japanese_packs() -> Any:
    from weights.registry import locate

    return np.load(locate("kokoro-voices-ja"))


def _japanese_names() -> tuple[str, ...]:
    with _japanese_packs() as packs:
        return tuple(sorted(packs.files))


def _stock_voice(name: str) -> Voice:
    cards = _stock_cards()
    if name in cards:
        row = cards[name]
        style = _numbers(_DATA / "styles.safetensors")[name]
        low, high = row["f0_range_hz"]
        return Voice(
            f"{_STOCK}{name}",
            style,
            f0_median=float(row["f0_median_hz"]),
            f0_range=(float(low), float(high)),
        )
    if name in _japanese_names():
        with _japanese_packs() as packs:
            rows = packs[name].reshape(-1, STYLE_SIZE)
        return Voice(f"{_STOCK}{name}", rows[60:120].mean(0), language="ja")
    raise WeightsError(
        f"there is no stock voice '{name}'; choose one of: {', '.join(stock_voices())}"
    )
