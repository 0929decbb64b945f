# SPDX-License-Identifier: Apache-2.0
"""The contract of connections: on this machine, and on hosts with all kinds of login shells."""

from __future__ import annotations

import os
import secrets
import threading
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlcube_remote.errors import HostError, HostUnfitError, StateUnknownError
from mlcube_remote.transport.base import Connection, Stream
from tests.support.connection_contract import ConnectionContract, InputContract, Output, sh

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


class TestContract(ConnectionContract, InputContract):
    """The checks that the fake connection passes, too."""


SHOW = 'for word in "$@"; do printf "%s\\0" "$word"; done'


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(words=WORDS)
@example(words=["'\\''", '"', "$(id)", "`id`", "!x", "\\\\n", "a\nb", "", " ", "\t", "é", "\udcff"])
@example(words=["x" * 100_000])
def test_arguments_are_not_changed_or_executed(connection: Connection, words: list[str]) -> None:
    reply = connection.call("mlcr_run_in", *sh(SHOW, *words))

    sent = [word.encode("utf-8", "surrogateescape") for word in words]
    assert reply.stdout.split(b"\0")[:-1] == sent
    assert (reply.code, reply.stderr) == (0, b"")


def test_no_argument_was_executed(connection: Connection) -> None:
    assert connection.call("mlcr_run_in", *sh("ls /tmp/mlcr-canary")).code != 0


def test_calls_do_not_change_the_shell(connection: Connection) -> None:
    assert connection.call("mlcr_run_in", *sh("exit 7")).code == 7
    assert connection.call("mlcr_run_in", "/nowhere", "true").code == 125
    assert connection.call("mlcr_run_in", *sh("cat; pwd")).text == "/\n"
    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"


def test_variables_apply_to_one_call_only(connection: Connection) -> None:
    ask = sh('printf %s "${TOKEN-unset}"')

    assert connection.call("mlcr_run_in", *ask, env={"TOKEN": "it's $a"}).text == "it's $a"
    assert connection.call("mlcr_run_in", *ask).text == "unset"
    output = Output()
    connection.stream("mlcr_run_in", *ask, sink=output, env={"TOKEN": "two\nlines"})
    assert output.stdout == b"two\nlines"


def test_the_environment_is_the_same_everywhere(connection: Connection) -> None:
    ask = sh('printf "%s " "$LC_ALL" "${TMOUT-}" "$PATH"')

    locale, timeout, path = connection.call("mlcr_run_in", *ask).text.split(" ")[:3]

    assert (locale, timeout) == ("C", "")
    assert {"/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"} <= set(path.split(":"))


def test_new_directories_are_private(connection: Connection) -> None:
    folder = f"/tmp/mlcr-private-{os.getpid()}"

    # Not through mlcr_run_in, which sets another umask.
    assert connection.call("mlcr_make_private_directories", folder).ok

    listing = connection.call("mlcr_run_in", *sh('ls -ld "$1" && rmdir "$1"', folder)).text
    assert listing.startswith("drwx------")


def test_a_call_works_after_an_answer_that_was_too_large(
    connection: Connection,
) -> None:
    with pytest.raises(HostUnfitError, match="answered mlcr_run_in with more than 1 MiB"):
        connection.call("mlcr_run_in", *sh("head -c 3000000 /dev/zero"))

    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"


def test_a_call_works_after_one_that_reached_its_timeout(connection: Connection) -> None:
    started = time.monotonic()
    with pytest.raises(StateUnknownError, match=r"no answer within 0\.5 s"):
        connection.call("mlcr_run_in", *sh("sleep 20"), timeout=0.5)

    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"
    assert time.monotonic() - started < 15


def test_a_call_has_no_input(connection: Connection) -> None:
    assert connection.call("mlcr_run_in", *sh("cat | wc -c")).text.strip() == "0"


def test_a_stream_passes_on_output_at_once(connection: Connection) -> None:
    times: list[float] = []
    connection.stream(
        "mlcr_run_in",
        *sh("echo 1; sleep 1; echo 2"),
        sink=lambda _stream, _data: times.append(time.monotonic()),
    )

    assert times[-1] - times[0] > 0.7


def test_large_output_on_both_streams_is_complete(connection: Connection) -> None:
    output = Output()
    flood = (
        "head -c 10000000 /dev/zero >&2; head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2"
    )

    code = connection.stream("mlcr_run_in", *sh(flood), sink=output)

    assert (code, len(output.stdout), len(output.stderr)) == (0, 10_000_000, 20_000_000)


def test_a_stream_has_no_input(connection: Connection) -> None:
    output = Output()

    assert connection.stream("mlcr_run_in", *sh("cat; echo done"), sink=output) == 0
    assert output.stdout == b"done\n"


def test_a_silent_stream_reaches_its_timeout(connection: Connection) -> None:
    with pytest.raises(StateUnknownError, match=r"no answer within 0\.5 s"):
        connection.stream("mlcr_run_in", *sh("sleep 20"), sink=Output(), timeout=lambda: 0.5)


def test_calls_work_during_a_stream(connection: Connection) -> None:
    output = Output()
    started = threading.Event()

    def sink(stream: Stream, data: bytes) -> None:
        output(stream, data)
        started.set()

    gate = f"/tmp/mlcr-test-{secrets.token_hex(8)}"
    waits = f"until [ -e {gate} ]; do sleep 0.1; done"
    streaming = threading.Thread(
        target=connection.stream,
        args=("mlcr_run_in", *sh(f"echo started; {waits}; rm {gate}; echo ended")),
        kwargs={"sink": sink},
    )
    streaming.start()
    assert started.wait(20)

    try:
        assert connection.call("mlcr_print_kind", "/etc").text == "d\n"
        assert b"ended" not in output.stdout
    finally:
        assert connection.call("mlcr_write_atomically", gate, "").ok
        streaming.join()
    assert output.stdout == b"started\nended\n"


def test_an_error_of_the_sink_ends_an_endless_stream(
    connection: Connection,
) -> None:
    def fail(_stream: Stream, _data: bytes) -> None:
        raise HostError("here", "no space left")

    with pytest.raises(HostError, match="no space left"):
        connection.stream("mlcr_run_in", *sh("yes"), sink=fail)

    assert connection.call("mlcr_print_kind", "/etc").text == "d\n"
