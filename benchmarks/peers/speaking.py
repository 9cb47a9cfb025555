"""Speaking: the same phonemes in the same style, by Wildline, kokoro-onnx and kokoro.

All three have the numbers of one file: kokoro-onnx runs it as it is, Wildline cut into stages
(so that durations and curves can be replaced, and the timing is exact), kokoro as the PyTorch
model that its numbers are converted for. What was said is heard by the same recogniser.
"""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.environments import ROOT, PeerError, Worker
from benchmarks.peers.tables import Result, ratio
from benchmarks.voice import LINES

VOICE = "tenor-1"
OURS = "Wildline, engine kokoro (int8 ONNX)"
COLUMNS = {
    "who": "",
    "sound s": ".2f",
    "wall s": ".2f",
    "RTF": ".2f",
    "CPU s": ".2f",
    "CPU s/s": ".2f",
    "WER": ".3f",
    "DNSMOS": ".2f",
    "peak MB": ".0f",
    "wall / ours": ".2f",
    "CPU / ours": ".2f",
}
NOTE = """\
{lines} lines in one stock voice, phonemes in, sound out; {counted}
after one to warm up, engines in turn. RTF is wall-clock time over length of
sound, which kokoro-onnx trims: compare seconds, not RTF. Ours includes the exact timing of words
and phones, which the others do not give. kokoro-onnx is used as its documentation says, so its
idle threads spin while they wait for work, which costs processor time and saves wall-clock time;
ours sleep."""
# What stands in the model's public config.json beside the vocabulary.
_CONFIG: dict[str, Any] = {
    "istftnet": {
        "upsample_kernel_sizes": [20, 12],
        "upsample_rates": [10, 6],
        "gen_istft_hop_size": 5,
        "gen_istft_n_fft": 20,
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
        "resblock_kernel_sizes": [3, 7, 11],
        "upsample_initial_channel": 512,
    },
    **{"dim_in": 64, "dropout": 0.2, "hidden_dim": 512, "max_conv_dim": 512, "max_dur": 50},
    **{"multispeaker": True, "n_layer": 3, "n_mels": 80, "n_token": 178, "style_dim": 128},
    "text_encoder_kernel_size": 5,
    "plbert": {
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 2048,
        "max_position_embeddings": 512,
        "num_hidden_layers": 12,
        "dropout": 0.1,
    },
}


def note(runs: int) -> str:
    """What stands under the table of so many runs."""
    many = f"the median wall and the least processor time of {runs} runs"
    counted = many if runs > 1 else "wall and processor time of one run"
    return NOTE.format(lines=len(LINES), counted=counted)


@dataclass
class Speaker:
    """One engine's costs, line by line, and where its sounds lie."""

    who: str
    worker: Worker
    folder: Path
    wall: list[list[float]] = field(default_factory=lambda: [[] for _ in LINES])
    cpu: list[list[float]] = field(default_factory=lambda: [[] for _ in LINES])
    sound_s: list[float] = field(default_factory=lambda: [0.0 for _ in LINES])
    peak_mb: float = 0.0

    def say(self, line: int, phonemes: str) -> None:
        """One line; the first time is to warm up and not counted."""
        out = str(self.folder / f"{line}.wav")
        told = self.worker.ask({"text": LINES[line], "phonemes": phonemes, "out": out})
        if self.sound_s[line]:
            self.wall[line].append(told["wall_s"])
            self.cpu[line].append(told["cpu_s"])
        self.sound_s[line] = told["sound_s"]
        self.peak_mb = max(self.peak_mb, told["peak_mb"])

    def row(self) -> dict[str, Any]:
        """Sums over the lines: of the median wall, of the least processor time."""
        wall = sum(statistics.median(times) for times in self.wall)
        cpu, sound = sum(map(min, self.cpu)), sum(self.sound_s)
        heard = marks([self.folder / f"{n}.wav" for n in range(len(LINES))], LINES)
        return {
            "who": self.who,
            **{"sound s": sound, "wall s": wall, "RTF": wall / sound},
            **{"CPU s": cpu, "CPU s/s": cpu / sound, "peak MB": self.peak_mb, **heard},
        }


