# SPDX-License-Identifier: Apache-2.0
"""What a host may say, and none of it may hang a client, fill its memory or be taken for more."""

from __future__ import annotations

import time
from collections.abc import Callable

import paramiko
import pytest

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.transport import channel as channel_module
from mlcube_remote.transport import relay as relay_module
from mlcube_remote.transport.base import Stream
from tests.unit.transport.ssh_server import (
    EVERYTHING,
    HELLO,
    Lab,
    Serve,
    greet,
    hang_up,
    read_until,
)


def _say(text: bytes, *, stderr: bool = False) -> Callable[[paramiko.Channel], None]:
    def session(channel: paramiko.Channel) -> None:
        (channel.sendall_stderr if stderr else channel.sendall)(text)
        channel.send_exit_status(1)

    return session


def _for_ever(text: bytes, *, stderr: bool = False) -> Callable[[paramiko.Channel], None]:
    def session(channel: paramiko.Channel) -> None:
        while True:
            (channel.sendall_stderr if stderr else channel.sendall)(text)

    return session


def _wait(channel: paramiko.Channel) -> None:
    while channel.recv(65536):
        pass


@pytest.mark.parametrize("stderr", [False, True])
def test_a_forced_command_is_no_usable_shell(serve: Serve, lab: Lab, stderr: bool) -> None:
    server = serve(_say(b"This account is \x1b[1mclosed.\n", stderr=stderr))

    with (
        lab.connected(server) as connection,
        pytest.raises(
            HostUnfitError,
            match=r"h1: does not give a usable shell: got 'This account is \\x1b\[1mclosed.\\n'",
        ),
    ):
        connection.call("mlcr_print_kind", "/")
    assert server.commands == [b"exec /bin/sh -s"]


@pytest.mark.parametrize("stderr", [False, True])
def test_endless_noise_is_no_usable_shell(
    serve: Serve, lab: Lab, stderr: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "GREETING_TIMEOUT", 5.0)
    server = serve(_for_ever(b"x" * 32768, stderr=stderr))

    began = time.monotonic()
    with (
        lab.connected(server) as connection,
        pytest.raises(HostUnfitError, match="does not give a usable shell: got 'xxx"),
    ):
        connection.call("mlcr_print_kind", "/")
    assert time.monotonic() - began < 4


def test_a_shell_that_never_speaks_is_given_up(
    serve: Serve, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "GREETING_TIMEOUT", 0.3)

    with (
        lab.connected(serve(_wait)) as connection,
        pytest.raises(HostUnfitError, match=r"usable shell: nothing within 0\.3 s, got ''"),
    ):
        connection.call("mlcr_print_kind", "/")


def test_a_program_that_echoes_its_input_is_not_taken_for_a_shell(
    serve: Serve, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "GREETING_TIMEOUT", 0.5)

    def echo(channel: paramiko.Channel) -> None:
        while data := channel.recv(65536):
            channel.sendall(data)

    with (
        lab.connected(serve(echo)) as connection,
        pytest.raises(HostUnfitError, match="does not give a usable shell"),
    ):
        connection.call("mlcr_print_kind", "/")


def test_a_server_that_runs_nothing_is_unfit(serve: Serve, lab: Lab) -> None:
    with (
        lab.connected(serve(None)) as connection,
        pytest.raises(HostUnfitError, match="refused to run a command"),
    ):
        connection.call("mlcr_print_kind", "/")


@pytest.mark.parametrize("stderr", [False, True])
def test_an_endless_answer_is_refused(serve: Serve, lab: Lab, stderr: bool) -> None:
    def session(channel: paramiko.Channel) -> None:
        greet(channel)
        _for_ever(b"\nmlcr-00000000 0\n" * 1000, stderr=stderr)(channel)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(HostUnfitError, match="answered mlcr_print_kind with more than 1 MiB"),
    ):
        connection.call("mlcr_print_kind", "/")


def test_a_status_that_is_none_is_refused(serve: Serve, lab: Lab) -> None:
    def session(channel: paramiko.Channel) -> None:
        channel.sendall(b"\n" + greet(channel) + b" 9999\n")
        _wait(channel)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(HostUnfitError, match="answered mlcr_print_kind with the status b'9999'"),
    ):
        connection.call("mlcr_print_kind", "/")


def test_an_answer_that_only_drips_does_not_hold_a_call(serve: Serve, lab: Lab) -> None:
    def session(channel: paramiko.Channel) -> None:
        greet(channel)
        while True:
            channel.sendall(b".")
            time.sleep(0.02)

    began = time.monotonic()
    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(StateUnknownError, match=r"no answer within 0\.4 s"),
    ):
        connection.call("mlcr_print_kind", "/", timeout=0.4)
    assert time.monotonic() - began < 3


def test_a_new_shell_serves_after_one_that_failed(serve: Serve, lab: Lab) -> None:
    turns = iter([b" nonsense\n", b" 0\n"])

    def session(channel: paramiko.Channel) -> None:
        marker = greet(channel)
        channel.sendall_stderr(b"\n" + marker + b" \n")
        channel.sendall(b"ok\n" + marker + next(turns))
        _wait(channel)

    with lab.connected(serve(session)) as connection:
        with pytest.raises(HostUnfitError):
            connection.call("mlcr_print_kind", "/")
        assert connection.call("mlcr_print_kind", "/").text == "ok"


