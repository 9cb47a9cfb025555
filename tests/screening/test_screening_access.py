"""Nobody comes in without a token, and nobody gets a file that is not the production's."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from media.errors import OutputError
from studio.batch.states import CueState
from studio.production import Production
from studio.screening import Desk, Keys, make_app

HOST = "http://127.0.0.1:8760"
PAGES = ("/", "/cue/MAR101", "/results", "/api/cues", "/api/cue/MAR101", "/static/room.css")


@pytest.fixture
def stranger(production: Production, keys: Keys) -> Iterator[TestClient]:
    with TestClient(make_app(Desk(production), keys), base_url=HOST) as client:
        yield client


@pytest.mark.parametrize("token", [None, "", "x", "editor-token ", "Editor-token", "é" * 40])
def test_nothing_is_shown_without_the_token(stranger: TestClient, token: str | None) -> None:
    for page in (*PAGES, "/audience", "/media/MAR101/original", "/nowhere"):
        answer = stranger.get(page, params={} if token is None else {"token": token})
        assert answer.status_code == 401
        assert "wildline screen" in answer.text
    assert stranger.post("/api/cue/MAR101/decision", json={}).status_code == 401
    stranger.cookies.set("wildline-8760", f"x{(token or '').encode('ascii', 'ignore').decode()}")
    assert stranger.get("/").status_code == 401


def test_the_token_moves_from_the_address_into_a_cookie(stranger: TestClient, keys: Keys) -> None:
    first = stranger.get("/cue/MAR101?token=editor-token&a=1", follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, "/cue/MAR101?a=1")
    assert "HttpOnly" in first.headers["set-cookie"]
    assert "SameSite=strict" in first.headers["set-cookie"]
    assert "wildline-8760=" in first.headers["set-cookie"]  # another port is another room
    for page in PAGES:
        assert stranger.get(page).status_code == 200
    bearer = {"authorization": f"Bearer {keys.editor}"}
    stranger.cookies.clear()
    assert stranger.get("/api/cues", headers=bearer).status_code == 200


def test_a_token_does_not_lead_to_another_host(stranger: TestClient) -> None:
    answer = stranger.get(f"{HOST}//evil.example/x?token=editor-token", follow_redirects=False)
    assert answer.headers["location"] == "/evil.example/x"


def test_the_audience_sees_the_test_screening_only(stranger: TestClient) -> None:
    answer = stranger.get("/?token=audience-token", follow_redirects=False)
    assert answer.headers["location"] == "/audience"
    assert stranger.get("/audience?token=audience-token").status_code == 200
    for page in ("/", "/cue/MAR101", "/results", "/api/cues", "/media/MAR101/original"):
        assert stranger.get(page).status_code == 403
    assert stranger.get("/static/room.css").status_code == 200
    refused = stranger.post("/api/cue/MAR101/decision", json={"take": "1.1", "by": "A"})
    assert refused.status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8760", "127.0.0.1.evil.example"])
def test_a_foreign_name_for_this_machine_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 421


def test_changes_come_from_the_rooms_own_pages(client: TestClient) -> None:
    place, body = "/api/cue/MAR101/decision", {"take": "1.1", "by": "Ines", "rating": 3}
    other = {"origin": "http://evil.example"}
    assert client.post(place, json=body, headers=other).status_code == 403
    assert client.post(place, data=body).status_code == 415
    plain = {"content-type": "text/plain"}
    assert client.post(place, content=json.dumps(body), headers=plain).status_code == 415
    assert client.post(place, json=body, headers={"origin": HOST}).status_code == 200


def test_what_is_sent_is_bounded(client: TestClient) -> None:
    place = "/api/cue/MAR101/decision"
    long = {"take": "1.1", "by": "Ines", "comment": "x" * 100_000}
    assert client.post(place, json=long).status_code == 413
    assert client.post(place, json=long | {"comment": "x" * 5000}).status_code == 422

    def pieces() -> Iterator[bytes]:  # no length is declared
        for _ in range(100):
            yield b" " * 1000
        yield json.dumps({"take": "1.1", "by": "Ines", "rating": 1}).encode()

    kind = {"content-type": "application/json"}
    assert client.post(place, content=pieces(), headers=kind).status_code == 411


def test_every_answer_keeps_scripts_and_frames_out(client: TestClient) -> None:
    for page in (*PAGES, "/nowhere"):
        headers = client.get(page).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/media/../production.toml",
        "/media/%2e%2e/%2e%2e/production.toml",
        "/media/MAR101/..%2f..%2fproduction.toml",
        "/media/MAR101/take/..%2f1.1",
        "/media/MAR101/take/%2fetc%2fpasswd",
        "/media/MAR101/production.toml",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/cue/..%2f..%2fetc%2fpasswd",
        "/api/cue/..%2f..%2fconsent.toml",
        "/api/cue/MAR101%00",
    ],
)
def test_no_path_from_outside_is_followed(client: TestClient, path: str) -> None:
    answer = client.get(f"{HOST}{path}")
    assert answer.status_code in (404, 405)
    assert "root:" not in answer.text
    assert "[people" not in answer.text


def _with_take(production: Production, wav: str) -> None:
    """The first cue's best take, said to lie at `wav`."""
    path = production.work / "cues" / "MAR101.json"
    state = json.loads(path.read_text("utf-8"))
    state["takes"][0]["wav"] = wav
    path.write_text(json.dumps(state), "utf-8")


