"""A consent record covers exactly what it says, for exactly as long."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.errors import ConsentError, OutputError, ProvenanceError
from studio.consent import (
    USES,
    Consent,
    Document,
    check,
    load_consent,
    save_consent,
    sha256_of_document,
)
from studio.ledger import Ledger, read_ledger

TODAY = date(2026, 6, 1)
DATES = st.dates(date(2025, 1, 1), date(2028, 1, 1))


def test_a_saved_record_reads_back_the_same(consent: Consent, tmp_path: Path) -> None:
    full = consent.model_copy(
        update={"revoked": date(2026, 9, 1), "lines": ('He said "no" \\ twice.', "Ö, ja #1")}
    )
    for record in (consent, full):
        save_consent(record, tmp_path / "consent.toml")
        assert load_consent(tmp_path / "consent.toml") == record
    assert "# whose voice or face it is" in (tmp_path / "consent.toml").read_text("utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["consent.toml"]


def test_the_unset_revocation_is_there_to_be_uncommented(consent: Consent, tmp_path: Path) -> None:
    path = tmp_path / "consent.toml"
    save_consent(consent, path)
    path.write_text(
        path.read_text("utf-8").replace("# revoked = 2030-01-31", "revoked = 2026-05-31")
    )
    assert load_consent(path).revoked == date(2026, 5, 31)


@given(
    start=DATES, signed=DATES, length=st.integers(0, 900), revoked=st.none() | DATES, today=DATES
)
def test_validity_is_the_closed_interval_cut_by_revocation(
    start: date, signed: date, length: int, revoked: date | None, today: date
) -> None:
    record = Consent(
        id="x",
        person="A",
        project="P",
        uses=USES,
        description="d",
        signed=signed,
        start=start,
        expiry=start + timedelta(days=length),
        revoked=revoked,
        rights_holder={"name": "A", "relation": "self"},  # type: ignore[arg-type]
        document=Document(sha256="0" * 64),
    )
    days = {start + timedelta(days=i) for i in range(length + 1)}
    valid = today in days and today >= signed and (revoked is None or today < revoked)
    refusal = record.refusal(use="voice-say", today=today)
    assert (refusal is None) == valid
    assert refusal is None or "\n" not in refusal


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"person": "Bob"}, "given by Anna Example, not by Bob"),
        ({"use": "face-alter"}, "but not face-alter"),
        ({"project": "Another Film"}, "is for the project 'The Long Summer', not 'Another Film'"),
        ({"today": date(2026, 1, 31)}, "is valid from 2026-02-01 and today is 2026-01-31"),
        ({"today": date(2027, 2, 1)}, "expired on 2027-01-31"),
        ({"language": "de"}, "covers lines in en, not in de"),
        ({"line": "We never went."}, "'We never went.' is not one of them"),
        ({"territories": ["DE", "US"]}, "covers showing the result in de, AT, not in US; ask Anna"),
        ({"media": ["film", "game"]}, "covers use in film, not in game; ask Anna Example for it"),
    ],
)
def test_each_refusal_says_what_is_missing(
    consent: Consent, asked: dict[str, object], says: str
) -> None:
    record = consent.model_copy(
        update={
            "uses": ("voice-fit", "voice-say"),
            "lines": ("We chose to go, and we went.",),
            "territories": ("de", "AT"),
        }
    )
    question = {"use": "voice-say", "today": TODAY, **asked}
    assert says in (record.refusal(**question) or "")  # type: ignore[arg-type]


def test_names_and_lines_are_compared_as_people_read_them(consent: Consent) -> None:
    record = consent.model_copy(update={"lines": ("We chose to go — and we didn’t.",)})
    refusal = record.refusal(
        use="voice-say",
        person=" anna  EXAMPLE",
        project="the long summer",
        line="we chose to go, and we didn't",
        today=TODAY,
    )
    assert refusal is None


def test_worldwide_and_all_media_cover_everything(consent: Consent) -> None:
    record = consent.model_copy(update={"media": ("All media",)})
    reach = {"territories": ("DE", "US"), "media": ("film", "game")}
    assert record.refusal(use="voice-say", today=TODAY, **reach) is None  # type: ignore[arg-type]


def test_a_grant_says_what_it_rests_on(consent: Consent, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    listed = consent.model_copy(update={"lines": ("We went.",)})
    for record in (consent, listed):
        check(record, use="voice-say", line="We went!", ledger=ledger, today=TODAY)
    bases = [e.facts["basis"] for e in read_ledger(ledger.path)]
    assert bases == ["the description", "a listed line"]


def test_revoked_outweighs_everything_but_the_wrong_person(consent: Consent) -> None:
    record = consent.model_copy(update={"revoked": TODAY})
    assert "revoked on 2026-06-01" in (record.refusal(use="voice-say", today=TODAY) or "")
    assert record.refusal(use="voice-say", today=TODAY - timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("uses = [", "uses_ = ["), "uses: Field required"),
        (('"voice-fit"', '"voice-clone"'), "uses.0: Input should be"),
        (("expiry = 2027-01-31", "expiry = 2025-01-31"), "expiry 2025-01-31 is before start"),
        (("id = ", "id = = "), "is not a TOML file"),
        (('person = "Anna Example"', 'person = "  "'), "person: String should have"),
    ],
)
def test_a_damaged_record_is_one_clear_line(
    consent: Consent, tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    path = tmp_path / "consent.toml"
    save_consent(consent, path)
    text = path.read_text("utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change), "utf-8")
    with pytest.raises(ConsentError) as caught:
        load_consent(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_unreadable_records(tmp_path: Path) -> None:
    with pytest.raises(ConsentError, match="there is no consent record"):
        load_consent(tmp_path / "none.toml")
    with pytest.raises(ConsentError, match="cannot be read"):
        load_consent(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConsentError, match="is not a TOML file"):
        load_consent(tmp_path / "binary.toml")


def test_the_signed_paper_must_be_the_recorded_one(consent: Consent, tmp_path: Path) -> None:
    paper = tmp_path / "release.pdf"
    paper.write_bytes(b"%PDF signed")
    document = Document(path="release.pdf", sha256=sha256_of_document(paper))
    save_consent(consent.model_copy(update={"document": document}), tmp_path / "consent.toml")
    load_consent(tmp_path / "consent.toml")
    paper.write_bytes(b"%PDF signed, and changed")
    with pytest.raises(ConsentError, match="is not the one recorded"):
        load_consent(tmp_path / "consent.toml")
    with pytest.raises(ConsentError, match="cannot be read"):
        sha256_of_document(tmp_path / "none.pdf")


def test_every_check_is_logged_granted_and_refused(consent: Consent, tmp_path: Path) -> None:
    ledger, path = Ledger(tmp_path / "ledger.jsonl"), tmp_path / "consent.toml"
    save_consent(consent, path)
    assert check(path, use="voice-fit", ledger=ledger, today=TODAY) == consent
    with pytest.raises(ConsentError):
        check(path, use="voice-fit", person="Bob", ledger=ledger, today=TODAY)
    with pytest.raises(ConsentError, match="name the record with --consent"):
        check(None, use="face-alter", ledger=ledger, today=TODAY)
    with pytest.raises(ConsentError, match="there is no consent record"):
        check(tmp_path / "none.toml", use="face-alter", ledger=ledger, today=TODAY)
    events = list(read_ledger(ledger.path))
    assert [e.event for e in events] == ["consent.granted"] + ["consent.refused"] * 3
    assert events[0].facts["consent"] == "c0ffee"
    assert events[0].facts["person"] == "Anna Example"
    assert "given by Anna Example" in events[1].facts["reason"]


def test_no_answer_without_a_ledger(consent: Consent, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProvenanceError, match="cannot be written"):
        check(consent, use="voice-fit", ledger=Ledger(tmp_path / "file" / "l.jsonl"), today=TODAY)


def test_a_record_is_not_written_where_there_is_no_place(consent: Consent, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        save_consent(consent, tmp_path / "no" / "consent.toml")


@settings(max_examples=30)
@given(text=st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1).filter(str.strip))
def test_any_name_survives_the_file(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    from studio._consent_toml import to_toml

    record = Consent(
        id="x",
        person=text,
        project=text,
        uses=("voice-say",),
        description=text,
        lines=(text,),
        signed=TODAY,
        start=TODAY,
        expiry=TODAY,
        rights_holder={"name": text, "relation": "estate"},  # type: ignore[arg-type]
        document=Document(sha256=hashlib.sha256(b"").hexdigest(), path="a b.pdf"),
    )
    path = tmp_path_factory.mktemp("names") / "consent.toml"
    path.write_text(to_toml(record), "utf-8")
    assert load_consent(path) == record
