"""A trained face as a folder: `face.toml`, a card to read, `face.safetensors`, and the judge.

    model = load_face(Path("faces/anna"))
    model.card.person, model.card.scores["psnr"]

Nothing is unpickled. A card and numbers that do not belong together are refused.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media.errors import WeightsError
from media.files import atomic_path, output_error, sha256_of

if TYPE_CHECKING:
    from torch import Tensor

    from lipsync.engines._mouthnet_net import MouthNet, NetShape

__all__ = [
    "CARD_NAME",
    "JUDGE_NAME",
    "LICENCE_NOTE",
    "NUMBERS_NAME",
    "FaceCard",
    "FaceModel",
    "Footage",
    "load_face",
    "load_tensors",
    "read_card",
    "save_face",
    "save_tensors",
]

CARD_NAME, NUMBERS_NAME, JUDGE_NAME = "face.toml", "face.safetensors", "judge.safetensors"
_FORMAT = 1
# What the entries of a card are; whole numbers are numbers too.
_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("person", "preset", "consent_id", "project", "sha256"), (str,)),
    **dict.fromkeys(("started_from", "device", "created", "licence", "file"), (str,)),
    **dict.fromkeys(("seed", "steps", "size", "references", "width", "depth"), (int,)),
    **dict.fromkeys(("minutes", "trained_s", "seconds"), (int, float)),
    **dict.fromkeys(("network", "scores"), (dict,)),
}
_WORDS = {str: "text", int: "a whole number", float: "a number", dict: "a table"}
_LARGEST = 2**63  # of whole numbers in TOML

#: What whoever holds a trained face must know.
LICENCE_NOTE = (
    "learnt from the person's own footage under their consent: use it for that person and project "
    "alone; no trained face ships with the product"
)


@dataclass(frozen=True, slots=True)
class Footage:
    """A film that a face was learnt from."""

    file: str
    sha256: str
    seconds: float


@dataclass(frozen=True, slots=True)
class FaceCard:
    """What a trained face is: whose, from what, how, and how good on frames not learnt from.

    `minutes` of footage were learnt from in `steps` steps, `trained_s` seconds of work.
    `network` is the architecture (`NetShape`); `sha256` of the numbers beside the card;
    `started_from` the sha256 of the face it was warm-started from. `scores` on held-out frames:
    psnr (dB), ssim, lip_error (eye distances); with `copy_` before the name the same of copying
    the reference, which a network must beat. `curve` is (step, seconds, held-out error).
    """

    person: str
    preset: str
    seed: int
    steps: int
    minutes: float
    network: Mapping[str, int]
    consent_id: str = ""
    project: str = ""
    sha256: str = ""
    started_from: str = ""
    trained_s: float = 0.0
    device: str = "cpu"
    created: str = ""
    licence: str = LICENCE_NOTE
    scores: Mapping[str, float] = field(default_factory=dict)
    footage: tuple[Footage, ...] = ()
    curve: tuple[tuple[int, float, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FaceModel:
    """A card and its network, ready to draw."""

    card: FaceCard
    network: MouthNet


def save_face(
    folder: Path,
    card: FaceCard,
    network: Mapping[str, Tensor],
    judge: Mapping[str, Tensor],
    *,
    record: Callable[[FaceCard], object] | None = None,
) -> FaceCard:
    """Write numbers and card into `folder`, made when absent. Returns the card as read.

    `record` is shown the card before anything appears: when it raises, nothing does. Raises
    `OutputError` when the folder cannot be written.
    """
    from dataclasses import replace

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    # Left in the opposite order: numbers take their names first, the card, by which a face is
    # known, last.
    with (
        atomic_path(folder / CARD_NAME) as written,
        atomic_path(folder / JUDGE_NAME) as judged,
        atomic_path(folder / NUMBERS_NAME) as numbers,
    ):
        judged.write_bytes(_stored(judge))
        numbers.write_bytes(_stored(network))
        card = replace(card, sha256=sha256_of(numbers))
        written.write_text(_card_text(card), encoding="utf-8")
        if record is not None:
            record(card)
    return read_card(folder)


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors, whole or not at all; same tensors, same bytes."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(_stored(tensors))


def _stored(tensors: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return bytes(save(plain))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors. Raises `WeightsError` when there are none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"'{path}' cannot be read as learnt numbers; copy the face's folder whole, or train it "
            "again"
        ) from error


def read_card(folder: Path) -> FaceCard:
    """The card of the face in `folder`.

    Raises `WeightsError` when there is no face, or the card is of another kind.
    """
    path = folder / CARD_NAME
    if not path.is_file():
        raise WeightsError(
            f"there is no trained face in '{folder}' (no {CARD_NAME}); train one with: wildline "
            f"train-face FOOTAGE -o {folder}"
        )
    try:
        facts = tomllib.loads(path.read_text("utf-8"))
        if facts.pop("format") != _FORMAT:
            raise ValueError("another format")
        films = tuple(Footage(**_typed(row)) for row in facts.pop("footage", ()))
        curve = tuple((int(s), float(t), float(e)) for s, t, e in facts.pop("curve", ()))
        for name, value in dict(_typed(facts).get("scores", {})).items():
            _expect(name, value, (int, float))
        _typed(facts["network"])
        return FaceCard(**facts, footage=films, curve=curve)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise WeightsError(
            f"'{path}' is not the card of a trained face of this version ({why}); train it again"
        ) from error


def _typed(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """`facts`, once every entry that is known is of its kind. Raises `TypeError`."""
    for name, value in facts.items():
        _expect(name, value, _KINDS.get(name, (object,)))
    return facts


def _expect(name: str, value: object, kinds: tuple[type, ...]) -> None:
    fits = isinstance(value, kinds) and (object in kinds or not isinstance(value, bool))
    if not fits:
        raise TypeError(f"'{name}' is not {_WORDS[kinds[-1]]}")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError(f"'{name}' is beyond all bounds")


def load_face(folder: Path) -> FaceModel:
    """The trained face in `folder`, in evaluation mode on the CPU.

    Raises `WeightsError` in one line: no face there, a truncated or altered file, numbers that
    are not the card's, another architecture.
    """
    from lipsync.engines._mouthnet_net import MouthNet

    folder = Path(folder)
    card = read_card(folder)
    numbers = folder / NUMBERS_NAME
    tensors = load_tensors(numbers)
    if hashlib.sha256(numbers.read_bytes()).hexdigest() != card.sha256:
        raise WeightsError(
            f"'{numbers}' is not what its card describes (truncated, altered, or another face's); "
            "copy the face's folder whole, or train it again"
        )
    network = MouthNet(net_shape(card, folder))
    load_into(network, tensors, numbers)
    return FaceModel(card, network.eval())


def net_shape(card: FaceCard, folder: Path) -> NetShape:
    """The architecture that a card names. Raises `WeightsError` for one that cannot be built."""
    from lipsync.engines._mouthnet_net import NetShape

    try:
        return NetShape(**card.network)
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"the face in '{folder}' has a network of another kind ({error}); train it again"
        ) from error


def load_into(network: Any, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put `tensors` into `network`. Raises `WeightsError` naming the first that does not fit."""
    own = network.state_dict()
    for name in [*own, *tensors]:
        have = tuple(tensors[name].shape) if name in tensors else None
        want = tuple(own[name].shape) if name in own else None
        if have != want:
            raise WeightsError(
                f"'{path}' is of another architecture ('{name}' is {have}, not {want}); train the "
                "face again"
            )
    network.load_state_dict(dict(tensors))


def _card_text(card: FaceCard) -> str:
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment("A trained face. The numbers are beside this card."))
    facts = {"format": _FORMAT, **asdict(card)}
    films, curve = facts.pop("footage"), facts.pop("curve")
    document.update({k: v for k, v in facts.items() if not isinstance(v, dict)})
    document["curve"] = [[s, round(t, 1), round(e, 6)] for s, t, e in curve]
    document["network"] = dict(card.network)
    document["scores"] = {k: round(float(v), 5) for k, v in card.scores.items()}
    rows = tomlkit.aot()
    for film in films:
        rows.append(tomlkit.item(film))
    if films:
        document["footage"] = rows
    return tomlkit.dumps(document)
