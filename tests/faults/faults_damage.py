"""Damage as hypothesis draws it, and what a refusal looks like."""

from __future__ import annotations

from hypothesis import strategies as st

BITS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 7)), min_size=1, max_size=6)
_ODD = (b"", b"\r", b'"', b"\0", b"\xff", b"-1", b"1e400", b"nan", b"inf", b"[", b"{", b"<")
_ODD += (b"9" * 30, b"\n\n", b"= 1", b"1e999999999", b"[" * 5000)


def flipped(whole: bytes, bits: list[tuple[int, int]]) -> bytes:
    """`whole` with these bits turned over."""
    changed = bytearray(whole)
    for at, bit in bits:
        changed[at % len(changed)] ^= 1 << bit
    return bytes(changed)


def spliced(whole: bytes, data: st.DataObject) -> bytes:
    """A piece taken out of `whole`, and something else put there."""
    first = data.draw(st.integers(0, len(whole)))
    last = data.draw(st.integers(first, min(len(whole), first + 40)))
    piece = data.draw(st.one_of(st.sampled_from(_ODD), st.binary(max_size=12)))
    return whole[:first] + piece + whole[last:]


def one_line(error: Exception) -> None:
    """A refusal is one line, short enough to be read."""
    assert "\n" not in str(error)
    assert len(str(error)) < 1000
