# SPDX-License-Identifier: Apache-2.0
"""Checks that every connection passes: to hosts, to this machine, and the fake one.

The host must run ``mlcr_run_in`` and ``mlcr_print_kind`` of the shell library.
"""

from __future__ import annotations

import threading
from pathlib import Path

import attrs
import pytest

from mlcube_remote.errors import HostError
from mlcube_remote.transport.base import Connection, Stream
from mlcube_remote.transport.standard_streams import StandardStreams


@attrs.define
class Output:
    """Collects the output of a stream."""

    stdout: bytearray = attrs.field(factory=bytearray)
    stderr: bytearray = attrs.field(factory=bytearray)

    def __call__(self, stream: Stream, data: bytes) -> None:
        (self.stdout if stream is Stream.STDOUT else self.stderr).extend(data)


def sh(script: str, *args: str) -> tuple[str, ...]:
    """Return the arguments of ``mlcr_run_in`` that run a script."""
    return ("/", "/bin/sh", "-c", script, "sh", *args)


class ConnectionContract:
    """Tests for a fixture ``connection``."""

    def test_output_and_status_are_exact(self, connection: Connection) -> None:
        script = sh(r"printf '\000\377\n\n'; printf 'x\r' >&2; exit 42")

        reply = connection.call("mlcr_run_in", *script)

        assert (reply.code, reply.stdout, reply.stderr) == (42, b"\0\xff\n\n", b"x\r")

    @pytest.mark.parametrize(
        "words", [["'\\''", '"', "$(id)", "`id`"], ["a\nb", "", " ", "\t"], ["é", "\udcff", "-n"]]
    )
    def test_arguments_are_transmitted_byte_for_byte(
        self, connection: Connection, words: list[str]
    ) -> None:
        script = 'for word in "$@"; do printf "%s\\0" "$word"; done'

        reply = connection.call("mlcr_run_in", *sh(script, *words))

        sent = [word.encode("utf-8", "surrogateescape") for word in words]
        assert reply.stdout.split(b"\0")[:-1] == sent

    def test_calls_are_independent(self, connection: Connection) -> None:
        assert connection.call("mlcr_run_in", *sh("exit 7")).code == 7
        assert connection.call("mlcr_run_in", *sh("cat; pwd")).text == "/\n"
        assert connection.call("mlcr_print_kind", "/etc").text == "d\n"

    def test_a_stream_passes_on_every_byte(self, connection: Connection) -> None:
        output = Output()
        script = sh(r"printf '\000\377'; printf err >&2; exit 9")

        code = connection.stream("mlcr_run_in", *script, sink=output)

        assert code == 9
        assert output.stdout == b"\0\xff"
        assert output.stderr == b"err"

    def test_an_error_of_the_sink_ends_the_stream_but_not_the_connection(
        self, connection: Connection
    ) -> None:
        def fail(_stream: Stream, _data: bytes) -> None:
            raise HostError("here", "no space left")

        with pytest.raises(HostError, match="no space left"):
            connection.stream("mlcr_run_in", *sh("yes | head -n 100000"), sink=fail)

        assert connection.call("mlcr_print_kind", "/etc").text == "d\n"

    def test_several_threads_use_one_connection(self, connection: Connection) -> None:
        replies: dict[int, str] = {}

        def ask(number: int) -> None:
            script = sh("printf %s $1", str(number))
            replies[number] = connection.call("mlcr_run_in", *script).text

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert replies == {number: str(number) for number in range(8)}

    def test_expected_channels_do_not_change_the_results(self, connection: Connection) -> None:
        for _ in range(3):
            connection.expect_channel()
        assert connection.call("mlcr_print_kind", "/etc").text == "d\n"
        for number in range(4):
            output = Output()
            assert connection.stream("mlcr_run_in", *sh(f"echo {number}"), sink=output) == 0
            assert output.stdout == f"{number}\n".encode()

    @pytest.mark.parametrize("function", ["rm", "mlcr_x; id", ""])
    def test_only_functions_of_the_library_can_be_called(
        self, connection: Connection, function: str
    ) -> None:
        with pytest.raises(ValueError, match="not a function of the shell library"):
            connection.call(function)
        with pytest.raises(ValueError, match="not a function of the shell library"):
            connection.stream(function, sink=Output())

    def test_nul_is_refused_before_anything_is_sent(self, connection: Connection) -> None:
        with pytest.raises(ValueError, match="NUL"):
            connection.call("mlcr_run_in", "/", "a\0b")
        with pytest.raises(ValueError, match="NUL"):
            connection.call("mlcr_run_in", "/", "env", env={"A": "\0"})

    def test_a_second_close_has_no_effect(self, connection: Connection) -> None:
        connection.call("mlcr_print_kind", "/")

        connection.close()
        connection.close()


class InputContract:
    """Tests for a fixture ``connection`` to a real shell, which reads its input."""

    def test_a_command_has_the_streams_of_this_process(
        self, connection: Connection, tmp_path: Path
    ) -> None:
        typed, out, err = (tmp_path / name for name in ("typed", "out", "err"))
        typed.write_bytes(b"typed\0\xff\n")
        word = 'it\'s "a\nb" $(id) `id` \\ !x é'
        with typed.open("rb") as stdin, out.open("wb") as stdout, err.open("wb") as stderr:
            terminal = StandardStreams(
                stdin=stdin.fileno(),
                stdout=stdout.fileno(),
                stderr=stderr.fileno(),
                is_interactive=False,
            )
            script = sh('cat; printf "%s" "$1" >&2; exit 42', word)

            code = connection.interact("mlcr_run_in", *script, terminal=terminal)

        assert (code, out.read_bytes(), err.read_text()) == (42, typed.read_bytes(), word)
        assert connection.call("mlcr_print_kind", "/etc").text == "d\n"