def marks(paths: Sequence[Path], texts: Sequence[str]) -> dict[str, float]:
    """Mean word error rate and DNSMOS of recordings."""
    from media.audio import read_sound
    from voice.scores import intelligibility, naturalness

    sounds = [read_sound(path) for path in paths]
    wers = [intelligibility(s, t).wer for s, t in zip(sounds, texts, strict=True)]
    return {
        "WER": statistics.mean(wers),
        "DNSMOS": statistics.mean(naturalness(s) for s in sounds),
    }


def run(result: Result, scratch: Path, *, runs: int, data: Path | None) -> None:
    """Fill `result`."""
    from align.text import speakable

    phonemes = [speakable(line).kokoro for line in LINES]
    result.rows += truths(data)
    with ExitStack() as stack:
        speakers: list[Speaker] = []
        for who, peer, script, files in engines(scratch):
            folder = scratch / f"said-{len(speakers)}-{peer or 'ours'}"
            folder.mkdir()
            try:
                start = Worker.ours if peer is None else Worker.peer
                worker = start(*([script] if peer is None else [peer, script]), *files)
            except PeerError as error:
                result.notes.append(f"Left out: {error}.")
                continue
            stack.enter_context(worker)
            if peer is not None:
                result.versions[peer] = worker.versions
            speakers.append(Speaker(who, worker, folder))
        for _ in range(runs + 1):  # in turn, so that other work on the machine falls on all
            for line, text in enumerate(phonemes):
                for speaker in list(speakers):
                    try:
                        speaker.say(line, text)
                    except PeerError as error:
                        result.notes.append(f"Left out: {error}.")
                        speakers.remove(speaker)
        rows = [speaker.row() for speaker in speakers]
    ours = next((row for row in rows if row["who"] == OURS), {})
    for row in rows:
        if row is not ours:
            row["wall / ours"] = ratio(row["wall s"], ours.get("wall s"))
            row["CPU / ours"] = ratio(row["CPU s"], ours.get("CPU s"))
    result.rows += rows
    result.notes.append(note(runs))


def engines(scratch: Path) -> Iterator[tuple[str, str | None, str, list[object]]]:
    """(name in the table, its environment, its worker, the worker's arguments)."""
    from weights import locate

    onnx = locate("kokoro-onnx")
    config, state, voices = (scratch / n for n in ("config.json", "state.npz", "voices.npz"))
    prepare(onnx, config, state, voices)
    yield OURS, None, "say_ours.py", [VOICE]
    yield "kokoro-onnx, int8 ONNX", "kokoro-onnx", "say_kokoro_onnx.py", [onnx, voices]
    yield "kokoro (PyTorch, fp32)", "kokoro", "say_kokoro.py", [config, state, voices]


def prepare(onnx: Path, config: Path, state: Path, voices: Path) -> None:
    """The same model and voice as files that the others read."""
    from voice.engines.kokoro_weights import read_state
    from voice.voice import load_voice
    from weights import locate

    vocabulary = json.loads(locate("kokoro-vocab").read_text("utf-8"))
    config.write_text(json.dumps({**_CONFIG, "vocab": vocabulary.get("vocab", vocabulary)}))
    np.savez(state, **read_state(onnx))
    style = load_voice(f"stock:{VOICE}").style
    # A pack has a style for every number of phonemes; here all are the one.
    np.savez(voices, same=np.tile(style.reshape(1, 1, -1), (510, 1, 1)))


def truths(data: Path | None) -> Iterator[dict[str, Any]]:
    """Recordings, heard in the same way: what no engine can be asked to exceed."""
    reel = ROOT / "samples" / "archive" / "reel_01_studio"
    text = reel.with_suffix(".txt").read_text("utf-8")
    yield {"who": "truth: samples, studio reel", **marks([reel.with_suffix(".flac")], [text])}
    folder = data / "speech" / "lj" if data is not None else None
    if folder is None or not (folder / "metadata.csv").is_file():
        return
    with (folder / "metadata.csv").open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream, delimiter="|", quoting=csv.QUOTE_NONE))[:6]
    paths = [folder / "wavs" / f"{row[0]}.wav" for row in rows]
    yield {"who": "truth: LJ Speech, 6 recordings", **marks(paths, [row[-1] for row in rows])}
