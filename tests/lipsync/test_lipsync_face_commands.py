"""`wildline train-face` and `resync --engine mouthnet`: consent, ledger, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lipsync_film import film, talking_marks, track_of
from lipsync_talk import talk, voice

import align.transcription
import lipsync.faces
import lipsync.resync
import lipsync.training
from lipsync.engines import BankSource
from lipsync.engines._mouthnet_model import CARD_NAME, FaceCard, read_card, save_face
from lipsync.likeness import Likeness
from lipsync.people import FaceChoice
from lipsync.track import FaceTrack
from lipsync.training import PRESETS
from lipsync.training.face import _Begun
from media.errors import (
    ArchiveError,
    ConsentError,
    EngineMissingError,
    NoFaceError,
    OutputError,
    ProvenanceError,
    WeightsError,
)
from studio._face_commands import face_weights, same_person, train
from studio._face_footage import one_person
from studio._jobs import quiet
from studio._lipsync_commands import engine_spec
from studio.cli import run
from studio.consent import Consent, Document, RightsHolder, load_consent, save_consent
from studio.ledger import Ledger
from studio.provenance import Papers

SAID = talk(3.0, seed=1)
MARKS = talking_marks(SAID, 75)


def consent(
    folder: Path, *uses: str, person: str = "Anna Example", project: str = "The Long Summer"
) -> Path:
    today = date.today()
    record = Consent(
        id="c0ffee", person=person, project=project, uses=uses,
        description="reel 3", signed=today, start=today, expiry=today + timedelta(days=9),
        rights_holder=RightsHolder(name=person, relation="self"),
        document=Document(sha256="0" * 64),
    )  # fmt: skip
    path = folder / f"{person.split()[0]}-{project.split()[-1]}-{len(uses)}.toml"
    save_consent(record, path)
    return path


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    return film(folder / "anna.mp4", MARKS, sound=voice(SAID))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Track and words of the film are known; what is tested comes after."""
    monkeypatch.setattr(lipsync.faces, "track_faces", lambda *_a, **_k: track_of(MARKS))
    monkeypatch.setattr(align.transcription, "align_sound", lambda *_a, **_k: SAID)
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WILDLINE_DEVICE", "cpu")


