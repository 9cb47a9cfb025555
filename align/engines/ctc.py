"""Alignment with any wav2vec 2.0 model that spells: a torchaudio bundle or a local folder.

    aligner = CtcAligner("models/wav2vec2-base-960h")     # Hugging Face layout, read locally
    aligner = CtcAligner("WAV2VEC2_ASR_BASE_960H")        # torchaudio fetches it once
    aligner.licence                                       # what its card says

Such a model says for every 20 ms which letter is heard; `torchaudio.functional.forced_align`
lays the letters of the text on that (Kuerzinger et al. 2020). Letters come in short peaks,
so words are widened to where the sound changes, and phones are shared out inside a word and
moved to changes of the sound. Many sounds at once are one batch on a GPU (`align_batch`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align.engines.sphinx import check_fits
from align.phones import VOWELS, without_stress
from align.refine import loudness, phrase_end, phrase_start, refine_edges, speech_level
from align.timing import Span, Timing
from media.errors import AlignError, EngineMissingError, WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align.text import Script
    from media.audio import Sound

    Floats = NDArray[np.float32]

__all__ = ["CtcAligner", "SpelledWord", "spelled_words"]

_RATE = 16_000
_HOP_S = 0.02
# A frame sees 25 ms from index * 20 ms on; the border between two lies in the middle.
_LAG_S = 0.0025
_BATCH_S = 60.0
_PAUSE_S = 0.15
_LEAST_S = 0.004
_BUNDLE_LICENCES = {
    "MMS_FA": "CC-BY-NC-4.0: not for a film that earns money",
    "WAV2VEC2_ASR": "MIT",
    "HUBERT_ASR": "MIT",
    "VOXPOPULI_ASR": "CC-BY-NC-4.0: not for a film that earns money",
}


@dataclass(frozen=True, slots=True)
class _Model:
    """`emit` turns a batch of 16 kHz samples into log posteriors [frames, letters] each."""

    emit: Callable[[Sequence[Floats]], list[Any]]
    letters: Mapping[str, int]
    blank: int
    licence: str


@dataclass(frozen=True, slots=True)
class SpelledWord:
    """Frames [start, stop) of a word's letters and their mean log posterior; a word without
    letters that the model knows has start == stop.
    """

    start: int
    stop: int
    score: float


class CtcAligner:
    """See the module. `model` is a folder or the name of a torchaudio bundle; `device` is
    chosen by `weights.device.best_device` when None.

    Raises `EngineMissingError` when there is no such model.
    """

    name = "ctc"

    def __init__(self, model: str | Path | None = None, device: str | None = None) -> None:
        if model is None:
            raise EngineMissingError(
                "the ctc aligner needs a model: give the folder of a wav2vec 2.0 checkpoint "
                "or the name of a torchaudio bundle"
            )
        if device is None:
            from weights.device import best_device

            device = best_device()
        self.device = device
        self._model = _loaded(str(model), device)

    @property
    def licence(self) -> str:
        """The licence that the model's card names, or that none is named."""
        return self._model.licence

    def align(self, sound: Sound, script: Script) -> Timing:
        """Time every word and phone of `script`; raises `AlignError` when they cannot fit."""
        return self.align_batch([(sound, script)])[0]

    def align_batch(self, pairs: Sequence[tuple[Sound, Script]]) -> list[Timing]:
        """Align many sounds, those of like length together; results in the order given."""
        from media.audio import resample

        for sound, script in pairs:
            check_fits(script, float(sound.duration_s))
        order = sorted(range(len(pairs)), key=lambda i: pairs[i][0].duration_s)
        found: dict[int, Timing] = {}
        while order:
            longest = float(pairs[order[-1]][0].duration_s)
            size = max(1, int(_BATCH_S / max(longest, 0.1)))
            group, order = order[-size:], order[:-size]
            heard = self._model.emit([resample(pairs[i][0], _RATE).samples for i in group])
            for index, log_posteriors in zip(group, heard, strict=True):
                found[index] = self._timed(*pairs[index], log_posteriors)
        return [found[i] for i in range(len(pairs))]

    def _timed(self, sound: Sound, script: Script, log_posteriors: Any) -> Timing:
        words = [_spelling(w.spoken, self._model.letters) for w in script.words]
        delimiter = self._model.letters.get("|")
        spelled = spelled_words(log_posteriors, words, self._model.blank, delimiter)
        return _timing(sound, script, spelled)


def _spelling(word: str, letters: Mapping[str, int]) -> list[int]:
    """The numbers of those letters of `word` that the model has, in either case."""
    found = []
    for letter in word:
        number = next(
            (letters[c] for c in (letter, letter.lower(), letter.upper()) if c in letters), None
        )
        if number is not None and letter != "|":
            found.append(number)
    return found


