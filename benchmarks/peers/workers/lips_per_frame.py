"""Lips as the usual inference scripts make them, frame by frame; the weights are random.

    lips_per_frame.py FOOTAGE SOUND.wav OUT.mp4 REPORT.json [--s3fd FRAMES]

In the manner of Wav2Lip's `inference.py`: all frames into memory; the face found in every one
of them, its box smoothed over five; 0.2 s of mel spectrum for each frame; a generator of 36 M
parameters at 96x96 in batches; the square put back as it is; one encode to a temporary file, which
is joined with the sound. The faces are found by MediaPipe's detector; `--s3fd` also times the one
that the original uses, on so many frames, without looking at what it finds.
"""

# The clock starts before what is slow to import.
# ruff: noqa: E402

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from serving import peak_mb

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from lipsync.detect import FaceFinder
from lipsync.engines._wav2lip_net import FACE, Wav2Lip, mel_spectrum, window
from media.audio import read_sound

Pixels = NDArray[np.uint8]
BATCH = 16
SMOOTH = 5


def frames_of(footage: Path) -> tuple[list[Pixels], float]:
    """All frames as BGR, and their rate."""
    stream = cv2.VideoCapture(str(footage))
    rate, frames = float(stream.get(cv2.CAP_PROP_FPS)), []
    while True:
        there, frame = stream.read()
        if not there:
            return frames, rate
        frames.append(frame)


def boxes_of(frames: list[Pixels]) -> NDArray[np.int64]:
    """[n, 4]: top, bottom, left, right of the face in every frame, smoothed."""
    finder, found = FaceFinder(), []
    for frame in frames:
        boxes = finder.find(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        if not boxes:
            raise SystemExit("no face in a frame; give footage with a face in all of them")
        box, (height, width) = boxes[0], frame.shape[:2]
        half = 0.5 * box.size
        sides = (box.y - half, box.y + 1.2 * half, box.x - half, box.x + half)
        most = (height, height, width, width)
        found.append([min(max(s, 0), m) for s, m in zip(sides, most, strict=True)])
    boxes_ = np.array(found)
    smooth = [boxes_[max(0, i - SMOOTH + 1) : i + 1].mean(0) for i in range(len(boxes_))]
    return np.array(smooth).round().astype(np.int64)


def drawn(network: Wav2Lip, faces: Pixels, mels: NDArray[np.float32]) -> Pixels:
    """New faces uint8 [n, 96, 96, 3]."""
    masked = faces.copy()
    masked[:, FACE // 2 :] = 0
    both = torch.from_numpy(np.concatenate([masked, faces], axis=3)).permute(0, 3, 1, 2) / 255.0
    with torch.inference_mode():
        made = network(torch.from_numpy(mels)[:, None], both)
    return (made.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)


def redraw(
    frames: list[Pixels], boxes: NDArray[np.int64], mel: NDArray[np.float32], rate: float, out: Path
) -> None:
    """All frames with their new faces into `out`."""
    torch.manual_seed(0)
    network = Wav2Lip().eval()
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter_fourcc(*"DIVX"), rate, (width, height))
    for first in range(0, len(frames), BATCH):
        part = range(first, min(first + BATCH, len(frames)))
        faces = [
            cv2.resize(frames[i][t:b, x:y], (FACE, FACE))
            for i, (t, b, x, y) in zip(part, boxes[first:], strict=False)
        ]
        mels = np.stack([window(mel, i, rate) for i in part])
        for i, face in zip(part, drawn(network, np.stack(faces), mels), strict=True):
            top, bottom, left, right = boxes[i]
            picture = frames[i].copy()
            picture[top:bottom, left:right] = cv2.resize(face, (right - left, bottom - top))
            writer.write(picture)
    writer.release()


def join(picture: Path, sound: Path, out: Path) -> None:
    """The picture's packets and the sound as AAC in one file."""
    import av

    with av.open(str(picture)) as seen, av.open(str(sound)) as heard, av.open(str(out), "w") as to:
        video = to.add_stream_from_template(seen.streams.video[0])
        audio: Any = to.add_stream("aac", rate=heard.streams.audio[0].rate)
        for frame in heard.decode(audio=0):
            to.mux(audio.encode(frame))
        to.mux(audio.encode(None))
        for number, packet in enumerate(seen.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = number
                packet.stream = video
                to.mux(packet)


def s3fd_seconds(frames: list[Pixels], count: int) -> dict[str, float]:
    """Wall and processor seconds a frame of the original's detector."""
    from s3fd import detector

    network = detector()
    pictures = [torch.from_numpy(f).permute(2, 0, 1)[None].float() - 110 for f in frames[:count]]
    with torch.inference_mode():
        network(pictures[0][:, :, :64, :64])
        began, busy = time.perf_counter(), time.process_time()
        for picture in pictures:
            network(picture)
    wall, cpu = time.perf_counter() - began, time.process_time() - busy
    return {"wall_s": wall / len(pictures), "cpu_s": cpu / len(pictures)}


def main() -> None:
    """The whole loop, timed by stage."""
    parser = argparse.ArgumentParser()
    for name in ("footage", "sound", "out", "report"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--s3fd", type=int, default=0)
    given = parser.parse_args()
    stages: dict[str, dict[str, float]] = {}
    begun = (BEGAN, 0.0)

    def stage(name: str) -> None:
        nonlocal begun
        now = (time.perf_counter(), time.process_time())
        stages[name] = {"wall_s": now[0] - begun[0], "cpu_s": now[1] - begun[1]}
        begun = now

    stage("start")
    sound = read_sound(given.sound)
    frames, rate = frames_of(given.footage)
    frames = frames[: int(float(sound.duration_s) * rate)]
    stage("read")
    boxes = boxes_of(frames)
    stage("faces")
    with tempfile.TemporaryDirectory() as folder:
        silent = Path(folder) / "result.avi"
        redraw(frames, boxes, mel_spectrum(sound), rate, silent)
        stage("draw and encode")
        join(silent, given.sound, given.out)
        stage("join")
    report: dict[str, Any] = {"frames": len(frames), "stages": stages, "peak_mb": peak_mb()}
    if given.s3fd:
        report["s3fd"] = s3fd_seconds(frames, given.s3fd)
    given.report.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