def test_a_face_is_trained_under_consent_and_noted(
    footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, out = consent(tmp_path, "face-fit", "face-alter"), tmp_path / "faces" / "anna"
    told = ["train-face", str(footage), "-o", str(out), "--consent", str(record)]
    assert run([*told, "--preset", "tiny", "--steps", "2"]) == 0
    shown = capsys.readouterr().out
    assert "held-out mouths:" in shown
    assert "no trained face ships with the product" in shown
    card = read_card(out)
    assert (card.person, card.consent_id, card.project, card.steps) == (
        "Anna Example", "c0ffee", "The Long Summer", 2,
    )  # fmt: skip
    ledger = out.parent / "wildline-ledger.jsonl"
    lines = [json.loads(x) for x in ledger.read_text().splitlines()]
    assert [x["event"] for x in lines] == ["consent.granted", "face.training", "face.trained"]
    assert lines[0]["facts"]["use"] == "face-fit"
    assert lines[1]["facts"]["project"] == "The Long Summer"
    assert lines[2]["facts"]["sha256"] == card.sha256
    # The engine takes it, for her and for nobody else.
    spec = engine_spec("mouthnet", None, out)
    assert spec == f"mouthnet:{out}"
    assert "face of Anna Example" in capsys.readouterr().err
    assert face_weights(spec)["sha256"] == card.sha256
    same_person(spec, load_consent(record))
    same_person("mouthbank", load_consent(record))
    bert = load_consent(consent(tmp_path, "face-alter", person="Bert Example"))
    with pytest.raises(ConsentError, match="Anna Example's and the consent is Bert Example's"):
        same_person(spec, bert)


def test_without_the_right_consent_nothing_is_learnt(
    footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faces" / "anna"
    told = ["train-face", str(footage), "-o", str(out), "--preset", "tiny"]
    for more, message in (
        ([], "needs the person's consent"),
        (["--consent", str(consent(tmp_path, "face-alter"))], "but not face-fit"),
        (["--preset", "vast"], "there is no training preset 'vast'"),
    ):
        assert run([*told, *more]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not out.exists()


def test_how_the_engine_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(EngineMissingError, match="train-face"):
        engine_spec("mouthnet", None)
    with pytest.raises(EngineMissingError, match="--face-model"):
        engine_spec("mouthnet", tmp_path / "x.pth", tmp_path)
    with pytest.raises(WeightsError, match="no trained face"):
        engine_spec("mouthnet", None, tmp_path)
    with pytest.raises(EngineMissingError, match="leave --face-model out"):
        engine_spec("mouthbank", None, tmp_path)


# --- whose face it is ---


def a_face(folder: Path, person: str, project: str) -> Path:
    card = FaceCard(person, "tiny", 0, 1, 1.0, {}, project=project)
    save_face(folder, card, {}, {})
    return folder


@pytest.mark.parametrize(
    ("person", "project", "message"),
    [
        ("Bert Example", "The Long Summer", "is Bert Example's and the consent is Anna Example's"),
        ("", "The Long Summer", "nobody's by its card"),
        ("Anna Example", "The Short Winter", "for the project 'The Short Winter'"),
        ("Anna Example", "", "for the project ''"),
    ],
)
def test_a_face_serves_its_person_and_project_alone(
    person: str, project: str, message: str, footage: Path, tmp_path: Path
) -> None:
    record = consent(tmp_path, "face-fit", "face-alter")
    other = a_face(tmp_path / "other", person, project)
    with pytest.raises(ConsentError, match=message):
        same_person(f"mouthnet:{other}", load_consent(record))
    out = tmp_path / "anna"
    with pytest.raises(ConsentError, match=message):
        _train(footage, out, record, start_from=other)
    assert not out.exists()
    same_person(
        f"mouthnet:{a_face(tmp_path / 'own', 'ANNA  Example', 'the long summer')}",
        load_consent(record),
    )


def _train(footage: Path, out: Path, record: Path, **more: Any) -> Any:
    told = {"person": None, "project": None, "papers": Papers.beside(out), "progress": quiet}
    return train([footage], out, consent=record, **told, **more)


def _events(folder: Path) -> list[str]:
    lines = (folder / "wildline-ledger.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_a_face_appears_after_its_line_and_a_failure_has_one(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, out = consent(tmp_path, "face-fit"), tmp_path / "anna"

    def learn(_sources: Any, out: Path, *, record: Any, **_how: Any) -> None:
        assert _events(tmp_path)[-1] == "face.training"
        card = FaceCard("Anna Example", "tiny", 0, 1, 1.0, {}, project="The Long Summer")
        save_face(out, card, {}, {}, record=record)
        assert _events(tmp_path)[-1] == "face.trained"

    monkeypatch.setattr(lipsync.training, "train_face", learn)
    _train(footage, out, record)
    assert (out / CARD_NAME).is_file()

    def full(self: Ledger, event: str, **facts: Any) -> Any:
        if event == "face.trained":
            raise ProvenanceError("the ledger cannot be written; make room")
        return append(self, event, **facts)

    append = Ledger.append
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", full)
        with pytest.raises(ProvenanceError):
            _train(footage, tmp_path / "never", record)
    assert not (tmp_path / "never" / CARD_NAME).exists()
    assert _events(tmp_path)[-2:] == ["face.training", "face.training.failed"]

    def fail(*_a: Any, **_k: Any) -> None:
        raise ArchiveError("too little footage; give more")

    monkeypatch.setattr(lipsync.training, "train_face", fail)
    with pytest.raises(ArchiveError):
        _train(footage, tmp_path / "never", record)
    assert _events(tmp_path)[-2:] == ["face.training", "face.training.failed"]


def somebody(seed: int) -> Likeness:
    rng = np.random.default_rng(seed)
    pattern = rng.normal(size=96).astype(np.float32)
    shape = rng.normal(0, 4, (32, 3))
    return Likeness(shape, rng.normal(128, 9, 3), pattern / np.linalg.norm(pattern))


ANNA, BERT = somebody(1), somebody(2)


class _Films:
    """Who is in which film, the largest first; followed as the tracker would."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, **films: list[Likeness]) -> None:
        self.paths = [folder / f"{name}.mp4" for name in films]
        self.who = dict(zip(self.paths, films.values(), strict=True))
        patch.setattr(lipsync.faces, "track_faces", self.track)
        patch.setattr(lipsync.resync, "_source", lambda path, track, _cache: (path.stem, track))

    def track(self, path: Path, *, face: FaceChoice | None = None, **_k: Any) -> FaceTrack:
        there = self.who[path]
        if not there:
            raise NoFaceError(f"'{path.name}' shows no face")
        shown = there[0]
        if face is not None and face.kind == "right":
            shown = there[-1]
        if face is not None and face.kind == "likeness":
            assert face.likeness in there
            shown = face.likeness
        return replace(track_of(MARKS), faces=len(there), likeness=shown)


def test_nobody_but_the_one_person_is_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = _Films(
        tmp_path, monkeypatch,
        a_wall=[], b_talk=[BERT, ANNA], c_alone=[ANNA], d_host=[BERT], e_more=[ANNA],
    )  # fmt: skip
    said: list[str] = []
    found: Any = one_person(films.paths, None, quiet, said.append)
    assert [name for name, _ in found] == ["b_talk", "c_alone", "e_more"]
    assert all(track.likeness is ANNA for _, track in found)
    assert [s.partition(":")[0] for s in said[:2]] == ["left out"] * 2
    assert "nobody in" in said[1]
    assert said[2] == "'b_talk.mp4' shows 2 faces at once; learnt from the one of 'c_alone.mp4'"


def test_of_several_faces_somebody_has_to_be_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = _Films(tmp_path, monkeypatch, one=[BERT, ANNA], two=[ANNA, BERT])
    with pytest.raises(NoFaceError, match=r"'one.mp4', 'two.mp4'.*choose with --face"):
        one_person(films.paths, None, quiet)
    said: list[str] = []
    found: Any = one_person(films.paths, FaceChoice("right"), quiet, said.append)
    assert [track.likeness for _, track in found] == [ANNA, ANNA]
    assert said == [
        "'one.mp4' shows 2 faces at once; learnt from the one that --face chose",
        "'two.mp4' shows 2 faces at once; learnt from the one of 'one.mp4'",
    ]
    films.who = {path: [] for path in films.paths}
    with pytest.raises(NoFaceError, match="none of the 2 films shows a face"):
        one_person(films.paths, None, quiet)


def test_another_face_of_the_same_film_is_another_training(footage: Path, tmp_path: Path) -> None:
    preset = PRESETS["tiny"]
    keys = []
    for marks in (MARKS, MARKS + 5, MARKS):
        sources = [BankSource(footage, track_of(marks))]
        keys.append(_Begun.of(sources, preset, None, None, 2, 0))
    assert keys[0].key == keys[2].key != keys[1].key
    keys[0].folder(tmp_path)
    with pytest.raises(OutputError, match="unfinished training of other footage"):
        keys[1].folder(tmp_path)
