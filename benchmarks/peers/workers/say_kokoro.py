"""The package kokoro (PyTorch): `say_kokoro.py CONFIG.json STATE.npz VOICES.npz`.

Its weights are on a hub. The same numbers are in STATE.npz, read from the int8 ONNX file, by
the names of the published checkpoint but with each weight-normalised layer as one `weight`.
The pipeline is made for the language "e" so that it fetches no tagger: it gets phonemes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kokoro import KModel, KPipeline
from serving import serve


def model(config: Path, state: Path) -> KModel:
    """`KModel` with all numbers of `state`."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.pth"
        torch.save({}, empty)
        made = KModel(
            repo_id="hexgrad/Kokoro-82M", config=json.loads(config.read_text()), model=str(empty)
        )
    with np.load(state) as stored:
        numbers = {name: torch.from_numpy(stored[name]) for name in stored.files}
    given = {name: _numbers(name, numbers) for name in made.state_dict()}
    lacking = [n for n, v in given.items() if v is None]
    # Instance norms have slopes that the checkpoint leaves at 1 and 0; nothing reads the pooler.
    unread = ("norm.weight", "norm.bias", "pooler.weight", "pooler.bias")
    strange = [n for n in lacking if not n.endswith(unread)]
    if strange:
        raise SystemExit(f"{len(strange)} tensors are not in {state}, {strange[0]} first")
    made.load_state_dict({n: v for n, v in given.items() if v is not None}, strict=False)
    return made.eval()


def _numbers(name: str, numbers: dict[str, torch.Tensor]) -> torch.Tensor | None:
    if name in numbers:
        return numbers[name]
    whole = numbers.get(name.removesuffix("_v").removesuffix("_g"))
    if whole is None:
        return None
    length = whole.reshape(len(whole), -1).norm(dim=1)
    if name.endswith("_g"):
        return length.reshape(-1, *[1] * (whole.dim() - 1))
    direction = whole.clone()
    direction[length == 0] = 1.0  # rows that int8 made nought: any direction of length nought
    return direction


MODEL = model(Path(sys.argv[1]), Path(sys.argv[2]))
PIPELINE = KPipeline(lang_code="e", repo_id="hexgrad/Kokoro-82M", model=MODEL)
with np.load(sys.argv[3]) as voices:
    PACK = torch.from_numpy(voices["same"])


def say(asked: dict[str, Any]) -> dict[str, Any]:
    """One line."""
    parts = list(PIPELINE.generate_from_tokens(asked["phonemes"], voice=PACK))
    sound = torch.cat([part.audio for part in parts])
    return {"samples": sound, "rate": 24_000}


serve(say, versions=("kokoro", "torch", "numpy"))
