# SPDX-License-Identifier: Apache-2.0
"""Hostile answers must not hang a client, fill its memory, or count as a normal answer."""

from __future__ import annotations

import time
from collections.abc import Callable

import paramiko
import pytest

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.transport import channel as channel_module
from mlcube_remote.transport import rsync_relay
from mlcube_remote.transport.base import Stream
from tests.support.ssh_server import (
    BOTH_MARKERS,
    FIRST_MARKER,
    Lab,
    Serve,
    cut,
    read_until,
    start_shell,
)


def _print(text: bytes, *, stderr: bool = False) -> Callable[[paramiko.Channel], None]:
    def session(channel: paramiko.Channel) -> None:
        (channel.sendall_stderr if stderr else channel.sendall)(text)
        channel.send_exit_status(1)

    return session


def _print_forever(text: bytes, *, stderr: bool = False) -> Callable[[paramiko.Channel], None]:
    def session(channel: paramiko.Channel) -> None:
        while True:
            (channel.sendall_stderr if stderr else channel.sendall)(text)

    return session


def _wait(channel: paramiko.Channel) -> None:
    while channel.recv(65536):
        pass


@pytest.mark.parametrize("stderr", [False, True])
def test_a_forced_command_is_not_a_usable_shell(serve: Serve, lab: Lab, stderr: bool) -> None:
    server = serve(_print(b"This account is \x1b[1mclosed.\n", stderr=stderr))

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
def test_endless_noise_is_not_a_usable_shell(
    serve: Serve, lab: Lab, stderr: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "READY_TIMEOUT_S", 30.0)
    server = serve(_print_forever(b"x" * 32768, stderr=stderr))

    began = time.monotonic()
    with (
        lab.connected(server) as connection,
        pytest.raises(HostUnfitError, match="does not give a usable shell: got 'xxx"),
    ):
        connection.call("mlcr_print_kind", "/")
    assert time.monotonic() - began < 25


def test_a_silent_shell_reaches_the_timeout(
    serve: Serve, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "READY_TIMEOUT_S", 0.3)

    with (
        lab.connected(serve(_wait)) as connection,
        pytest.raises(HostUnfitError, match=r"usable shell: nothing within 0\.3 s, got ''"),
    ):
        connection.call("mlcr_print_kind", "/")


def test_a_program_that_echoes_its_input_is_not_a_usable_shell(
    serve: Serve, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "READY_TIMEOUT_S", 0.5)

    def echo(channel: paramiko.Channel) -> None:
        while data := channel.recv(65536):
            channel.sendall(data)

    with (
        lab.connected(serve(echo)) as connection,
        pytest.raises(HostUnfitError, match="does not give a usable shell"),
    ):
        connection.call("mlcr_print_kind", "/")


def test_a_server_that_runs_no_commands_is_unfit(serve: Serve, lab: Lab) -> None:
    with (
        lab.connected(serve(None)) as connection,
        pytest.raises(HostUnfitError, match="refused to run a command"),
    ):
        connection.call("mlcr_print_kind", "/")


@pytest.mark.parametrize("stderr", [False, True])
def test_an_endless_answer_is_refused(serve: Serve, lab: Lab, stderr: bool) -> None:
    def session(channel: paramiko.Channel) -> None:
        start_shell(channel)
        _print_forever(b"\nmlcr-00000000 0\n" * 1000, stderr=stderr)(channel)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(HostUnfitError, match="answered mlcr_print_kind with more than 1 MiB"),
    ):
        connection.call("mlcr_print_kind", "/")


def test_an_invalid_status_is_refused(serve: Serve, lab: Lab) -> None:
    def session(channel: paramiko.Channel) -> None:
        channel.sendall(b"\n" + start_shell(channel) + b" 9999\n")
        _wait(channel)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(HostUnfitError, match="answered mlcr_print_kind with the status b'9999'"),
    ):
        connection.call("mlcr_print_kind", "/")


def test_an_answer_that_drips_reaches_the_timeout(serve: Serve, lab: Lab) -> None:
    def session(channel: paramiko.Channel) -> None:
        start_shell(channel)
        while True:
            channel.sendall(b".")
            time.sleep(0.02)

    began = time.monotonic()
    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(StateUnknownError, match=r"no answer within 0\.4 s"),
    ):
        connection.call("mlcr_print_kind", "/", timeout=0.4)
    assert time.monotonic() - began < 15


def test_a_call_after_a_failed_one_gets_a_new_shell(serve: Serve, lab: Lab) -> None:
    turns = iter([b" nonsense\n", b" 0\n"])

    def session(channel: paramiko.Channel) -> None:
        marker = start_shell(channel)
        channel.sendall_stderr(b"\n" + marker + b" \n")
        channel.sendall(b"ok\n" + marker + next(turns))
        _wait(channel)

    with lab.connected(serve(session)) as connection:
        with pytest.raises(HostUnfitError):
            connection.call("mlcr_print_kind", "/")
        assert connection.call("mlcr_print_kind", "/").text == "ok"


