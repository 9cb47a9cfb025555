"""`wildline train-face` and `resync --engine mouthnet`: consent, ledger, refusals."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from lipsync_film import film, talking_marks, track_of
from lipsync_talk import talk, voice

import lipsync.faces
import lipsync.resync
from lipsync.engines._mouthnet_model import read_card
from media.errors import ConsentError, EngineMissingError, WeightsError
from studio._face_commands import face_weights, same_person
from studio._lipsync_commands import engine_spec
from studio.cli import run
from studio.consent import Consent, Document, RightsHolder, load_consent, save_consent

SAID = talk(3.0, seed=1)
MARKS = talking_marks(SAID, 75)


def consent(folder: Path, *uses: str, person: str = "Anna Example") -> Path:
    today = date.today()
    record = Consent(
        id="c0ffee", person=person, project="The Long Summer", uses=uses,
        description="reel 3", signed=today, start=today, expiry=today + timedelta(days=9),
        rights_holder=RightsHolder(name=person, relation="self"),
        document=Document(sha256="0" * 64),
    )  # fmt: skip
    path = folder / f"{person.split()[0]}-{len(uses)}.toml"
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
    monkeypatch.setattr(lipsync.resync, "_timing_of", lambda *_a: SAID)
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WILDLINE_DEVICE", "cpu")


def test_a_face_is_trained_under_consent_and_noted(
    footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, out = consent(tmp_path, "face-fit", "face-alter"), tmp_path / "faces-anna"
    told = ["train-face", str(footage), "-o", str(out), "--consent", str(record)]
    assert run([*told, "--preset", "tiny", "--steps", "2"]) == 0
    shown = capsys.readouterr().out
    assert "held-out mouths:" in shown
    assert "no trained face ships with the product" in shown
    card = read_card(out)
    assert (card.person, card.consent_id, card.project, card.steps) == (
        "Anna Example", "c0ffee", "The Long Summer", 2,
    )  # fmt: skip
    lines = [json.loads(x) for x in (tmp_path / "wildline-ledger.jsonl").read_text().splitlines()]
    assert [x["event"] for x in lines] == ["consent.granted", "face.trained"]
    assert lines[0]["facts"]["use"] == "face-fit"
    assert lines[1]["facts"]["sha256"] == card.sha256
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
    out = tmp_path / "faces-anna"
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
