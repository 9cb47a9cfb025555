"""torchaudio's CTC forced alignment with the network of WAV2VEC2_ASR_BASE_960H.

Its weights are fetched from a server on first use. Where that has happened once on this
machine they are used; else the network keeps random numbers, which cost the same time and
find nothing: then no time is told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from serving import read_wav, serve
from torchaudio.functional import forced_align, merge_tokens
from torchaudio.models import wav2vec2_base
from torchaudio.pipelines import WAV2VEC2_ASR_BASE_960H as BUNDLE

HOP_S = 0.02
FETCHED = Path(torch.hub.get_dir()) / "checkpoints" / str(BUNDLE._path).rsplit("/", 1)[-1]
LETTERS = {c: i for i, c in enumerate(BUNDLE.get_labels())}

torch.manual_seed(0)
TRAINED = FETCHED.is_file()
NETWORK = (BUNDLE.get_model() if TRAINED else wav2vec2_base(aux_num_out=len(LETTERS))).eval()


def files(asked: dict[str, Any]) -> dict[str, Any]:
    """The sound as the network wants it, and the letters of the words."""
    pcm = np.frombuffer(read_wav(asked["wav"]), "<i2").astype(np.float32) / 32768
    words = [[LETTERS[c] for c in w.upper() if c in LETTERS and c != "|"] for w in asked["spoken"]]
    return {"wave": torch.from_numpy(pcm)[None], "words": words}


def align(asked: dict[str, Any]) -> dict[str, Any]:
    """Spoken words as [start, end]; none when the network is not trained."""
    tokens, owners = [], []
    for index, word in enumerate(asked["words"]):
        if tokens:
            tokens, owners = [*tokens, LETTERS["|"]], [*owners, -1]
        tokens, owners = [*tokens, *word], [*owners, *[index] * len(word)]
    with torch.inference_mode():
        emission = NETWORK(asked["wave"])[0].log_softmax(-1)
    try:
        labels, scores = forced_align(emission, torch.tensor([tokens]), blank=0)
    except RuntimeError:  # more letters than frames
        return {"spoken": None, "phones": None}
    spans: dict[int, list[Any]] = {}
    for owner, span in zip(owners, merge_tokens(labels[0], scores[0]), strict=True):
        spans.setdefault(owner, []).append(span)
    if not TRAINED or any(i not in spans for i in range(len(asked["words"]))):
        return {"spoken": None, "phones": None}
    found = [spans[i] for i in range(len(asked["words"]))]
    return {"spoken": [[s[0].start * HOP_S, s[-1].end * HOP_S] for s in found], "phones": None}


serve(align, prepare=files, versions=("torchaudio", "torch"), says={"trained": TRAINED})