def spelled_words(
    log_posteriors: Any, words: Sequence[Sequence[int]], blank: int, delimiter: int | None
) -> list[SpelledWord]:
    """Lay `words` (numbers of letters) on `log_posteriors`, a tensor [frames, letters].

    Raises `AlignError` when there are fewer frames than the letters need.
    """
    import torch
    from torchaudio.functional import forced_align, merge_tokens

    tokens: list[int] = []
    owners: list[int] = []
    for index, word in enumerate(words):
        if tokens and word and delimiter is not None:
            tokens, owners = [*tokens, delimiter], [*owners, -1]
        tokens, owners = [*tokens, *word], [*owners, *([index] * len(word))]
    repeats = sum(a == b for a, b in pairwise(tokens))
    if not tokens or len(tokens) + repeats > len(log_posteriors):
        raise AlignError(
            f"{len(tokens)} letters cannot be found in {len(log_posteriors)} frames of sound; "
            "give the text of this sound"
        )
    labels, scores = forced_align(
        log_posteriors[None].float().cpu(), torch.tensor([tokens]), blank=blank
    )
    inside: dict[int, list[Any]] = {}
    for owner, span in zip(owners, merge_tokens(labels[0], scores[0], blank), strict=True):
        inside.setdefault(owner, []).append(span)
    found: list[SpelledWord] = []
    at = 0
    for index in range(len(words)):
        spans = inside.get(index)
        if spans:
            score = float(np.mean([s.score for s in spans]))
            found.append(SpelledWord(spans[0].start, spans[-1].end, score))
            at = spans[-1].end
        else:
            found.append(SpelledWord(at, at, -10.0))
    return found


# ------------------------------------------------------------------------- from words to phones


def _timing(sound: Sound, script: Script, spelled: Sequence[SpelledWord]) -> Timing:
    """Words between the gaps of their letters, phones shared out inside them."""
    duration = float(sound.duration_s)
    borders = _borders(sound, script, spelled)
    edges: list[float] = []
    owners: list[int] = []
    for index, (start, end) in enumerate(borders):
        phones = script.words[index].phones
        weights = [1.6 if without_stress(p) in VOWELS else 1.0 for p in phones]
        shares = np.concatenate([[0.0], np.cumsum(weights) / np.sum(weights)])
        edges += [start + float(s) * (end - start) for s in shares]
        owners += [index] * len(phones)
    places = sorted({round(e, 6) for e in edges})
    moved = refine_edges(sound, places, spread_s=0.015, reach_s=0.03)
    place = dict(zip(places, moved, strict=True))
    return _spans(script, spelled, [place[round(e, 6)] for e in edges], duration)


def _borders(
    sound: Sound, script: Script, spelled: Sequence[SpelledWord]
) -> list[tuple[float, float]]:
    """Start and end of every spoken word. Between two words whose letters are near each other
    lies one border, in the middle; a longer gap is a pause, from where the sound falls silent
    to where it begins again.
    """
    levels = loudness(sound)
    loud = levels > speech_level(levels)
    duration = float(sound.duration_s)
    times = [[w.start * _HOP_S + _LAG_S, w.stop * _HOP_S + _LAG_S] for w in spelled]
    lows = [0.0, *(t[1] for t in times[:-1])]
    for index, low in enumerate(lows):
        start = times[index][0]
        first = without_stress(script.words[index].phones[0])
        if index == 0:
            times[0][0] = min(phrase_start(loud, max(low, start - 0.3), start + 0.02, first), start)
        elif start - low < _PAUSE_S:
            times[index][0] = times[index - 1][1] = 0.5 * (low + start)
        else:
            times[index - 1][1] = max(low, phrase_end(loud, low, 0.5 * (low + start)))
            heard = phrase_start(loud, 0.5 * (low + start), start + 0.02, first)
            times[index][0] = min(heard, start)
    times[-1][1] = max(times[-1][1], phrase_end(loud, times[-1][1], times[-1][1] + 0.4))
    return [(max(0.0, a), min(max(a + 0.01, b), duration)) for a, b in times]


def _spans(
    script: Script, spelled: Sequence[SpelledWord], edges: Sequence[float], duration: float
) -> Timing:
    """Spans in order, inside the sound, none without a length; `edges` are those of each
    word's phones, one more than it has phones.
    """
    left = sum(len(w.phones) for w in script.words)
    least = min(_LEAST_S, duration / (2 * left))
    phones: list[tuple[int, Span]] = []
    at, position = 0.0, 0
    for index, word in enumerate(script.words):
        sure = float(np.clip(np.exp(spelled[index].score), 0.02, 0.95))
        for offset, phone in enumerate(word.phones):
            start = min(max(edges[position + offset], at), duration - left * least)
            left -= 1
            end = max(edges[position + offset + 1], start + least)
            at = min(end, duration - left * least)
            phones.append((index, Span(without_stress(phone), start, at, sure)))
        position += len(word.phones) + 1
    words: list[Span] = []
    for first, last in script.written_words():
        inside = [s for w, s in phones if first <= w < last]
        sure = float(np.mean([s.confidence for s in inside]))
        written = script.words[first].written
        words.append(Span(written, inside[0].start_s, inside[-1].end_s, sure))
    return Timing(tuple(words), tuple(s for _, s in phones), duration, engine="ctc")