def test_an_answer_that_comes_before_the_greeting_is_complete_is_kept(
    serve: Serve, lab: Lab
) -> None:
    def session(channel: paramiko.Channel) -> None:
        match = read_until(channel, EVERYTHING)
        hello = match[1] + match[2] + b"\n"
        channel.sendall_stderr(hello + b"warning\n" + match[3] + b" \n")
        time.sleep(0.2)
        channel.sendall(hello + b"out\n" + match[3] + b" 0\n")
        channel.recv(1)

    with lab.connected(serve(session)) as connection:
        reply = connection.call("mlcr_print_kind", "/", timeout=3)

    assert (reply.stdout, reply.stderr) == (b"out", b"warning")


def _begin_stream(channel: paramiko.Channel) -> None:
    match = read_until(channel, HELLO)
    hello = match[1] + match[2] + b"\n"
    channel.sendall_stderr(hello)
    channel.sendall(hello)


def test_the_end_of_the_connection_is_no_exit_status(serve: Serve, lab: Lab) -> None:
    seen: list[bytes] = []

    def session(channel: paramiko.Channel) -> None:
        _begin_stream(channel)
        channel.sendall(b"half")
        time.sleep(0.2)
        hang_up(channel)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(StateUnknownError, match="h1: connection lost"),
    ):
        connection.stream("mlcr_run_in", "/", "true", sink=lambda _stream, data: seen.append(data))
    assert b"".join(seen) == b"half"


def test_a_shell_that_was_killed_has_no_status(serve: Serve, lab: Lab) -> None:
    with (
        lab.connected(serve(_begin_stream)) as connection,
        pytest.raises(StateUnknownError, match="the shell there ended without a status"),
    ):
        connection.stream("mlcr_run_in", "/", "true", sink=lambda _stream, _data: None)


def test_a_silent_stream_is_given_up_when_asked_to(serve: Serve, lab: Lab) -> None:
    def session(channel: paramiko.Channel) -> None:
        _begin_stream(channel)
        _wait(channel)
        time.sleep(5)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(StateUnknownError, match=r"no answer within 0\.3 s"),
    ):
        connection.stream("mlcr_run_in", "/", "x", sink=lambda _stream, _data: None, timeout=0.3)


def test_the_login_shells_noise_stays_out_of_both_streams(serve: Serve, lab: Lab) -> None:
    seen: dict[Stream, bytes] = {Stream.STDOUT: b"", Stream.STDERR: b""}

    def session(channel: paramiko.Channel) -> None:
        channel.sendall(b"Welcome\n")
        channel.sendall_stderr(b"Beware\n")
        _begin_stream(channel)
        channel.sendall(b"out")
        channel.sendall_stderr(b"err")
        channel.send_exit_status(3)

    def sink(stream: Stream, data: bytes) -> None:
        seen[stream] += data

    with lab.connected(serve(session)) as connection:
        assert connection.stream("mlcr_run_in", "/", "true", sink=sink) == 3
    assert seen == {Stream.STDOUT: b"out", Stream.STDERR: b"err"}


def test_rsync_ends_when_the_host_gives_no_shell(serve: Serve, lab: Lab) -> None:
    with (
        lab.connected(serve(_say(b"no\n"))) as connection,
        pytest.raises(HostUnfitError, match=r"does not give a usable shell: got 'no\\n'"),
    ):
        connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])


def test_rsync_ends_when_the_shell_talks_instead(
    serve: Serve, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "_END_TIMEOUT", 0.5)

    def session(channel: paramiko.Channel) -> None:
        _begin_stream(channel)
        _for_ever(b"blah" * 10_000)(channel)

    with lab.connected(serve(session)) as connection:
        result = connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])

    assert result.code != 0
    assert b"protocol version mismatch" in result.stderr


def test_rsync_ends_though_the_host_never_does(
    serve: Serve, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "_END_TIMEOUT", 0.5)

    def session(channel: paramiko.Channel) -> None:
        _begin_stream(channel)
        channel.sendall_stderr(b"weird\n" * 100_000)
        # No greeting of rsync's, so the client's rsync ends; this goes on.
        _for_ever(b"\xff" * 32768)(channel)

    with lab.connected(serve(session)) as connection:
        result = connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])

    assert result.code != 0
    assert result.stdout == b""
    assert len(result.stderr) < 300 * 1024


def test_rsync_ends_with_the_connection(serve: Serve, lab: Lab) -> None:
    def session(channel: paramiko.Channel) -> None:
        _begin_stream(channel)
        hang_up(channel)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(StateUnknownError, match="connection lost"),
    ):
        connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])


def test_a_connection_that_was_closed_says_so(serve: Serve, lab: Lab) -> None:
    with lab.connected(serve(_wait)) as connection:
        connection.close()
        with pytest.raises(StateUnknownError, match="connection lost"):
            connection.call("mlcr_print_kind", "/")
        connection.expect_channel()
        with pytest.raises(StateUnknownError, match="connection lost"):
            connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])