@pytest.mark.parametrize("kind", ["link", "linked folder", "dots", "absolute", "gone"])
def test_no_file_outside_the_production_is_served(
    client: TestClient, production: Production, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"RIFFsecret")
    wav = "work/steps/out.wav"
    if kind == "link":
        (production.folder / wav).symlink_to(secret)
    elif kind == "linked folder":
        (production.folder / "work" / "door").symlink_to(tmp_path)
        wav = "work/door/secret.wav"
    elif kind == "dots":
        wav = "../secret.wav"
    elif kind == "absolute":
        wav = str(secret)
    _with_take(production, wav)
    for path in ("/media/MAR101/take/1.1", "/api/cue/MAR101/outline/take/1.1"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "secret" not in answer.text
    assert "secret" not in client.get("/api/cue/MAR101").text.replace("secret.wav", "secret.wav")
    assert client.get("/media/MAR101/take/1.2").status_code == 200


def test_footage_is_not_followed_out_either(client: TestClient, production: Production) -> None:
    film = production.folder / "footage" / "presenter.mp4"
    outside = production.folder.parent / "elsewhere.mp4"
    film.rename(outside)
    film.symlink_to(outside)
    assert client.get("/media/MAR101/original").status_code == 404
    assert client.get("/api/cue/MAR101").json()["original"]["state"] == "failed"


def test_footage_that_the_production_file_names_may_lie_elsewhere(production: Production) -> None:
    film = production.folder / "footage" / "presenter.mp4"
    outside = production.folder.parent / "elsewhere.mp4"
    film.rename(outside)
    scene = production.scenes["1"].model_copy(
        update={"footage": production.folder / ".." / "elsewhere.mp4"}
    )
    moved = production.model_copy(update={"scenes": {"1": scene}})
    assert Desk(moved).footage(scene.footage) == outside.resolve()
    with pytest.raises(Exception, match="not there any more"):
        Desk(moved).footage(production.folder / ".." / "other.mp4")


def test_keys_are_private_kept_and_renewed(tmp_path: Path) -> None:
    first = Keys.kept(tmp_path / "screening")
    path = tmp_path / "screening" / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keys.kept(tmp_path / "screening") == first
    assert Keys.kept(tmp_path / "screening", renew=True) != first
    path.write_text("{")
    assert Keys.kept(tmp_path / "screening") != first
    assert len({first.editor, first.audience, first.secret}) == 3
    assert first.editor not in repr(first)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Keys.kept(tmp_path / "file")


def test_a_damaged_state_is_a_waiting_cue(client: TestClient, production: Production) -> None:
    (production.work / "cues" / "MAR101.json").write_text("{", "utf-8")
    assert CueState.read(production, "MAR101").status == "waiting"
    assert client.get("/cue/MAR101").status_code == 200
    assert client.get("/media/MAR101/shot").status_code == 404
