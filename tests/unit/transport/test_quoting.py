# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcube_remote.transport.quoting import quote_words, render_call

# Every byte string without NUL, as Python shows arguments: lone surrogates stand for bytes.
WORDS = st.lists(
    st.binary(max_size=40).map(
        lambda raw: raw.replace(b"\0", b"0").decode("utf-8", "surrogateescape")
    ),
    max_size=6,
)


def _words_of_a_shell(text: bytes) -> list[bytes]:
    script = b"set -- " + text + b'\nfor word in "$@"; do printf \'%s\\0\' "$word"; done\n'
    done = subprocess.run(["/bin/sh", "-s"], input=script, capture_output=True, check=True)
    return done.stdout.split(b"\0")[:-1]


@given(words=WORDS)
@settings(deadline=None, max_examples=60)
def test_a_shell_reads_exactly_these_words(words: list[str]) -> None:
    text = quote_words(words).encode("utf-8", "surrogateescape")

    expected = [word.encode("utf-8", "surrogateescape") for word in words]
    assert _words_of_a_shell(text) == expected


def test_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote_words(["a", "b\0c"])


def test_a_call_exports_its_variables_first() -> None:
    text = render_call("mlcr_run_in", ["/a b", "$(id)"], {"TOKEN": "it's"})

    assert text == b"export TOKEN='it'\"'\"'s'\nmlcr_run_in '/a b' '$(id)'"


@pytest.mark.parametrize("function", ["rm", "mlcr_x; id", "mlcr_", "mlcr_print_kind\nid", ""])
def test_only_functions_of_the_library_are_called(function: str) -> None:
    with pytest.raises(ValueError, match="not a function of the shell library"):
        render_call(function, [])


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=1", "A;id", "Ä", "A\n"])
def test_impossible_variables_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a variable's name"):
        render_call("mlcr_run_in", [], {name: "x"})


def test_a_secret_with_nul_is_not_shown_by_the_error() -> None:
    with pytest.raises(ValueError, match="NUL") as caught:
        render_call("mlcr_run_in", [], {"TOKEN": "hunter2\0"})

    assert "hunter2" not in str(caught.value)
