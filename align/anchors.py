"""A long text laid over what a recogniser heard, so that it can be cut into pieces.

The recogniser mishears words, and transcripts leave words out or add some; words that both
have are anchors (`align.agreement`). Words between two anchors that lie in different pieces
are shared out in proportion to what was heard on each side of the cut.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from align.agreement import Agreement, compare
from media.errors import AlignError

if TYPE_CHECKING:
    from align.text import Script
    from align.timing import Span

__all__ = ["LEAST_IN_COMMON", "divide_script", "refuse_another_text", "whole_token"]

LEAST_IN_COMMON = 0.25
"""Share of the words that text and speech must have in common to be taken for the same."""
# A text of fewer words is refused only when not one of them is heard.
_FEW = 4
_SHOWN = 60


def divide_script(
    script: Script,
    heard: Sequence[Span],
    ends: Sequence[float],
    agreement: Agreement | None = None,
) -> list[tuple[int, int]]:
    """For each piece (it ends at `ends[i]` seconds) its words [first, last) of `script`.

    `heard` are recognised words with rough times, `agreement` how they fit the script where
    that is known already. The ranges follow on each other and cover all words; written
    tokens are never divided. Raises `AlignError` when text and speech have next to nothing
    in common.
    """
    agreement = agreement or compare(script, heard)
    refuse_another_text(agreement)
    pieces = [min(bisect_right(ends, h.span.middle_s), len(ends) - 1) for h in agreement.heard]
    positions = _positions(agreement.counterpart, len(pieces))
    cuts = [0]
    for piece in range(len(ends) - 1):
        heard_before = bisect_right(pieces, piece)
        cut = bisect_right(positions, heard_before - 0.5)
        cuts.append(max(cuts[-1], whole_token(script, cut)))
    return list(zip(cuts, [*cuts[1:], len(script.words)], strict=True))


def refuse_another_text(agreement: Agreement) -> None:
    """Raise `AlignError` when next to nothing of the text can be heard."""
    few = agreement.compared < _FEW
    if (
        agreement.compared > 1
        and agreement.share < LEAST_IN_COMMON
        and not (few and agreement.share)
    ):
        said = " ".join(dict.fromkeys(h.span.label for h in agreement.heard))
        if len(said) > _SHOWN:
            said = said[:_SHOWN].rsplit(" ", 1)[0] + " …"
        raise AlignError(
            f"this is not the text of this sound ({100 * agreement.share:.0f} % of its words can "
            f"be heard): what is said is rather '{said}'; give its own text, in the language that "
            "is spoken (English), or none"
        )


def _positions(counterpart: Sequence[int], heard: int) -> list[float]:
    """For every word of the text its place among the heard words, monotonic.

    Words with a counterpart have its place; words between are spread evenly.
    """
    own = len(counterpart)
    known = [(-1, -1.0)]
    known += [(i, float(j)) for i, j in enumerate(counterpart) if j >= 0]
    known.append((own, float(heard)))
    places: list[float] = []
    for (left, at), (right, to) in pairwise(known):
        gap = right - left
        places += [at + (to - at) * (i + 1) / gap for i in range(gap - 1)]
        if right < own:
            places.append(to)
    return places


def whole_token(script: Script, cut: int) -> int:
    """The start of the written token that a cut before word `cut` would divide."""
    words = script.words
    while 0 < cut < len(words) and words[cut].start_char == words[cut - 1].start_char:
        cut -= 1
    return cut
