"""A blind comparison: who sees what, what is asked, and what the counts may claim."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import comb, sqrt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from media.errors import OutputError
from studio.batch.results import cue_results
from studio.production import Production, ProductionError
from studio.screening import Desk, Keys, make_app, tallies, votes, wilson
from studio.screening.questions import load_screening

HOST = "http://127.0.0.1:8760"
ANSWERS = {"believable": 4, "moved": 3, "noticed": False, "remark": ""}


# --- intervals ---------------------------------------------------------------------------------


@given(n=st.integers(1, 500), data=st.data())
def test_the_interval_holds_the_shares_that_the_count_does_not_reject(
    n: int, data: st.DataObject
) -> None:
    """By definition: p is inside when |seen - p| is at most z standard errors *of p*."""
    seen = data.draw(st.integers(0, n)) / n
    low, high = wilson(seen, n)
    assert 0 <= low <= seen <= high <= 1
    z = 1.959964
    for edge, out in ((low, -1e-6), (high, 1e-6)):
        if 1e-9 < edge < 1 - 1e-9:
            assert abs(seen - edge) == pytest.approx(z * sqrt(edge * (1 - edge) / n), rel=1e-6)
            p = min(max(edge + out, 0.0), 1.0)
            assert abs(seen - p) > z * sqrt(p * (1 - p) / n) - 1e-12


def test_the_interval_of_nothing_is_everything() -> None:
    assert wilson(0.5, 0) == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_it_covers_about_as_often_as_it_says(share: float) -> None:
    """Exact coverage for 30 answers, summed over the binomial distribution."""
    n = 30
    covered = sum(
        comb(n, k) * share**k * (1 - share) ** (n - k)
        for k in range(n + 1)
        if wilson(k / n, n)[0] <= share <= wilson(k / n, n)[1]
    )
    assert covered > 0.92


# --- a screening -------------------------------------------------------------------------------


@pytest.fixture
def viewer(production: Production, keys: Keys) -> Iterator[TestClient]:
    with TestClient(make_app(Desk(production), keys), base_url=HOST) as client:
        client.get("/audience", params={"token": keys.audience})
        yield client


def _send(client: TestClient, cue: str, **changes: object) -> int:
    first, second = (ANSWERS | {"own": {}} | changes for _ in range(2))
    body = {"answers": [first, second], "prefer": "second"}
    return client.post(f"/audience/answer/{cue}", json=body).status_code


def _votes(production: Production) -> list[dict]:
    path = production.work / "audience.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_viewer_goes_through_all_clips_once(viewer: TestClient, production: Production) -> None:
    assert "2 clips" in viewer.get("/audience").text
    seen = []
    for _ in range(2):
        page = viewer.get("/audience/next")
        cue = page.url.path.rpartition("/")[2]
        seen.append(cue)
        assert f"clip {len(seen)} of 2" in page.text
        assert _send(viewer, cue) == 200
        assert _send(viewer, cue) == 404  # once
    assert sorted(seen) == ["MAR101", "MAR102"]
    assert "Thank you for watching" in viewer.get("/audience/next").text
    assert len(_votes(production)) == 2
    assert {r.cue.id: r.values.get("audience") for r in cue_results(production)} == {
        "MAR101": 4.0, "MAR102": 4.0, "MAR103": None,
    }  # fmt: skip


def test_nothing_on_the_page_tells_which_version_is_which(
    viewer: TestClient, production: Production, keys: Keys
) -> None:
    page = viewer.get("/audience/cue/MAR101").text
    for word in ("original", "take", "1.1", "rendered", "shot", "take-1.wav"):
        assert word not in page
    for name in ("original", "shot", "1.1", "0" * 24):
        assert viewer.get(f"/audience/media/MAR101/{name}").status_code == 404
    orders = set()
    for number in range(20):
        other = Keys(keys.editor, keys.audience, f"secret {number}")
        with TestClient(make_app(Desk(production), other), base_url=HOST) as client:
            client.get("/audience", params={"token": keys.audience})
            _send(client, "MAR101")
            orders.add(tuple(_votes(production)[-1]["versions"]))
    assert orders == {("original", "1.1"), ("1.1", "original")}


def test_both_versions_play_under_their_blind_names(viewer: TestClient) -> None:
    import re
    import time

    names = re.findall(r'data-src="([^"]+)"', viewer.get("/audience/cue/MAR102").text)
    for _ in range(200):
        if viewer.get("/audience/state/MAR102").json()["state"] == "ready":
            break
        time.sleep(0.05)
    films = [viewer.get(name).content for name in names]
    assert all(film[4:8] == b"ftyp" for film in films)
    assert films[0] != films[1]
    assert viewer.get(names[0], headers={"range": "bytes=0-9"}).status_code == 206


@pytest.mark.parametrize(
    "changes",
    [
        {"believable": 6},
        {"believable": 0},
        {"noticed": "yes"},
        {"remark": "x" * 1001},
        {"own": {"trust": 3}},
        {"extra": 1},
    ],
)
def test_answers_out_of_bounds_are_refused(
    viewer: TestClient, production: Production, changes: dict[str, object]
) -> None:
    assert _send(viewer, "MAR101", **changes) == 422
    assert not (production.work / "audience.jsonl").exists()


def test_a_viewers_number_cannot_be_made_up(viewer: TestClient, production: Production) -> None:
    viewer.cookies.set("wildline-viewer", "deadbeef.000000000000000000000000", path="/")
    viewer.cookies.delete("wildline-viewer", domain="127.0.0.1", path="/")
    assert _send(viewer, "MAR101") == 404
    assert not (production.work / "audience.jsonl").exists()


def test_the_productions_own_questions_and_pairs(
    production: Production, keys: Keys, viewer: TestClient
) -> None:
    (production.folder / "screening.toml").write_text(
        '[[questions]]\nkey = "trust"\nask = "Did you <trust> her?"\n'
        '[[questions]]\nkey = "seen"\nask = "Seen before?"\nkind = "yes-no"\n'
        '[[pairs]]\ncue = "MAR101"\nversions = ["1.1", "1.2"]\n',
        "utf-8",
    )
    assert "1 clip" in viewer.get("/audience").text
    page = viewer.get("/audience/next").text
    assert "Did you &lt;trust&gt; her?" in page
    assert _send(viewer, "MAR101") == 422
    assert _send(viewer, "MAR101", own={"trust": 5, "seen": 1}) == 422
    assert _send(viewer, "MAR101", own={"trust": 5, "seen": True}) == 200
    assert _send(viewer, "MAR102") == 404
    tally = tallies(production, {"MAR101": "1"})["MAR101"]
    assert [v.name for v in tally.versions] == ["1.1", "1.2"]
    assert (tally.versions[0].own["trust"].value, tally.versions[0].own["seen"].value) == (5, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("questions = 3", "questions"),
        ('[[questions]]\nkey = "A b"\nask = "?"', "questions.0.key"),
        ('[[pairs]]\ncue = "x"\nversions = ["1.1"]', "pairs.0.versions"),
        ('[[pairs]]\ncue = "x"\nversions = ["1.1", "1.1"]', "pairs.0"),
        ("= =", "TOML"),
    ],
)
def test_a_wrong_screening_file_names_the_key(production: Production, text: str, says: str) -> None:
    (production.folder / "screening.toml").write_text(text, "utf-8")
    with pytest.raises(ProductionError, match=says):
        load_screening(production)


# --- counting ----------------------------------------------------------------------------------


def _vote(cue: str, viewer: int, original: int, made: int, prefer: str | None) -> dict[str, object]:
    def said(rating: int) -> dict[str, object]:
        return {"believable": rating, "moved": 3, "noticed": rating < 3}

    versions = {"original": said(original), "1.1": said(made)}
    return {"cue": cue, "viewer": str(viewer), "versions": versions, "prefer": prefer,
            "rating": made}  # fmt: skip


def test_an_objective_is_met_only_when_the_whole_interval_says_so(production: Production) -> None:
    for n, rating in ((0, 5), (1, 4)):
        votes.record_vote(production, _vote("MAR101", n, 4, rating, "1.1"))
    assert tallies(production, {"MAR101": "1"})["MAR101"].standing == "open"
    for n in range(2, 60):
        votes.record_vote(production, _vote("MAR101", n, 4, 4 + n % 2, [None, "1.1"][n % 2]))
        votes.record_vote(production, _vote("MAR102", n, 4, 1 + n % 2, "original"))
    counted = tallies(production, {"MAR101": "1", "MAR102": "1"})
    assert (counted["MAR101"].standing, counted["MAR102"].standing) == ("met", "missed")
    first = counted["MAR101"]
    assert (first.viewers, first.undecided) == (60, 29)
    assert first.versions[1].believable.value == pytest.approx(4.5)
    assert (first.prefer.n, first.prefer.value) == (31, 1.0)
    assert first.prefer.low == pytest.approx(wilson(1.0, 31)[0])
    assert counted["MAR102"].prefer.value == 0.0
    assert counted["MAR102"].versions[1].noticed.value == 1.0


def test_lines_of_other_kinds_are_passed_over(production: Production) -> None:
    path = production.work / "audience.jsonl"
    path.write_text('{"cue": "MAR101", "rating": 4}\n[1]\nrubbish\n{"versions": 3}\n', "utf-8")
    assert tallies(production, {"MAR101": "1"}) == {}


def test_a_full_file_takes_no_more(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    votes.record_vote(production, _vote("MAR101", 1, 4, 4, None))
    monkeypatch.setattr(votes, "_LARGEST", 10)
    with pytest.raises(OutputError, match="is full"):
        votes.record_vote(production, _vote("MAR101", 2, 4, 4, None))


def test_results_are_shown_to_editors(client: TestClient, production: Production) -> None:
    assert "Nobody has answered yet" in client.get("/results").text
    vote = _vote("MAR101", 1, 4, 5, "1.1")
    vote["versions"]["1.1"]["remark"] = "<b>the lips</b>"  # type: ignore[index]
    votes.record_vote(production, vote)
    page = client.get("/results").text
    assert "objective 3.5: open" in page
    assert "&lt;b&gt;the lips" in page
    assert "100%" in page
    assert Path(production.work / "audience.jsonl").is_file()
