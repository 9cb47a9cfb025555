"""The mouthnet: its network, its folder, its drawing, its manners."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lipsync_film import R25, film, talking_marks, track_of
from lipsync_heads import picture
from lipsync_talk import talk, voice

from align.timing import Timing
from lipsync.crop import CropSpec, crop, crop_transforms, landmarks_in_crop, lip_shape
from lipsync.engines import BankSource, RenderJob, WholeFaceRenderer, get_renderer
from lipsync.engines._mouthnet_input import CONTEXT, SHAPE, phoneme_context, window
from lipsync.engines._mouthnet_model import (
    CARD_NAME,
    NUMBERS_NAME,
    FaceCard,
    Footage,
    load_face,
    save_face,
)
from lipsync.engines._mouthnet_net import MouthNet, NetShape, assemble, compose
from lipsync.engines._select import Bank, PathFinder
from lipsync.engines.mouthbank import MouthBankRenderer
from lipsync.engines.mouthnet import MouthNetRenderer, near, other_paths
from lipsync.faces import usable_frames
from lipsync.motion import closures, silence
from lipsync.training.judge import Judge
from media.errors import EngineMissingError, ProvenanceError, WeightsError

SPEC = CropSpec(128)
SHAPE_OF = NetShape(32, 2, 8, 2)


def face_in(folder: Path, *, wild: float = 0.0, shape: NetShape = SHAPE_OF) -> FaceCard:
    """A face that was never trained; `wild` makes its head answer at random."""
    torch.manual_seed(3)
    network = MouthNet(shape)
    with torch.no_grad():
        network.head.weight.normal_(0, wild) if wild else None
    card = FaceCard("Anna Example", "tiny", 0, 0, 1.0, network.facts())
    card = replace(card, scores={"psnr": 30.5}, footage=(Footage("a.mov", "0" * 64, 60.0),))
    card = replace(card, curve=((0, 0.0, 0.5), (20, 3.1, 0.25)))
    return save_face(folder, card, network.state_dict(), Judge(shape.size).state_dict())


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> RenderJob:
    folder = tmp_path_factory.mktemp("bank")
    said = talk(6.0, seed=1)
    marks = talking_marks(said, 150)
    film(folder / "archive.mp4", marks)
    source = BankSource(folder / "archive.mp4", track_of(marks), said, voice(said))
    line = talk(2.4, seed=8)
    target = track_of(talking_marks(Timing((), (), 2.4), 60, sway=4.0))
    usable = usable_frames(target)
    usable[40:44] = False
    return RenderJob(target, usable, line, voice(line), [source], SPEC)


def draw(renderer: MouthBankRenderer, job: RenderJob, frames: list[int]) -> list:
    marks = job.target.landmarks[frames]
    transforms = crop_transforms(marks, SPEC)
    inside = landmarks_in_crop(marks, transforms)
    crops = np.stack(
        [
            crop(picture(m, 200, 200, seed=2), t, SPEC)
            for m, t in zip(marks, transforms, strict=True)
        ]
    )
    return renderer.render(frames, crops, inside)


# --- the network -----------------------------------------------------------------------


def test_an_untrained_network_gives_the_first_reference_back() -> None:
    network = MouthNet(SHAPE_OF)
    samples = torch.randint(0, 256, (2, SHAPE_OF.channels, 32, 32), dtype=torch.uint8)
    inputs, references, _ = assemble(samples)
    fields = network(inputs, torch.randn(2, SHAPE + CONTEXT))
    assert fields.shape == (2, 9, 32, 32)
    off = (compose(references, fields) - references[:, 0]).abs()
    assert off.max() < 0.02
    # At another size than the network's, too.
    large = torch.rand(2, 2, 3, 96, 96)
    assert (compose(large, fields) - large[:, 0]).abs().max() < 0.02


def test_what_the_mask_hides_is_not_seen() -> None:
    samples = torch.randint(0, 256, (1, SHAPE_OF.channels, 32, 32), dtype=torch.uint8)
    samples[:, 3] = 0
    samples[:, 3, 10:20, 10:20] = 1
    other = samples.clone()
    other[:, :3, 10:20, 10:20] = 77
    assert torch.equal(assemble(samples)[0], assemble(other)[0])
    other[:, :3, 9, 9] ^= 255
    assert not torch.equal(assemble(samples)[0], assemble(other)[0])


def test_fields_move_mix_and_add_as_they_say() -> None:
    """Against the same sums written out by hand with numpy."""
    rng = np.random.default_rng(0)
    pictures = rng.random((2, 3, 32, 32)).astype(np.float32)
    fields = np.zeros((9, 32, 32), np.float32)
    fields[0] = np.arctanh(2 / 32 / 0.04 / 2)  # first picture read a pixel further right ...
    fields[3] = np.arctanh(-1 / 32 / 0.04)  # ... the second one pixel higher
    fields[4] = -4.0  # against the prior: half and half
    fields[6:] = np.arctanh(np.float32([0.2, 0.0, -0.1]))[:, None, None]
    made = compose(torch.from_numpy(pictures)[None], torch.from_numpy(fields)[None])[0].numpy()
    first = np.roll(pictures[0], -1, axis=2)
    second = np.roll(pictures[1], 1, axis=1)
    by_hand = 0.5 * (first + second) + 0.5 * np.float32([0.2, 0.0, -0.1])[:, None, None]
    inner = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(made[inner], by_hand[inner], atol=1e-4)


def test_phonemes_are_those_around_the_frame() -> None:
    said = talk(3.0, seed=2)
    context = phoneme_context(said, R25, np.arange(75)).reshape(75, 7, 15)
    np.testing.assert_allclose(context.sum(2), 1, atol=1e-5)
    # Three frames later, what lay 0.12 s ahead is now.
    assert np.abs(context[3:, 3] - context[:-3, 5]).mean() < 0.005  # but for rounding to 10 ms


@pytest.mark.parametrize(
    "bad", [{"size": 100}, {"width": 12}, {"references": 0}, {"depth": 9}, {"size": 4096}]
)
def test_shapes_that_cannot_be_built_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no network has the shape"):
        NetShape(**bad)


# --- the folder ------------------------------------------------------------------------


def test_a_face_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = face_in(tmp_path / "anna", wild=0.1)
    model = load_face(tmp_path / "anna")
    assert model.card == written
    assert model.card.curve == ((0, 0.0, 0.5), (20, 3.1, 0.25))
    assert "no trained face ships" in model.card.licence
    assert not model.network.training
    face_in(tmp_path / "again", wild=0.1)
    again, first = (tmp_path / n / NUMBERS_NAME for n in ("again", "anna"))
    assert again.read_bytes() == first.read_bytes()


def test_wrong_faces_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    with pytest.raises(WeightsError, match="no trained face"):
        load_face(folder)
    face_in(folder)
    numbers, card = folder / NUMBERS_NAME, folder / CARD_NAME
    whole, text = numbers.read_bytes(), card.read_text()
    cases = [
        (whole[: len(whole) // 2], text, "cannot be read"),
        (b"PK\3\4 a pickle", text, "cannot be read"),
        (whole[:-4] + b"\0\1\2\3", text, "truncated, altered"),
        (whole, text.replace("width = 8", "width = 16"), "another architecture"),
        (whole, text.replace("size = 32", "size = 33"), "another kind"),
        (whole, text.replace("format = 1", "format = 9"), "not the card"),
        (whole, text.replace("steps", "stops"), "not the card"),
        (whole, "this is no card", "not the card"),
    ]
    for data, words, message in cases:
        numbers.write_bytes(data)
        card.write_text(words)
        with pytest.raises(WeightsError, match=message) as caught:
            get_renderer("mouthnet", folder)
        assert "\n" not in str(caught.value)
    with pytest.raises(EngineMissingError, match="train-face"):
        get_renderer("mouthnet")


def test_cards_of_wrong_kinds_are_refused_at_once(tmp_path: Path) -> None:
    face_in(tmp_path)
    card = tmp_path / CARD_NAME
    text = card.read_text()
    plain, table = text.split("[network]")[0], text[text.index("[network]") :]
    for words, message in (
        (plain + 'network = "x"\n', "'network' is not a table"),
        (text.replace('"Anna Example"', "5"), "'person' is not text"),
        (text.replace("steps = 0", 'steps = "0"'), "'steps' is not a whole number"),
        (text.replace("steps = 0", "steps = true"), "'steps' is not a whole number"),
        (text.replace("psnr = 30.5", 'psnr = "30.5"'), "'psnr' is not a number"),
        (text.replace("seconds = 60.0", "seconds = []"), "'seconds' is not a number"),
        (text.replace("depth = 2", "depth = 2.5"), "'depth' is not a whole number"),
        (text.replace("depth = 2", f"depth = {10**30}"), "'depth' is beyond all bounds"),
        (plain.replace("curve = ", "curve = 5 #") + table, "not the card"),
        (text.replace("curve = [[0", "curve = [[inf"), "not the card"),
        (text + "\nodd = " + "[" * 9000, "not the card"),
        (text.replace("depth = 2", f"depth = {10**12}"), "another kind"),  # and no endless power
        (text.replace("depth = 2", "depth = -3"), "another kind"),
    ):
        assert words != text
        card.write_text(words)
        with pytest.raises(WeightsError, match=message) as caught:
            load_face(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_face_that_cannot_be_recorded_does_not_appear(tmp_path: Path) -> None:
    shown: list[FaceCard] = []

    def refuse(card: FaceCard) -> None:
        shown.append(card)
        raise ProvenanceError("the ledger is full; empty the disk")

    network, judge = MouthNet(SHAPE_OF), Judge(32).state_dict()
    card = FaceCard("Anna Example", "tiny", 0, 0, 1.0, network.facts())
    with pytest.raises(ProvenanceError):
        save_face(tmp_path, card, network.state_dict(), judge, record=refuse)
    assert list(tmp_path.iterdir()) == []
    saved = save_face(tmp_path, card, network.state_dict(), judge, record=shown.append)
    assert [c.sha256 for c in shown] == [saved.sha256] * 2
    # An older face stays what it was.
    with pytest.raises(ProvenanceError):
        save_face(tmp_path, card, MouthNet(SHAPE_OF).state_dict(), judge, record=refuse)
    assert load_face(tmp_path).card == saved


# --- drawing -----------------------------------------------------------------------------


def test_an_untrained_face_draws_what_the_mouthbank_draws(job: RenderJob, tmp_path: Path) -> None:
    face_in(tmp_path)
    renderer = get_renderer(f"mouthnet:{tmp_path}")
    assert isinstance(renderer, MouthNetRenderer)
    assert not isinstance(renderer, WholeFaceRenderer)
    with pytest.raises(RuntimeError, match="prepare"):
        draw(renderer, job, [0])
    renderer.prepare(job)
    bank = MouthBankRenderer()
    bank.prepare(job)
    frames = [3, 20, 41, 50]
    for ours, theirs in zip(draw(renderer, job, frames), draw(bank, job, frames), strict=True):
        np.testing.assert_allclose(ours.landmarks, theirs.landmarks, atol=1e-3)
        assert np.abs(ours.rgb.astype(int) - theirs.rgb).max() <= 8
    # The second path shows other mouths, most of them elsewhere in the footage.
    shown = [i for i in range(60) if job.usable[i]]
    frames_of = renderer._learnt.mouths.frame
    apart = np.abs(frames_of[renderer._others[shown, 0]] - frames_of[renderer._plan.path[shown]])
    assert (apart > 3).mean() > 0.9
    assert (renderer._others[40:44] == -1).all()
    # Another second path draws other mouths: what is kept of one is not taken for the other's.
    known, renderer._others = renderer.fingerprint, renderer._others + 1
    assert renderer.fingerprint != known


def test_lips_stay_shut_and_the_rest_stays_whatever_the_network_says(
    job: RenderJob, tmp_path: Path
) -> None:
    face_in(tmp_path, wild=0.3)
    renderer = MouthNetRenderer(tmp_path)
    renderer.prepare(job)
    bank = MouthBankRenderer()
    bank.prepare(job)
    tight = closures(job.timing, R25, 60) | silence(job.timing, R25, 60)
    frames = [i for i in range(60) if job.usable[i] and tight[i]][:6]
    loose = [i for i in range(60) if job.usable[i] and not tight[i]][:6]
    edge = window(128)

    def between_lips(patches: list) -> np.ndarray:
        """How dark the darkest row between the lips is, against the skin around."""
        rows = []
        for patch in patches:
            x, y = patch.landmarks[[13, 14]].mean(0).round().astype(int)
            rows.append(patch.rgb[y - 3 : y + 4, x - 6 : x + 7].mean((1, 2)))
        return np.stack(rows)

    ours, theirs = draw(renderer, job, frames), draw(bank, job, frames)
    opening = [lip_shape(p.landmarks)[0] for p in ours]
    assert max(opening) <= renderer.model.closed_below + 0.01
    # Lit differently, but no line drawn: the rows keep their differences.
    steps = [np.diff(between_lips(p), axis=1) for p in (ours, theirs)]
    assert np.abs(steps[0] - steps[1]).max() < 6
    for a, b in zip(draw(renderer, job, loose), draw(bank, job, loose), strict=True):
        outside = np.ones((128, 128), bool)
        outside[edge, edge] = False
        np.testing.assert_array_equal(a.rgb[outside], b.rgb[outside])
        assert np.abs(a.rgb.astype(int) - b.rgb).max() > 8


def test_batches_of_any_size_give_the_same_and_a_full_card_halves_them(
    job: RenderJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    face_in(tmp_path, wild=0.1)
    renderer = MouthNetRenderer(tmp_path, batch=8)
    renderer.prepare(job)
    frames = [2, 5, 9, 15, 30, 50]
    whole = draw(renderer, job, frames)
    real, seen = renderer._forward, []

    def full(frames: list, *rest: object) -> list:
        seen.append(len(frames))
        if len(frames) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return real(frames, *rest)

    monkeypatch.setattr(renderer, "_forward", full)
    parts = draw(renderer, job, frames)
    assert seen == [6, 4, 2, 2, 2]
    assert renderer.batch == 2
    for a, b in zip(whole, parts, strict=True):
        assert np.abs(a.rgb.astype(int) - b.rgb).max() <= 1
    monkeypatch.setattr(
        renderer, "_forward", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError())
    )
    with pytest.raises(WeightsError, match="no room to draw a single mouth"):
        draw(renderer, job, frames)


def test_the_next_line_needs_no_new_reading_and_gives_the_same_bytes(
    job: RenderJob, tmp_path: Path
) -> None:
    face_in(tmp_path, wild=0.1)
    renderer = MouthNetRenderer(tmp_path)
    renderer.prepare(job)
    first = draw(renderer, job, [10, 20])
    said: list[str] = []
    renderer.prepare(job, lambda what, _done, _total: said.append(what))
    assert said == ["choosing mouths"]
    for a, b in zip(first, draw(renderer, job, [10, 20]), strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)


def test_neighbours_in_time_are_found_in_their_own_footage_alone() -> None:
    source = np.array([0, 0, 0, 0, 1, 1, 1], np.intp)
    frame = np.array([0, 4, 8, 50, 0, 4, 9], np.intp)
    found = near(source, frame, np.array([1], np.intp))
    np.testing.assert_array_equal(found, [False, True, False, False, False, False, False])
    found = near(source, frame, np.array([0, 6], np.intp))
    np.testing.assert_array_equal(found, [True, False, False, False, False, False, True])


def test_every_other_path_keeps_off_the_mouths_of_all_before_it() -> None:
    n = 12
    bank = Bank(
        np.zeros((n, 1), np.float32), np.arange(n, dtype=np.float32), np.zeros((n, 1), np.float32),
        np.zeros(n, np.bool_), np.zeros(n, np.intp), 10 * np.arange(n), np.ones(n, np.float32),
    )  # fmt: skip

    def cheapest(finder: PathFinder) -> np.ndarray:
        return np.array([-1, np.argmin(finder.bank.penalty)], np.intp)

    found = list(other_paths(bank, np.array([-1, 0], np.intp), 3, cheapest))
    assert [p.tolist() for p in found] == [[-1, 1], [-1, 2], [-1, 3]]
    assert (bank.penalty == np.arange(n)).all()
