# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcube_remote.transport.framing import (
    MAX_ANSWER,
    MAX_NOISE,
    Answer,
    AnswerError,
    AnswerTooLargeError,
    JoinedStreamsError,
    ReadyMarker,
    frame_call,
    make_marker,
    start_shell,
)

MARKER = b"mlcr-0123456789abcdef"
END = b"\n" + MARKER + b" 0\n"
ERR_END = b"\n" + MARKER + b" \n"


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(
    stdout=st.binary(max_size=200),
    stderr=st.binary(max_size=200),
    code=st.integers(0, 255),
    cuts=st.lists(st.integers(0, 10**6), max_size=8),
)
def test_an_answer_is_complete_for_all_cuts_into_pieces(
    stdout: bytes, stderr: bytes, code: int, cuts: list[int]
) -> None:
    answer = Answer(MARKER)

    for piece in _pieces(stderr + ERR_END, cuts):
        answer.feed_stderr(piece)
    for piece in _pieces(stdout + b"\n" + MARKER + f" {code}\n".encode(), cuts):
        answer.feed_stdout(piece)

    assert (answer.code, answer.stdout, answer.stderr) == (code, stdout, stderr)


def test_an_answer_is_found_if_its_end_is_cut_at_any_byte() -> None:
    data = b"out" + END
    for cut in range(len(data) + 1):
        answer = Answer(MARKER)
        answer.feed_stdout(data[:cut])
        answer.feed_stdout(data[cut:])
        answer.feed_stderr(ERR_END)
        assert (answer.code, answer.stdout) == (0, b"out"), cut


def test_an_answer_waits_for_both_streams() -> None:
    answer = Answer(MARKER)

    answer.feed_stdout(b"out" + END)
    assert answer.code is None
    answer.feed_stderr(b"err" + ERR_END)

    assert answer.code == 0


def test_later_output_of_a_background_process_is_not_part_of_the_answer() -> None:
    answer = Answer(MARKER)

    answer.feed_stdout(b"out" + END + b"late")
    answer.feed_stdout(b"later")
    answer.feed_stderr(ERR_END)

    assert answer.stdout == b"out"


def test_an_answer_of_the_maximum_size_is_accepted() -> None:
    answer = Answer(MARKER)

    answer.feed_stdout(b"x" * MAX_ANSWER + END)
    answer.feed_stderr(ERR_END)

    assert len(answer.stdout) == MAX_ANSWER


