# SPDX-License-Identifier: Apache-2.0
"""What every connection promises, on this machine and on hosts with every login shell."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import attrs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlcube_remote.errors import HostError, HostUnfitError, StateUnknownError
from mlcube_remote.transport.base import Connection, Stream

WORDS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
        st.binary(max_size=30).map(
            lambda raw: raw.replace(b"\0", b"\n").decode("utf-8", "surrogateescape")
        ),
        st.sampled_from(
            ["", "-n", "--", "$(touch /tmp/mlcr-canary)", "`id`", "!!", "a\nb", "\\", "'", '"', "~"]
        ),
    ),
    max_size=5,
)


@attrs.define
class Heard:
    """Collects a stream's output."""

    stdout: bytearray = attrs.field(factory=bytearray)
    stderr: bytearray = attrs.field(factory=bytearray)

    def __call__(self, stream: Stream, data: bytes) -> None:
        (self.stdout if stream is Stream.STDOUT else self.stderr).extend(data)


def _sh(script: str, *args: str) -> tuple[str, ...]:
    """Return the arguments of mlcr_run_in that run a script."""
    return ("/", "/bin/sh", "-c", script, "sh", *args)


SHOW = 'for word in "$@"; do printf "%s\\0" "$word"; done'


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(words=WORDS)
@example(words=["'\\''", '"', "$(id)", "`id`", "!x", "\\\\n", "a\nb", "", " ", "\t", "é", "\udcff"])
@example(words=["x" * 100_000])
def test_arguments_arrive_byte_for_byte_and_execute_nothing(
    connection: Connection, words: list[str]
) -> None:
    reply = connection.call("mlcr_run_in", *_sh(SHOW, *words))

    sent = [word.encode("utf-8", "surrogateescape") for word in words]
    assert reply.stdout.split(b"\0")[:-1] == sent
    assert (reply.code, reply.stderr) == (0, b"")


def test_no_argument_was_executed(connection: Connection) -> None:
    assert connection.call("mlcr_run_in", *_sh("ls /tmp/mlcr-canary")).code != 0


def test_output_and_status_come_back_exactly(connection: Connection) -> None:
    reply = connection.call(
        "mlcr_run_in", *_sh(r"printf '\000\377\n\n'; printf 'x\r' >&2; exit 42")
    )

    assert (reply.code, reply.stdout, reply.stderr) == (42, b"\0\xff\n\n", b"x\r")


def test_calls_follow_each_other_and_leave_nothing_behind(connection: Connection) -> None:
    assert connection.call("mlcr_run_in", *_sh("exit 7")).code == 7
    assert connection.call("mlcr_run_in", "/nowhere", "true").code == 125
    assert connection.call("mlcr_run_in", *_sh("cat; pwd")).text == "/\n"
    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"


def test_variables_reach_one_call_only(connection: Connection) -> None:
    ask = _sh('printf %s "${TOKEN-unset}"')

    assert connection.call("mlcr_run_in", *ask, env={"TOKEN": "it's $a"}).text == "it's $a"
    assert connection.call("mlcr_run_in", *ask).text == "unset"
    heard = Heard()
    connection.stream("mlcr_run_in", *ask, sink=heard, env={"TOKEN": "two\nlines"})
    assert heard.stdout == b"two\nlines"


def test_the_surroundings_are_known(connection: Connection) -> None:
    ask = _sh('printf "%s " "$LC_ALL" "${TMOUT-}" "$PATH"')

    locale, timeout, path = connection.call("mlcr_run_in", *ask).text.split(" ")[:3]

    assert (locale, timeout) == ("C", "")
    assert {"/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"} <= set(path.split(":"))


def test_what_is_made_is_private(connection: Connection) -> None:
    folder = f"/tmp/mlcr-private-{os.getpid()}"

    # mlcr_run_in opens up on purpose; the shell itself does not.
    assert connection.call("mlcr_make_private_directories", folder).ok

    listing = connection.call("mlcr_run_in", *_sh('ls -ld "$1" && rmdir "$1"', folder)).text
    assert listing.startswith("drwx------")


def test_answers_beyond_the_limit_are_refused_and_the_next_call_works(
    connection: Connection,
) -> None:
    with pytest.raises(HostUnfitError, match="answered mlcr_run_in with more than 1 MiB"):
        connection.call("mlcr_run_in", *_sh("head -c 3000000 /dev/zero"))

    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"


