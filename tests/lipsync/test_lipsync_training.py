"""Training a face on a film of our own making: it learns, it resumes, it refuses."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lipsync_film import film, talking_marks, track_of
from lipsync_talk import talk, voice

from lipsync.engines import BankSource
from lipsync.engines._mouthnet_model import CARD_NAME, NUMBERS_NAME, FaceModel, load_face
from lipsync.training import PRESETS, face, train_face
from lipsync.training.data import Examples, dealt, kept_examples, pieces
from lipsync.training.judge import Judge
from lipsync.training.losses import Critic, Drawn, critic_loss, mouth_losses, total
from media.errors import ArchiveError, EngineMissingError, OutputError, WeightsError

TINY = replace(PRESETS["tiny"], check=15)


class StoppedError(Exception):
    pass


def stop_at(step: int) -> Callable[[str, int, int | None], None]:
    def progress(what: str, done: int, total: int | None) -> None:
        if what == "training the face" and done == step:
            raise StoppedError

    return progress


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[BankSource]:
    folder = tmp_path_factory.mktemp("film")
    said = talk(6.0, seed=1)
    marks = talking_marks(said, 150)
    path = film(folder / "anna.mp4", marks)
    return [BankSource(path, track_of(marks), said, voice(said))]


@pytest.fixture(scope="module")
def begun(sources: list[BankSource], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a face whose training was stopped after its first step."""
    out = tmp_path_factory.mktemp("faces") / "anna"
    with pytest.raises(StoppedError):
        train_face(sources, out, preset=TINY, steps=45, device="cpu", progress=stop_at(1))
    shutil.copytree(out / "training", out.parent / "kept")
    return out


@pytest.fixture(scope="module")
def examples(begun: Path) -> Examples:
    """What that training learns from, out of its folder."""
    work = begun.parent / "kept"
    found = kept_examples(work, (work / "key.txt").read_text())
    assert found is not None
    return replace(found, pictures=np.array(found.pictures))


@pytest.fixture(scope="module")
def trained(
    begun: Path, examples: Examples, sources: list[BankSource]
) -> tuple[FaceModel, Path, list[str]]:
    """The same, finished."""
    said: list[str] = []
    model = train_face(
        sources, begun, preset=TINY, steps=45, person="Anna", device="cpu", say=said.append
    )
    return model, begun, said