# ---------------------------------------------------------------------------------- models


@cache
def _loaded(model: str, device: str) -> _Model:
    folder = Path(model)
    if folder.is_dir():
        return _from_folder(folder, device)
    import torchaudio

    bundle = getattr(torchaudio.pipelines, model, None)
    if bundle is None or not hasattr(bundle, "get_labels"):
        raise EngineMissingError(
            f"'{model}' is neither a folder with a wav2vec 2.0 checkpoint nor a torchaudio "
            "bundle that spells, like WAV2VEC2_ASR_BASE_960H; name one of these"
        )
    return _from_bundle(model, bundle, device)


def _from_bundle(name: str, bundle: Any, device: str) -> _Model:
    import torch

    star = {"with_star": False} if name == "MMS_FA" else {}
    try:
        network = bundle.get_model(**star).to(device).eval()
    except (OSError, RuntimeError) as error:
        raise EngineMissingError(
            f"torchaudio cannot fetch {name} ({type(error).__name__}); connect once, or give "
            "the folder of a checkpoint that is on this machine"
        ) from error
    labels = bundle.get_labels(star=None) if name == "MMS_FA" else bundle.get_labels()
    normalise = bool(getattr(bundle, "_normalize_waveform", False)) and name != "MMS_FA"

    def emit(sounds: Sequence[Floats]) -> list[Any]:
        made = []
        for samples in sounds:  # these models have no mask for the feature encoder's padding
            wave = torch.from_numpy(_normalised(samples) if normalise else samples).to(device)
            with torch.inference_mode():
                made.append(network(wave[None])[0][0].log_softmax(-1).cpu())
        return made

    licence = next((v for k, v in _BUNDLE_LICENCES.items() if name.startswith(k)), "not named")
    return _Model(emit, {c: i for i, c in enumerate(labels)}, 0, licence)


def _normalised(samples: Floats) -> Floats:
    spread = np.sqrt(samples.var() + 1e-7)
    return np.asarray((samples - samples.mean()) / spread, dtype=np.float32)


def _from_folder(folder: Path, device: str) -> _Model:
    """A Hugging Face folder: config.json, vocab.json and the weights, read locally."""
    try:
        from transformers import Wav2Vec2ForCTC
    except ImportError as error:
        raise EngineMissingError(
            "the ctc aligner reads folders with transformers; run: pip install transformers"
        ) from error
    try:
        network: Any = Wav2Vec2ForCTC.from_pretrained(str(folder), local_files_only=True)
        letters: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"'{folder}' is not a wav2vec 2.0 checkpoint with config.json, vocab.json and "
            "weights; give the folder as it was published"
        ) from error
    network.to(device).eval()
    masked = network.config.feat_extract_norm == "layer"
    preparation = folder / "preprocessor_config.json"
    normalise = True
    if preparation.exists():
        normalise = bool(json.loads(preparation.read_text("utf-8")).get("do_normalize", True))

    def emit(sounds: Sequence[Floats]) -> list[Any]:
        prepared = [_normalised(s) if normalise else s for s in sounds]
        if masked:
            return _emitted(network, prepared, device, masked=True)
        # Without a mask a neighbour's length would change what is heard: one at a time.
        return [_emitted(network, [s], device, masked=False)[0] for s in prepared]

    blank = int(network.config.pad_token_id or 0)
    return _Model(emit, letters, blank, _licence_of(folder))


def _emitted(network: Any, sounds: Sequence[Floats], device: str, *, masked: bool) -> list[Any]:
    """One padded batch through the network; log posteriors cut to each sound's frames."""
    import torch

    longest = max(len(s) for s in sounds)
    batch = torch.zeros(len(sounds), longest)
    mask = torch.zeros(len(sounds), longest, dtype=torch.long)
    for row, samples in enumerate(sounds):
        batch[row, : len(samples)] = torch.from_numpy(samples)
        mask[row, : len(samples)] = 1
    extra = {"attention_mask": mask.to(device)} if masked else {}
    with torch.inference_mode():
        logits = network(batch.to(device), **extra).logits.float().log_softmax(-1).cpu()
    counts = network._get_feat_extract_output_lengths(torch.tensor([len(s) for s in sounds]))
    return [logits[row, : int(count)] for row, count in enumerate(counts)]


def _licence_of(folder: Path) -> str:
    """The licence in the head of the model's README.md, if it names one."""
    card = folder / "README.md"
    if card.exists():
        head = card.read_text("utf-8", errors="replace")[:4000]
        found = re.search(r"^licen[sc]e:\s*(\S+)", head, re.MULTILINE | re.IGNORECASE)
        if found:
            return found.group(1)
    return "not named; ask whoever published the checkpoint"
