"""What editors see and do, over HTTP; the browser has a test of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from align.formats import read_timing
from align.timing import Span, Timing
from media.audio import read_sound
from media.errors import AlignError
from media.video import probe
from studio.batch.records import read_decisions, read_requests
from studio.disclosure import Row, append_row, read_rows
from studio.ledger import read_ledger
from studio.production import Production
from studio.screening import waves

EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


def _ready(client: TestClient, cue: str = "MAR101") -> dict:
    """The cue's player once its pictures are made."""
    for _ in range(300):
        player = client.get(f"/api/cue/{cue}").json()
        if "making" not in (player["original"]["state"], player["shot"]["state"]):
            return player
        time.sleep(0.1)
    raise AssertionError("the excerpts were never made")


def test_the_list_shows_what_meets_its_objectives(client: TestClient) -> None:
    page = client.get("/").text
    assert "The Harbour" in page
    assert "She greets the town" in page
    assert "lips shut on p, b, m" in page  # what MAR102 fails
    lights = {row["id"]: row["light"] for row in client.get("/api/cues").json()}
    assert lights == {"MAR101": "green", "MAR102": "red", "MAR103": ""}


def test_the_list_is_sent_again_only_when_something_changed(client: TestClient) -> None:
    tag = client.get("/api/cues").headers["etag"]
    assert client.get("/api/cues", headers={"if-none-match": tag}).status_code == 304
    client.post("/api/cue/MAR101/decision", json={"take": "1.1", "by": "Ines", "circled": True})
    again = client.get("/api/cues", headers={"if-none-match": tag})
    assert again.status_code == 200
    assert again.json()[0]["circled"]