def test_a_call_that_hangs_is_given_up_and_the_next_one_works(connection: Connection) -> None:
    began = time.monotonic()
    with pytest.raises(StateUnknownError, match=r"no answer within 0\.5 s"):
        connection.call("mlcr_run_in", *_sh("sleep 20"), timeout=0.5)

    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"
    assert time.monotonic() - began < 15


def test_a_call_has_no_input(connection: Connection) -> None:
    assert connection.call("mlcr_run_in", *_sh("cat | wc -c")).text.strip() == "0"


def test_a_stream_passes_every_byte_on(connection: Connection) -> None:
    heard = Heard()

    code = connection.stream(
        "mlcr_run_in", *_sh(r"printf '\000\377'; printf err >&2; exit 9"), sink=heard
    )

    assert code == 9
    assert heard.stdout == b"\0\xff"
    assert heard.stderr == b"err"


def test_a_stream_comes_while_it_is_made(connection: Connection) -> None:
    times: list[float] = []
    connection.stream(
        "mlcr_run_in",
        *_sh("echo 1; sleep 1; echo 2"),
        sink=lambda _stream, _data: times.append(time.monotonic()),
    )

    assert times[-1] - times[0] > 0.7


def test_floods_on_both_streams_are_drained(connection: Connection) -> None:
    heard = Heard()
    flood = (
        "head -c 10000000 /dev/zero >&2; head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2"
    )

    code = connection.stream("mlcr_run_in", *_sh(flood), sink=heard)

    assert (code, len(heard.stdout), len(heard.stderr)) == (0, 10_000_000, 20_000_000)


def test_a_stream_has_no_input(connection: Connection) -> None:
    heard = Heard()

    assert connection.stream("mlcr_run_in", *_sh("cat; echo done"), sink=heard) == 0
    assert heard.stdout == b"done\n"


def test_a_silent_stream_is_given_up_only_when_asked_to(connection: Connection) -> None:
    with pytest.raises(StateUnknownError, match=r"no answer within 0\.5 s"):
        connection.stream("mlcr_run_in", *_sh("sleep 20"), sink=Heard(), timeout=0.5)


def test_calls_are_answered_while_a_stream_runs(connection: Connection) -> None:
    heard = Heard()
    started = threading.Event()

    def sink(stream: Stream, data: bytes) -> None:
        heard(stream, data)
        started.set()

    streaming = threading.Thread(
        target=connection.stream,
        args=("mlcr_run_in", *_sh("echo started; sleep 4; echo ended")),
        kwargs={"sink": sink},
    )
    streaming.start()
    assert started.wait(20)

    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"
    assert b"ended" not in heard.stdout
    streaming.join()
    assert heard.stdout == b"started\nended\n"


def test_many_threads_share_a_connection(connection: Connection) -> None:
    replies: dict[int, str] = {}

    def ask(number: int) -> None:
        replies[number] = connection.call("mlcr_run_in", *_sh("printf %s $1", str(number))).text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert replies == {number: str(number) for number in range(8)}


def test_a_sink_that_fails_ends_the_stream_and_spares_the_connection(
    connection: Connection,
) -> None:
    def fail(_stream: Stream, _data: bytes) -> None:
        raise HostError("here", "no space left")

    with pytest.raises(HostError, match="no space left"):
        connection.stream("mlcr_run_in", *_sh("yes"), sink=fail)

    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"


def test_expecting_channels_changes_nothing_but_time(connection: Connection) -> None:
    for _ in range(3):
        connection.expect_channel()
    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"
    for number in range(4):
        heard = Heard()
        assert connection.stream("mlcr_run_in", *_sh(f"echo {number}"), sink=heard) == 0
        assert heard.stdout == f"{number}\n".encode()


def test_closing_twice_is_safe(connection: Connection) -> None:
    connection.call("mlcr_print_kind", "/")

    connection.close()
    connection.close()


@pytest.mark.parametrize("flavour", ["local", "docker"])
def test_nul_is_refused_before_anything_is_sent(
    connection_to: Callable[[str], Connection], flavour: str
) -> None:
    with pytest.raises(ValueError, match="NUL"):
        connection_to(flavour).call("mlcr_run_in", "/", "a\0b")
