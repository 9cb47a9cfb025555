"""Is this machine fit for work? Every check says what it found and what to do about it.

    for finding in examine():
        print(finding.area, finding.state, finding.what, finding.remedy)

Nothing is repaired and nothing is sent anywhere. `fault` means that commands will fail;
`note` that something works less well, or allows less, than one might expect.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Finding", "State", "examine"]

State = Literal["ok", "note", "fault"]

_PYTHON = ((3, 11), (3, 13))  # from, and below
_ROOM_BYTES = 2 * 1024**3  # a clip of some minutes with its track and its hidden copy
_TIGHT_BYTES = 500 * 1024**2
_MEMORY_BYTES = 4 * 1024**3
_FREE = ("MIT", "Apache", "BSD", "CC0", "CC-BY-4", "ISC", "public", "MPL", "HPND")
_ENCODERS = ("libx264", "prores_ks", "aac", "pcm_s24le")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` is empty where there is nothing to do."""

    area: str
    state: State
    what: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Look at Python, packages, codecs, the processor, weights, disks and keys, in this order."""
    yield _python()
    yield from _packages()
    yield from _codecs()
    yield from _computing()
    yield from _weights()
    yield from _disks()
    yield from _keys()


def _python() -> Finding:
    version = platform.python_version()
    low, high = _PYTHON
    if low <= sys.version_info[:2] < high:
        return Finding("Python", "ok", f"{version} on {platform.system()} {platform.machine()}")
    wanted = f"{low[0]}.{low[1]} or {high[0]}.{high[1] - 1}"
    return Finding(
        "Python",
        "fault",
        f"{version}, which the pinned packages do not support",
        f"make the environment with Python {wanted}",
    )


def _packages() -> Iterator[Finding]:
    """Every package that Wildline asks for, against what is installed."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in requires("wildline") or ()]
    except PackageNotFoundError:
        yield Finding("packages", "fault", "wildline is not installed", "run: pip install wildline")
        return
    fine, optional = 0, []
    for need in wanted:
        extra = need.marker is not None and not need.marker.evaluate({"extra": ""})
        try:
            found = version(need.name)
        except PackageNotFoundError:
            if extra:
                optional.append(need.name)
                continue
            remedy = f'run: pip install "{need.name}{need.specifier}"'
            yield Finding("packages", "fault", f"{need.name} is missing", remedy)
            continue
        if need.specifier.contains(found, prereleases=True):
            fine += 1
            continue
        remedy = f'run: pip install "{need.name}{need.specifier}"'
        what = f"{need.name} {found} is installed, {need.specifier} is needed"
        yield Finding("packages", "note" if extra else "fault", what, remedy)
    yield Finding(
        "packages", "ok", f"wildline {version('wildline')} with {fine} packages as pinned"
    )
    if "ray" in optional:
        what = "ray is absent: productions run on this machine only"
        yield Finding(
            "packages", "note", what, 'for several machines: pip install "wildline[cluster]"'
        )


def _codecs() -> Iterator[Finding]:
    """The encoders that deliveries are written with."""
    try:
        import av
        from av.codec import codecs_available
    except ImportError as error:
        yield Finding("codecs", "fault", f"PyAV does not load: {error}", "run: pip install av")
        return
    absent = [name for name in _ENCODERS if name not in codecs_available]
    if absent:
        what = f"this build of PyAV {av.__version__} lacks {', '.join(absent)}"
        remedy = "run: pip install --force-reinstall --only-binary :all: av"
        yield Finding("codecs", "fault", what, remedy)
    else:
        yield Finding("codecs", "ok", f"PyAV {av.__version__} writes {', '.join(_ENCODERS)}")


def _computing() -> Iterator[Finding]:
    from media.errors import WeightsError

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = _memory_bytes()
    known = "" if memory is None else f", {memory / 1024**3:.0f} GB of memory"
    if memory is not None and memory < _MEMORY_BYTES:
        remedy = "close other programs, and run batches with --jobs 1"
        yield Finding("computer", "note", f"{cores} cores{known}: less than 4 GB", remedy)
    else:
        yield Finding("computer", "ok", f"{cores} cores{known}")
    try:
        import torch

        from weights.device import best_device

        device = best_device()
    except ImportError as error:
        yield Finding("torch", "fault", f"does not load: {error}", "run: pip install torch==2.11.0")
        return
    except WeightsError as error:
        yield Finding("torch", "fault", str(error), "unset WILDLINE_DEVICE")
        return
    if device.startswith("cuda"):
        card = torch.cuda.get_device_properties(device)
        what = f"{torch.__version__} on {card.name}, {card.total_memory / 1024**3:.0f} GB"
        yield Finding("torch", "ok", what)
    elif shutil.which("nvidia-smi"):
        what = f"{torch.__version__} on the processor, although a driver for an NVIDIA card is here"
        remedy = f"update the driver to one for CUDA {torch.version.cuda or '12'} or later"
        yield Finding("torch", "note", what, remedy)
    else:
        yield Finding("torch", "ok", f"{torch.__version__} on {device}")


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None  # Windows


def _weights() -> Iterator[Finding]:
    """Every registered file of learned numbers: present, unaltered, and what it allows."""
    from media.errors import WildlineError
    from weights.registry import all_weights, locate

    for weight in all_weights():
        try:
            locate(weight.name)
        except WildlineError as error:
            state: State = "note" if weight.source == "user" else "fault"
            yield Finding("weights", state, str(error), weight.remedy)
            continue
        proof = f"sha256 {weight.sha256[:12]}"
        if weight.licence.startswith(_FREE):
            yield Finding("weights", "ok", f"{weight.name}: {weight.licence}, {proof}")
        else:
            what = f"{weight.name}: {weight.licence}, {proof}"
            yield Finding("weights", "note", what, weight.note)


def _disks() -> Iterator[Finding]:
    from media.files import user_cache_dir

    places = {"cache": user_cache_dir(), "temporary files": Path(tempfile.gettempdir())}
    for name, place in places.items():
        standing = _standing(place)
        if not os.access(standing, os.W_OK | os.X_OK):
            what = f"{name}: '{standing}' is not writable"
            yield Finding("disk", "fault", what, f"run: chmod u+rwx '{standing}'")
            continue
        free = shutil.disk_usage(standing).free
        what = f"{name}: {free / 1024**3:.1f} GB free at '{place}'"
        if free >= _ROOM_BYTES:
            yield Finding("disk", "ok", what)
        else:
            state: State = "fault" if free < _TIGHT_BYTES else "note"
            where = "WILDLINE_CACHE" if name == "cache" else "TMPDIR"
            yield Finding("disk", state, what, f"free some space, or set {where} to another disk")


def _standing(place: Path) -> Path:
    """`place`, or the nearest folder above it that exists."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _keys() -> Iterator[Finding]:
    """The signing key, if one has been made: readable by its owner alone."""
    from media.errors import WildlineError
    from studio.certificate import CERT_ENV, KEY_ENV, load_identity, user_data_dir

    chosen = any(os.environ.get(name) for name in (CERT_ENV, KEY_ENV))
    if not chosen and not any((user_data_dir() / "certificates").glob("*")):
        what = "no certificate yet; one of this machine is made with the first delivery"
        yield Finding("certificate", "ok", what)
        return
    try:
        identity = load_identity()
    except WildlineError as error:
        yield Finding("certificate", "fault", str(error), "see docs/consent.md, Certificates")
        return
    yield Finding("certificate", "ok", f"{identity.subject}, sha256 {identity.fingerprint[:12]}")