def test_pictures_are_frames_of_the_cue_with_handles(
    client: TestClient, production: Production
) -> None:
    player = _ready(client)
    assert (player["cueIn"], player["cueOut"]) == (12, 59)  # the film begins 12 frames before
    excerpts = sorted((production.work / "screening" / "excerpts").glob("*.mp4"))
    infos = [probe(path) for path in excerpts]
    assert [i.frames for i in infos] == [71, 71]
    assert {i.pix_fmt for i in infos} == {"yuv420p"}
    assert all(i.height <= 540 for i in infos)
    whole = client.get(player["original"]["url"])
    part = client.get(player["original"]["url"], headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    beyond = client.get(player["original"]["url"], headers={"range": "bytes=999999999-"})
    assert beyond.status_code == 416


def test_takes_come_with_their_sound_words_and_phones(
    client: TestClient, production: Production
) -> None:
    take = client.get("/api/cue/MAR101").json()["takes"][0]
    assert [w[0] for w in take["words"]] == ["Good", "evening", "I'm", "Mara", "Voss"]
    assert take["phones"][0][0] == "G"
    wav = client.get(take["audio"])
    assert wav.headers["content-type"] == "audio/wav"
    local = production.work / "steps" / "takes-MAR101" / "take-1.wav"
    assert wav.content == local.read_bytes()
    outline = client.get("/api/cue/MAR101/outline/take/1.1").json()
    peak = abs(read_sound(local).samples).max()
    assert max(*outline["high"], *(-v for v in outline["low"])) == pytest.approx(127 * peak, abs=1)
    assert len(outline["high"]) == pytest.approx(outline["perSecond"] * outline["duration"], abs=1)


def test_a_cue_without_results_says_how_to_get_them(client: TestClient) -> None:
    assert "wildline batch" in client.get("/cue/MAR103").text
    player = _ready(client, "MAR103")
    assert (player["original"]["state"], player["shot"]["state"]) == ("ready", "none")
    assert player["takes"] == []


def test_decisions_are_kept_shown_and_escaped(client: TestClient, production: Production) -> None:
    place = "/api/cue/MAR101/decision"
    for sent in (
        {"take": "1.2", "by": "Ines", "rating": 4},
        {"take": "1.2", "by": "Tom", "rating": 2},
        {"take": "1.2", "by": "Tom", "comment": EVIL},
        {"take": "1.2", "by": EVIL, "circled": True},
    ):
        assert client.post(place, json=sent).status_code == 200
    panel = client.get("/cue/MAR101/panel").text
    assert "3.0 of 5" in panel
    assert "<script" not in panel
    assert "<img" not in panel
    assert "&lt;script&gt;" in panel
    assert len(read_decisions(production)["MAR101"]) == 4


@pytest.mark.parametrize(
    "sent",
    [
        {"take": "9.9", "by": "Ines", "rating": 4},
        {"take": "1.1", "by": " ", "rating": 4},
        {"take": "1.1", "by": "Ines", "rating": 6},
        {"take": "1.1", "by": "Ines", "stars": 4},
        {"take": "../x", "by": "Ines"},
        [],
        "x",
    ],
)
def test_nonsense_is_refused_in_words(
    client: TestClient, production: Production, sent: object
) -> None:
    answer = client.post("/api/cue/MAR101/decision", json=sent)
    assert answer.status_code in (404, 422)
    assert answer.json()["error"]
    assert not read_decisions(production)


def test_an_approval_is_in_the_ledger_and_names_the_approver_in_the_sheet(
    client: TestClient, production: Production
) -> None:
    from media.files import sha256_of

    delivered = production.out / "MAR101" / "MAR101.wav"
    delivered.parent.mkdir(parents=True)
    delivered.write_bytes(b"delivered")
    path = production.work / "cues" / "MAR101.json"
    state = json.loads(path.read_text("utf-8")) | {"delivered": ["out/MAR101/MAR101.wav"]}
    path.write_text(json.dumps(state), "utf-8")
    row = Row(**(dict.fromkeys(Row.__dataclass_fields__, "") | {"sha256": sha256_of(delivered)}))
    append_row(production.disclosure, row)
    sent = {"take": "1.1", "by": "Ines", "approved": True}
    assert client.post("/api/cue/MAR101/decision", json=sent).status_code == 200
    first, second = read_ledger(production.ledger)
    assert (first.event, first.facts["by"]) == ("cue.approved", "Ines")
    assert (second.event, second.facts["take"]) == ("output.approved", "1.1")
    assert second.facts["outputs"] == [{"file": str(delivered), "sha256": sha256_of(delivered)}]
    assert read_rows(production.disclosure)[0].approver == "Ines"
    assert "Approved by Ines" in client.get("/cue/MAR101/panel").text
    again = {"time": "2999-01-01T00:00:00+00:00", "status": "done", "reason": ""}
    path.write_text(json.dumps(state | {"history": [*state["history"], again]}), "utf-8")
    assert "Approved by" not in client.get("/cue/MAR101/panel").text  # made anew since


def test_an_unwritable_ledger_stops_an_approval(client: TestClient, production: Production) -> None:
    production.ledger.mkdir()
    sent = {"take": "1.1", "by": "Ines", "approved": True}
    answer = client.post("/api/cue/MAR101/decision", json=sent)
    assert answer.status_code == 409
    assert "nothing is made without a record" in answer.json()["error"]
    assert not read_decisions(production)


def test_a_new_wording_is_asked_for(client: TestClient, production: Production) -> None:
    sent = {"by": "Ines", "text": "Good  evening,\nI am Mara.", "note": "warmer"}
    assert client.post("/api/cue/MAR101/wish", json=sent).status_code == 200
    (request,) = read_requests(production)["MAR101"]
    assert (request.text, request.note) == ("Good evening, I am Mara.", "Ines: warmer")
    rows = client.get("/api/cues").json()
    assert (rows[0]["asked"], rows[0]["light"]) == (1, "amber")
    assert "Good evening, I am Mara." in client.get("/cue/MAR101").text
    assert client.post("/api/cue/MAR101/wish", json={"by": "I", "text": " "}).status_code == 422


def test_moved_phones_become_a_timing_that_the_batch_reads(
    client: TestClient, production: Production
) -> None:
    take = client.get("/api/cue/MAR101").json()["takes"][0]
    phones = [[start, end] for _, start, end in take["phones"]]
    shared = next(i for i in range(len(phones) - 1) if phones[i][1] == phones[i + 1][0])
    phones[shared][1] = phones[shared + 1][0] = phones[shared][1] + 0.01
    sent = {"by": "Ines", "take": "1.1", "phones": phones}
    assert client.post("/api/cue/MAR101/wish", json=sent).status_code == 200
    (request,) = read_requests(production)["MAR101"]
    assert request.timing is not None
    timing = read_timing(production.folder / request.timing)
    assert [p.label for p in timing.phones] == [p[0] for p in take["phones"]]
    assert timing.phones[shared].end_s == pytest.approx(phones[shared][1])
    sent = {"by": "Ines", "take": "1.1", "phones": [*phones[:-1], [1.0, 0.5]]}
    assert client.post("/api/cue/MAR101/wish", json=sent).status_code == 422
    sent = {"by": "Ines", "take": "1.2", "phones": phones}
    assert "circle this one first" in client.post("/api/cue/MAR101/wish", json=sent).json()["error"]


def test_words_follow_their_moved_phones() -> None:
    words = (Span("ab", 0.1, 0.4), Span("c", 0.5, 0.7))
    phones = (Span("A", 0.1, 0.2), Span("B", 0.2, 0.4), Span("C", 0.5, 0.7))
    timing = Timing(words, phones, 1.0)
    new = waves.moved(timing, [(0.05, 0.2), (0.2, 0.45), (0.5, 0.9)])
    assert [(w.label, w.start_s, w.end_s) for w in new.words] == [
        ("ab", 0.05, 0.45),
        ("c", 0.5, 0.9),
    ]
    for bad in (
        [(0, 0.1)],
        [(0.1, 0.2), (0.15, 0.4), (0.5, 0.7)],
        [(0, 0.1), (0.2, 0.3), (0.5, 2)],
    ):
        with pytest.raises(AlignError):
            waves.moved(timing, bad)


def test_prores_and_odd_sizes_become_playable(tmp_path: Path) -> None:
    from synthetic import synthetic_frames, synthetic_info, tone

    from media.video import FootageWriter
    from studio.screening.excerpts import Excerpt, Excerpts

    source, info = tmp_path / "odd.mov", synthetic_info(width=162, height=121)
    with FootageWriter(source, info, codec="prores", sound=tone(1.0)) as writer:
        for frame in synthetic_frames(24, info):
            writer.write(frame)
    excerpts = Excerpts(tmp_path / "excerpts")
    made = probe(excerpts.made(Excerpt(source, 4, 20)))
    assert (made.frames, made.width % 2, made.height % 2, made.pix_fmt) == (16, 0, 0, "yuv420p")
    assert made.has_sound
    broken = tmp_path / "broken.mov"
    broken.write_bytes(b"nothing")
    job = Excerpt(broken)
    for _ in range(100):
        state, why = excerpts.state(job)
        if state != "making":
            break
        time.sleep(0.05)
    assert (state, "broken.mov" in why) == ("failed", True)
    excerpts.close()


def test_a_wild_line_is_sound_alone(client: TestClient, production: Production) -> None:
    sheet = production.folder / "cues.csv"
    rows = sheet.read_text("utf-8").splitlines()
    rows[2] = 'MAR102,1,Mara,,,"For forty years."'
    sheet.write_text("\n".join(rows) + "\n", "utf-8")
    player = client.get("/api/cue/MAR102").json()
    assert (player["original"]["state"], player["cueIn"], player["cueOut"]) == ("none", 0, None)
    assert player["takes"][0]["audio"]


def test_both_pictures_begin_on_the_shots_first_frame(
    client: TestClient, production: Production
) -> None:
    """A shot may be longer than cue and handles, where the line outlasts the cue."""
    path = production.work / "cues" / "MAR101.json"
    state = json.loads(path.read_text("utf-8"))
    state["original"] |= {"first": 5, "stop": 100}
    path.write_text(json.dumps(state), "utf-8")
    player = _ready(client)
    assert (player["cueIn"], player["cueOut"], player["startFrame"]) == (7, 54, 5)
    excerpts = (production.work / "screening" / "excerpts").glob("*.mp4")
    assert sorted(probe(p).frames or 0 for p in excerpts) == [71, 95]


def test_what_is_wrong_with_the_sheets_is_on_the_first_page(
    client: TestClient, production: Production
) -> None:
    sheet = production.folder / "cues.csv"
    sheet.write_text(sheet.read_text("utf-8").replace("MAR103,1,Mara", "MAR103,1,Nobody"), "utf-8")
    page = client.get("/").text
    assert "cues.csv, row 4" in page
    assert "Nobody" in page
