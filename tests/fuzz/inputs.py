# SPDX-License-Identifier: Apache-2.0
"""Make inputs for the readers: kept ones with pieces exchanged, repeated and removed."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fuzz.targets import MARKER, corpus

MAX_SIZE = 64 * 1024

PIECES = (
    *(b"&a ", b"*a", b"<<: *a\n", b"? ", b"- ", b": ", b"\n  ", b"{", b"}", b"[", b"]", b",", b"#"),
    *(
        b"${",
        b"}",
        b"${a}",
        b"${b}${b}",
        b"${oc.env:HOME}",
        b"${workspace}",
        b"???",
        b"\\${",
        b"/**/",
        b"a/**/" * 9,
    ),
    *(b"!!int ", b"!!python/name:os.system ", b"!!binary ", b"%TAG ! x\n", b"---\n", b"...\n"),
    *(b"0x", b"1:59", b"1_000", b"022", b".inf", b".nan", b"1e999", b"-0", b"9" * 30, b"9" * 5000),
    *(b"2001-13-45", b"yes", b"null", b"~", b'"', b"'", b"|", b">", b"\t", b"\r", b"\xef\xbb\xbf"),
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\x1b[2J", b"\xcc\x81a"),
    *(b"tasks:\n", b"hosts:\n", b"groups:\n", b"[1-4096]", b"[01-3:2]", b"default: ", b"jump: a,b"),
    *(b"=", b"exit=", b"now=", b"started=", b"task=", b"job=", b"age=", b"gpu=", b"GPU-"),
    *(MARKER, b"\n" + MARKER + b" 0\n", b"\n" + MARKER + b" 999\n", b"NaN", b"Infinity", b'{"a":'),
)


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Return inputs for a reader."""
    kept = list(corpus(name).values())
    piece = st.one_of(
        st.sampled_from(PIECES), st.sampled_from(kept), st.binary(max_size=8), st.just(b"")
    )
    change = st.tuples(
        st.floats(0, 1), st.integers(0, 40), piece, st.sampled_from([1, 1, 1, 2, 50, 3000])
    )
    changes = st.lists(change, max_size=8)
    return st.one_of(st.builds(_changed, st.sampled_from(kept), changes), st.binary(max_size=300))


def _changed(data: bytes, changes: list[tuple[float, int, bytes, int]]) -> bytes:
    for place, length, piece, times in changes:
        start = int(place * len(data))
        data = (data[:start] + piece * times + data[start + length :])[:MAX_SIZE]
    return data
