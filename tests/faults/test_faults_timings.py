"""Timings: what comes back from every format, and that damage is refused and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults_damage import one_line, spliced
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import tone

from align.formats import FORMATS, read_timing, write_timing
from align.timing import Span, Timing
from media.errors import AlignError, WildlineError

TIMING = Timing(
    (Span("this", 0.1, 0.4), Span("is,", 0.4, 0.6), Span('"it"', 0.6, 0.9)),
    (Span("DH", 0.1, 0.2), Span("IH", 0.2, 0.6), Span("R", 0.6, 0.7), Span("IY", 0.7, 0.9)),
    2.0,
)


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    """Words in order, to the millisecond, with pauses between some of them."""
    at, words = 0, []
    for label in draw(
        st.lists(st.from_regex(r"[^\W_][\w'é]{0,8}", fullmatch=True), min_size=1, max_size=8)
    ):
        at += draw(st.sampled_from((0, 40, 900)))
        end = at + draw(st.integers(1, 700))
        words.append(Span(label, at / 1000, end / 1000))
        at = end
    return Timing(tuple(words), (), at / 1000 + draw(st.sampled_from((0.0, 0.5))))


@pytest.mark.parametrize(
    "form", ["textgrid", "textgrid-short", "json", "ctm", "mfa", "srt-words", "vtt"]
)
@settings(max_examples=15, deadline=None)
@given(timing=timings())
def test_words_come_back_to_the_millisecond(
    form: str, timing: Timing, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"back-{form}{FORMATS[form]}"
    write_timing(timing, path, form)
    back = read_timing(path)
    assert [w.label for w in back.words] == [w.label for w in timing.words]
    for old, new in zip(timing.words, back.words, strict=True):
        assert abs(old.start_s - new.start_s) < 1.1e-3
        assert abs(old.end_s - new.end_s) < 1.1e-3


@pytest.mark.parametrize("form", sorted(FORMATS))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_read_never_a_crash(
    form: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"damaged-{form}{FORMATS[form]}"
    write_timing(TIMING, path, form)
    path.write_bytes(spliced(path.read_bytes(), data))
    try:
        read = read_timing(path)
    except WildlineError as error:
        one_line(error)
        return
    assert 0 <= read.duration_s < float("inf")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "Begin,End,Label,Type,Speaker\n0,1,a\rb,words,\n"),
        ("a.csv", 'Begin,End,Label,Type,Speaker\n0,1,"' + "a" * 200_000),
        ("a.json", "[" * 100_000),
        ("a.json", '{"words": [], "phones": [], "duration": NaN}'),
        ("a.json", '{"words": [], "phones": [], "duration": -5}'),
        (
            "a.json",
            '{"words": [{"label": "a", "start": 0, "end": 1e400}], "phones": [], "duration": 1}',
        ),
        ("a.json", '{"mouthCues": [], "metadata": {"duration": 1e400}}'),
        (
            "a.TextGrid",
            'File type = "ooTextFile"\nObject class = "TextGrid"\n0\n1\n<exists>\n1e400\n',
        ),
        ("a.xml", "<a>" * 100_000),
    ],
)
def test_found_broken_once(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    with pytest.raises(AlignError):
        read_timing(tmp_path / name)


def test_a_timing_is_as_long_as_its_sound(tmp_path: Path) -> None:
    """A length of a thousand years made a table of curves that filled the disk."""
    from studio._sources import line_timing

    phones = tuple(Span("AH", w.start_s, w.end_s) for w in TIMING.words)
    write_timing(Timing(TIMING.words, phones, 3e10), tmp_path / "a.TextGrid")
    found = line_timing(Path("a.wav"), tone(2.0), None, tmp_path / "a.TextGrid")
    assert found.duration_s == 2.0
    assert found.words[-1].end_s < 2.0


def test_a_damaged_table_of_transcripts_is_read_up_to_the_damage(tmp_path: Path) -> None:
    from voice._sidecar import Transcripts

    (tmp_path / "metadata.csv").write_text('a,Hello.\nb,"' + "x" * 200_000)
    texts = Transcripts()
    assert texts.of(tmp_path / "a.wav") == "Hello."
    assert texts.of(tmp_path / "b.wav") is None