@pytest.fixture
def drawn_before(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples of the same footage are the same: they are not drawn again."""
    monkeypatch.setattr(face, "_examples", lambda *_: (examples, 6.0))


def test_examples_are_the_truth_beside_other_mouths(examples: Examples) -> None:
    assert examples.pictures.shape == (150, 12, 32, 32)
    truth, mask, drawn = (examples.pictures[:, i : i + 3].astype(float) for i in (0, 3, 6))
    shown = mask[:, :1] > 128
    assert 0.2 < shown.mean() < 0.8
    off = (np.abs(drawn - truth) * shown).sum((1, 2, 3)) / (3 * shown.sum((1, 2, 3)))
    # Bent to the truth, so near to it; but never the truth itself.
    assert 0.5 < off.min() < off.max() < 25
    assert 8 <= examples.held_out.sum() <= 40
    assert examples.tight.any()
    assert not examples.tight.all()
    runs = examples.starts(3, held_out=False)
    assert not examples.held_out[runs[:, None] + np.arange(3)].any()
    assert examples.follows[runs[:, None] + np.arange(1, 3)].all()


def test_examples_are_kept_for_the_same_training_only(
    begun: Path, examples: Examples, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(begun.parent / "kept", work)
    key = (work / "key.txt").read_text()
    assert kept_examples(work, "another") is None
    again = kept_examples(work, key)
    assert again is not None
    np.testing.assert_array_equal(again.pictures, examples.pictures)
    stored = work / "examples.npy"
    stored.write_bytes(stored.read_bytes()[:1000])
    assert kept_examples(work, key) is None
    assert kept_examples(tmp_path, key) is None


def test_training_beats_copying_the_reference(
    trained: tuple[FaceModel, Path, list[str]],
) -> None:
    model, _, said = trained
    scores, curve = model.card.scores, model.card.curve
    assert scores["error"] < 0.99 * scores["copy_error"]
    assert scores["psnr"] > scores["copy_psnr"] + 0.1
    assert [step for step, _, _ in curve] == [0, 15, 30, 45]
    assert curve[0][2] == pytest.approx(scores["copy_error"], rel=0.05)
    assert scores["error"] == pytest.approx(min(e for _, _, e in curve), abs=1e-4)
    assert said[0] == "going on at step 0 of 45"
    assert "copying the reference" in said[-1]


def test_a_trained_face_is_whole_and_readable(
    trained: tuple[FaceModel, Path, list[str]], sources: list[BankSource]
) -> None:
    import cv2

    model, out, _ = trained
    assert sorted(p.name for p in out.iterdir()) == [
        NUMBERS_NAME, CARD_NAME, "judge.safetensors", "loss.png", "preview.png",
    ]  # fmt: skip
    again = load_face(out)
    assert again.card == model.card
    for name, value in again.network.state_dict().items():
        assert torch.equal(value, model.network.state_dict()[name])
    card = tomllib.loads((out / CARD_NAME).read_text())
    assert card["footage"][0]["file"] == "anna.mp4"
    assert card["minutes"] == pytest.approx(0.1)
    assert "no trained face ships with the product" in card["licence"]
    assert cv2.imread(str(out / "preview.png")).shape == (3 * 128, 10 * 128, 3)
    assert cv2.imread(str(out / "loss.png")).shape[2] == 3


def test_a_stopped_training_goes_on_and_ends_with_the_same_numbers(
    sources: list[BankSource], tmp_path: Path, drawn_before: None
) -> None:
    kind = replace(TINY, adversarial=True, judge_steps=4, run=3, check=5)
    whole = train_face(sources, tmp_path / "whole", preset=kind, steps=12, device="cpu")
    out, said = tmp_path / "stopped", []
    with pytest.raises(StoppedError):
        train_face(sources, out, preset=kind, steps=12, device="cpu", progress=stop_at(7))
    assert (out / "training" / "checkpoint.pt").is_file()
    assert not (out / CARD_NAME).exists()
    with pytest.raises(OutputError, match="unfinished training of other footage or settings"):
        train_face(sources, out, preset=kind, steps=12, seed=1, device="cpu")
    parts: list[str] = []
    resumed = train_face(
        sources,
        out,
        preset=kind,
        steps=12,
        device="cpu",
        say=said.append,
        progress=lambda what, _d, _t: parts.append(what),
    )
    assert said[0] == "going on at step 5 of 12"
    assert set(parts) == {"training the face"}
    assert resumed.card.sha256 == whole.card.sha256
    assert not (out / "training").exists()


def test_a_damaged_checkpoint_is_refused_in_one_line(
    sources: list[BankSource], tmp_path: Path, drawn_before: None
) -> None:
    kind = replace(TINY, judge_steps=2, check=5)
    with pytest.raises(StoppedError):
        train_face(sources, tmp_path, preset=kind, steps=12, device="cpu", progress=stop_at(6))
    checkpoint = tmp_path / "training" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="begin again") as caught:
        train_face(sources, tmp_path, preset=kind, steps=12, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_warm_start_says_what_it_saves(
    trained: tuple[FaceModel, Path, list[str]],
    sources: list[BankSource],
    tmp_path: Path,
    drawn_before: None,
) -> None:
    model, out, _ = trained
    said: list[str] = []
    warm = train_face(
        sources, tmp_path, preset=TINY, steps=5, start_from=out, device="cpu", say=said.append
    )
    line = next(s for s in said if s.startswith("started from"))
    assert "which the other face had reached after" in line or "than the other face" in line
    assert warm.card.started_from == model.card.sha256
    # It begins about where the other one ended.
    assert warm.card.curve[0][2] < 0.99 * model.card.curve[0][2]
    with pytest.raises(WeightsError, match="start from a face of the same preset"):
        train_face(
            sources,
            tmp_path / "other",
            preset=replace(TINY, width=16),
            steps=2,
            start_from=out,
            device="cpu",
        )


def test_so_many_minutes_are_so_many_steps(
    sources: list[BankSource], tmp_path: Path, drawn_before: None
) -> None:
    kind = replace(TINY, judge_steps=2, runs=2)
    model = train_face(sources, tmp_path, preset=kind, minutes=0.001, device="cpu")
    assert model.card.steps == 20


def test_too_little_footage_and_wrong_presets_are_refused(
    sources: list[BankSource], tmp_path: Path
) -> None:
    with pytest.raises(EngineMissingError, match="choose one of tiny, cpu, gpu"):
        train_face(sources, tmp_path, preset="huge")
    source = sources[0]
    marks = source.track.landmarks.copy()
    marks[20:] = np.nan
    short = replace(source, track=track_of(marks))
    with pytest.raises(ArchiveError, match="20 usable mouths"):
        train_face([short], tmp_path / "short", preset=TINY, device="cpu")


def test_pieces_are_stretches_of_one_film_and_held_out_ones_are_apart() -> None:
    source = np.repeat([0, 0, 1], [100, 50, 300]).astype(np.intp)
    frame = np.concatenate([np.arange(100), np.arange(200, 250), np.arange(300)]).astype(np.intp)
    runs = pieces(source, frame, np.full(450, 0.04, np.float32))
    np.testing.assert_array_equal(np.concatenate(runs), np.arange(450))
    for run in runs:
        assert len(np.unique(source[run])) == 1
        assert (np.diff(frame[run]) == 1).all()
        assert 10 <= len(run) <= 50
    groups = dealt(len(runs))
    assert 0 < (groups < 0).sum() <= len(runs) / 4
    assert set(groups.tolist()) == {-1, 0, 1, 2, 3}


def test_losses_are_nothing_for_the_truth_and_grow_with_what_matters() -> None:
    torch.manual_seed(0)
    judge = Judge(32).requires_grad_(False)
    truth = torch.rand(4, 3, 32, 32)
    mask = torch.zeros(4, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    lips = torch.zeros_like(mask)
    lips[..., 14:18, 10:22] = 1
    wanted = torch.randn(4, 112)
    flags = torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.ones(4)

    def losses(made: torch.Tensor) -> dict[str, float]:
        drawn = Drawn(made, truth, mask, lips, wanted, *flags, 2)
        return {k: float(v) for k, v in mouth_losses(drawn, judge, None).items()}

    nothing = losses(truth)
    for name in ("pixel", "edges", "detail", "motion", "features"):
        assert nothing[name] == pytest.approx(0, abs=1e-6)
    outside = truth.clone()
    outside[..., :4, :] = 0
    assert losses(outside)["pixel"] == pytest.approx(0, abs=1e-6)

    def with_spot(frame: int, row: int) -> torch.Tensor:
        made = truth.clone()
        made[frame, :, row : row + 2, 12:16] += 0.3
        return made

    on_lips, on_skin = losses(with_spot(1, 15)), losses(with_spot(1, 21))
    assert on_lips["pixel"] > 2 * on_skin["pixel"]
    assert losses(with_spot(0, 15))["pixel"] > 1.9 * on_lips["pixel"]  # its lips are shut
    # A fault in both frames of a run is no motion.
    both = with_spot(2, 15)
    both[3] = with_spot(3, 15)[3]
    assert losses(both)["motion"] < 1e-6 < on_lips["motion"]
    soft = torch.nn.functional.avg_pool2d(truth, 3, 1, 1)
    assert losses(soft)["detail"] > 0.5


def test_critics_learn_to_tell_and_the_network_is_told() -> None:
    torch.manual_seed(0)
    judge = Judge(32).requires_grad_(False)
    truth, made = torch.rand(6, 3, 32, 32), torch.full((6, 3, 32, 32), 0.5).requires_grad_()
    one = torch.ones(6, 1, 32, 32)
    drawn = Drawn(made, truth, one, one, torch.randn(6, 112), torch.zeros(6), torch.ones(6), 3)
    critics = Critic(3, 16), Critic(9, 16)
    optimiser = torch.optim.Adam([p for c in critics for p in c.parameters()], 2e-3)
    before = float(critic_loss(drawn, critics).detach())
    for _ in range(12):
        optimiser.zero_grad()
        critic_loss(drawn, critics).backward()
        optimiser.step()
    assert float(critic_loss(drawn, critics).detach()) < 0.7 * before
    total(mouth_losses(drawn, judge, critics)).backward()
    assert made.grad is not None
    assert float(made.grad.abs().sum()) > 0
