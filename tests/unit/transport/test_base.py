# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from mlcube_remote.transport.base import Reply


@pytest.mark.parametrize(
    ("code", "stderr", "message"),
    [
        (1, b"mkdir: no space left\n", "mkdir: no space left"),
        (1, b"\n first\nsecond \n", "first\nsecond"),
        (1, b"caf\xe9", "caf\N{REPLACEMENT CHARACTER}"),
        (127, b"", "status 127"),
        (2, b" \n", "status 2"),
    ],
)
def test_the_message_is_standard_error_or_the_status(
    code: int, stderr: bytes, message: str
) -> None:
    assert Reply(code, b"not this", stderr).message == message


@pytest.mark.parametrize(
    ("stdout", "records"),
    [
        (b"", []),
        (b"home=/h\0root=/r\0", [("home", "/h"), ("root", "/r")]),
        (b"kind=f/a\0kind=d/b\0", [("kind", "f/a"), ("kind", "d/b")]),
        (b"env=A=1\0flag\0", [("env", "A=1"), ("flag", "")]),
        (b"text=two\nlines\0", [("text", "two\nlines")]),
        (b"path=/\xff\0", [("path", "/\udcff")]),
        (b"whole=1\0incomplete=2", [("whole", "1")]),
    ],
)
def test_records_are_split_at_nul(stdout: bytes, records: list[tuple[str, str]]) -> None:
    assert Reply(0, stdout, b"").records() == records


def test_text_keeps_bytes_that_are_not_utf8() -> None:
    assert Reply(0, b"a\xff", b"").text.encode("utf-8", "surrogateescape") == b"a\xff"