@pytest.mark.parametrize("stream", ["feed_stdout", "feed_stderr"])
@pytest.mark.parametrize("chunk", [b"\0" * 65536, b"line\n" * 10000, b"\n" + MARKER[:-1] + b" 0\n"])
def test_an_endless_answer_is_refused_before_it_fills_memory(stream: str, chunk: bytes) -> None:
    feed = getattr(Answer(MARKER), stream)
    for _ in range(MAX_ANSWER // len(chunk)):
        feed(chunk)

    with pytest.raises(AnswerTooLargeError, match="more than 1 MiB"):
        feed(chunk * 2)


@pytest.mark.parametrize("stream", ["feed_stdout", "feed_stderr"])
def test_a_status_line_without_an_end_is_refused(stream: str) -> None:
    answer = Answer(MARKER)

    getattr(answer, stream)(b"\n" + MARKER + b" ")
    with pytest.raises(AnswerError, match="no status"):
        getattr(answer, stream)(b"0" * 100_000)


@pytest.mark.parametrize("status", [b"", b"-1", b"256", b"x", b"1_0", b" 1", b"0x1", b"\xb2"])
def test_an_invalid_status_is_refused(status: bytes) -> None:
    answer = Answer(MARKER)

    with pytest.raises(AnswerError, match="the status"):
        answer.feed_stdout(b"\n" + MARKER + b" " + status + b"\n")


def test_another_marker_is_just_output() -> None:
    answer = Answer(MARKER)
    fake = b"\nmlcr-ffffffffffffffff 0\n"

    answer.feed_stdout(fake + END)
    answer.feed_stderr(ERR_END)

    assert answer.stdout == fake


@given(noise=st.binary(max_size=100), cuts=st.lists(st.integers(0, 10**6), max_size=5))
def test_the_marker_separates_noise_from_output(noise: bytes, cuts: list[int]) -> None:
    ready = ReadyMarker(MARKER)

    rest = b""
    done = False
    for piece in _pieces(noise + MARKER + b"\nrest", cuts):
        if done:
            rest += piece
        elif (found := ready.feed(piece)) is not None:
            done, rest = True, found

    assert (bytes(ready.noise), rest) == (noise, b"rest")


def test_endless_noise_is_refused() -> None:
    ready = ReadyMarker(MARKER)

    ready.feed(b"x" * MAX_NOISE)

    with pytest.raises(AnswerTooLargeError):
        ready.feed(b"x")


def test_the_excerpt_of_noise_is_short_and_escaped() -> None:
    ready = ReadyMarker(MARKER)

    ready.feed(b"\x1b[2Jhello" + b"x" * 1000)

    assert ready.excerpt.startswith("'\\x1b[2Jhello")
    assert len(ready.excerpt) < 120


def test_markers_differ() -> None:
    assert len({make_marker() for _ in range(100)}) == 100


def test_an_echo_of_the_text_does_not_count_as_a_shell() -> None:
    ready = ReadyMarker(MARKER)

    assert ready.feed(start_shell(MARKER)) is None


@pytest.mark.parametrize("shell", [["/bin/sh"], ["bash"], ["bash", "--posix"]])
@pytest.mark.parametrize(
    ("call", "code", "stdout", "stderr"),
    [
        (b"printf 'a\\n'; printf b >&2", 0, b"a\n", b"b"),
        (b"exit 42", 42, b"", b""),
        (b"set -e; false; echo never", 1, b"", b""),
        (b"cat", 0, b"", b""),
        (b"exec 1>&- 2>&-; exit 3", 3, b"", b""),
        (b"cd /nowhere 2>/dev/null || echo no", 0, b"no\n", b""),
    ],
)
def test_a_real_shell_answers_in_frames(
    shell: list[str], call: bytes, code: int, stdout: bytes, stderr: bytes
) -> None:
    first, second = Answer(b"mlcr-first"), Answer(b"mlcr-second")
    script = start_shell(b"mlcr-hello") + frame_call(call, first.marker)
    script += frame_call(b"echo next", second.marker)

    done = subprocess.run([*shell, "-s"], input=script, capture_output=True, check=True)

    out = ReadyMarker(b"mlcr-hello").feed(done.stdout)
    err = ReadyMarker(b"mlcr-hello").feed(done.stderr)
    assert out is not None
    assert err is not None
    first.feed_stdout(out)
    first.feed_stderr(err)
    assert (first.code, first.stdout, first.stderr) == (code, stdout, stderr)
    # The shell still works, whatever the call did in its subshell.
    assert b"next\n\nmlcr-second 0\n" in done.stdout


@pytest.mark.parametrize("shell", [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"]])
@pytest.mark.parametrize(
    ("line", "more", "answer"),
    [
        # The bytes of a protocol, which start at once.
        (b"exec cat", b"\0echo no\n\xff" * 9000, b"\0echo no\n\xff" * 9000),
        (b"exec printf %s 'a \\b'", b"", rb"a \b"),
        # A script that is longer than a shell reads at once.
        (b"", b"# " + b"x" * 70_000 + b"\necho end\n", b"end\n"),
    ],
)
def test_a_waiting_shell_reads_exactly_one_line(
    shell: list[str], line: bytes, more: bytes, answer: bytes
) -> None:
    marker = b"mlcr-hello"
    with subprocess.Popen(
        [*shell, "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(start_shell(marker, read_line=True))
        process.stdin.flush()
        first = process.stdout.readline()
        rest, _ = process.communicate(line + b"\n" + more, timeout=20)

    assert ReadyMarker(marker).feed(first + rest) == answer
    assert process.returncode == 0


@settings(deadline=None, max_examples=20)
@given(data=st.binary(max_size=300).map(lambda data: data.replace(b"\0", b"")))
def test_binary_output_survives_a_real_shell(data: bytes) -> None:
    octal = "".join(f"\\{byte:03o}" for byte in data).encode()
    answer = Answer(make_marker())
    script = frame_call(b"printf '" + octal + b"'", answer.marker)

    done = subprocess.run(["/bin/sh", "-s"], input=script, capture_output=True, check=True)
    answer.feed_stdout(done.stdout)
    answer.feed_stderr(done.stderr)

    assert (answer.code, answer.stdout) == (0, data)


def test_the_settings_replace_those_of_the_login_shell() -> None:
    marker = b"mlcr-hello"
    ask = (
        b'umask; echo "$LC_ALL ${TMOUT-unset} ${ENV-unset} ${CDPATH-unset}"\n'
        b'echo "$PATH"; echo $-\n'
    )
    done = subprocess.run(
        ["bash", "-s"],
        input=start_shell(marker) + ask,
        capture_output=True,
        check=True,
        env={
            "PATH": "/weird",
            "TMOUT": "1",
            "ENV": "/x",
            "CDPATH": "/",
            "LC_ALL": "tr_TR.UTF-8",
            "SFIRST_MARKERPTS": "errexit:nounset:xtrace:verbose",
        },
        executable="/bin/bash",
    )

    rest = ReadyMarker(marker).feed(done.stdout)
    assert rest is not None
    mask, settings_line, path, flags = rest.decode().splitlines()
    assert mask == "0077"
    assert settings_line == "C unset unset unset"
    assert path.startswith("/weird:/usr/local/sbin:")
    assert not set("euxv") & set(flags)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([b"", MARKER + b"\n", MARKER + b"\nmore"], "arrive as one stream"),
        ([b"noise\n" + MARKER + b"\n" + MARKER + b"\n"], "arrive as one stream"),
        ([start_shell(MARKER).replace(b"\n", b"\r\n")], "passes through a terminal"),
        ([MARKER + b"\r", b"\n" + MARKER + b"\r\n"], "passes through a terminal"),
    ],
)
def test_streams_that_arrive_as_one_are_noticed(chunks: list[bytes], message: str) -> None:
    ready = ReadyMarker(MARKER)
    *before, last = chunks
    found = [ready.feed(chunk) for chunk in before]
    is_ready = any(rest is not None for rest in found)
    with pytest.raises(JoinedStreamsError, match=message):
        (ready.check if is_ready else ready.feed)(last)


def test_one_stream_alone_is_in_order() -> None:
    ready = ReadyMarker(MARKER)
    assert ready.feed(b"noise" + MARKER + b"\nrest") == b"rest"
    ready.check(b"rest")