def test_bytes_of_an_answer_before_the_second_marker_are_kept(serve: Serve, lab: Lab) -> None:
    def session(channel: paramiko.Channel) -> None:
        match = read_until(channel, BOTH_MARKERS)
        ready = match[1] + match[2] + b"\n"
        channel.sendall_stderr(ready + b"warning\n" + match[3] + b" \n")
        time.sleep(0.2)
        channel.sendall(ready + b"out\n" + match[3] + b" 0\n")
        channel.recv(1)

    with lab.connected(serve(session)) as connection:
        reply = connection.call("mlcr_print_kind", "/", timeout=3)

    assert (reply.stdout, reply.stderr) == (b"out", b"warning")


def _start_stream(channel: paramiko.Channel) -> None:
    match = read_until(channel, FIRST_MARKER)
    ready = match[1] + match[2] + b"\n"
    channel.sendall_stderr(ready)
    channel.sendall(ready)


def test_the_end_of_the_connection_is_not_an_exit_status(serve: Serve, lab: Lab) -> None:
    seen: list[bytes] = []

    def session(channel: paramiko.Channel) -> None:
        _start_stream(channel)
        channel.sendall(b"half")
        time.sleep(0.2)
        cut(channel)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(StateUnknownError, match="h1: connection lost"),
    ):
        connection.stream("mlcr_run_in", "/", "true", sink=lambda _stream, data: seen.append(data))
    assert b"".join(seen) == b"half"


def test_a_shell_that_was_killed_has_no_status(serve: Serve, lab: Lab) -> None:
    with (
        lab.connected(serve(_start_stream)) as connection,
        pytest.raises(StateUnknownError, match="the shell on the host ended without a status"),
    ):
        connection.stream("mlcr_run_in", "/", "true", sink=lambda _stream, _data: None)


def test_a_silent_stream_reaches_its_timeout(serve: Serve, lab: Lab) -> None:
    def session(channel: paramiko.Channel) -> None:
        _start_stream(channel)
        _wait(channel)
        time.sleep(5)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(StateUnknownError, match=r"no answer within 0\.3 s"),
    ):
        connection.stream(
            "mlcr_run_in", "/", "x", sink=lambda _stream, _data: None, timeout=lambda: 0.3
        )


def test_noise_of_the_login_shell_is_removed_from_both_streams(serve: Serve, lab: Lab) -> None:
    seen: dict[Stream, bytes] = {Stream.STDOUT: b"", Stream.STDERR: b""}

    def session(channel: paramiko.Channel) -> None:
        channel.sendall(b"Welcome\n")
        channel.sendall_stderr(b"Beware\n")
        _start_stream(channel)
        channel.sendall(b"out")
        channel.sendall_stderr(b"err")
        channel.send_exit_status(3)

    def sink(stream: Stream, data: bytes) -> None:
        seen[stream] += data

    with lab.connected(serve(session)) as connection:
        assert connection.stream("mlcr_run_in", "/", "true", sink=sink) == 3
    assert seen == {Stream.STDOUT: b"out", Stream.STDERR: b"err"}


def test_rsync_ends_if_the_host_gives_no_shell(serve: Serve, lab: Lab) -> None:
    with (
        lab.connected(serve(_print(b"no\n"))) as connection,
        pytest.raises(HostUnfitError, match=r"does not give a usable shell: got 'no\\n'"),
    ):
        connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])


def test_rsync_ends_if_the_host_sends_something_else(
    serve: Serve, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsync_relay, "_END_TIMEOUT_S", 0.5)

    def session(channel: paramiko.Channel) -> None:
        _start_stream(channel)
        _print_forever(b"blah" * 10_000)(channel)

    with lab.connected(serve(session)) as connection:
        result = connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])

    assert result.code != 0
    assert b"protocol version mismatch" in result.stderr


def test_rsync_ends_even_if_the_host_sends_forever(
    serve: Serve, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsync_relay, "_END_TIMEOUT_S", 0.5)

    def session(channel: paramiko.Channel) -> None:
        _start_stream(channel)
        channel.sendall_stderr(b"weird\n" * 100_000)
        # This is not rsync's protocol, so the client's rsync ends; the host continues to send.
        _print_forever(b"\xff" * 32768)(channel)

    with lab.connected(serve(session)) as connection:
        result = connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])

    assert result.code != 0
    assert result.stdout == b""
    assert len(result.stderr) < 300 * 1024


def test_rsync_ends_with_the_connection(serve: Serve, lab: Lab) -> None:
    def session(channel: paramiko.Channel) -> None:
        _start_stream(channel)
        cut(channel)

    with (
        lab.connected(serve(session)) as connection,
        pytest.raises(StateUnknownError, match="connection lost"),
    ):
        connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])


def test_a_closed_connection_is_lost(serve: Serve, lab: Lab) -> None:
    with lab.connected(serve(_wait)) as connection:
        connection.close()
        with pytest.raises(StateUnknownError, match="connection lost"):
            connection.call("mlcr_print_kind", "/")
        connection.expect_channel()
        with pytest.raises(StateUnknownError, match="connection lost"):
            connection.rsync(["-r", "host:/etc/", str(lab.folder / "to")])
