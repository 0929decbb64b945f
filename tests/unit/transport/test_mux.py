# SPDX-License-Identifier: Apache-2.0
"""A control master that breaks its protocol is no master."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.transport import mux
from mlcube_remote.transport.link import SessionRefusedError
from mlcube_remote.transport.mux import MuxClient, MuxError, find_master
from mlcube_remote.transport.openssh_link import OpenSSHLink

HELLO = struct.pack(">III", 8, 1, 4)


def _message(*words: int, text: bytes = b"") -> bytes:
    body = struct.pack(f">{len(words)}I", *words)
    if text:
        body += struct.pack(">I", len(text)) + text
    return struct.pack(">I", len(body)) + body


Master = Callable[[bytes], str]


@pytest.fixture
def master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Master]:
    """Return a function that starts a master which sends the same to each client."""
    monkeypatch.setattr(mux, "CHECK_TIMEOUT_S", 0.3)
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:

        def start(text: bytes) -> str:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            # A relative path, because that of a socket has a maximum length.
            listener.bind("control")
            listener.listen()

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = listener.accept()
                        clients.append(client)
                        with contextlib.suppress(ConnectionError):
                            client.sendall(text)

            clients: list[socket.socket] = []
            serving = threading.Thread(target=serve, daemon=True)
            serving.start()

            def stop() -> None:
                listener.shutdown(socket.SHUT_RDWR)
                serving.join()
                for client in clients:
                    client.close()

            stack.callback(stop)
            return "control"

        yield start


def test_a_master_that_answers_is_found(master: Master) -> None:
    assert find_master(master(HELLO + _message(0x80000005, 1, 4711))) == 4711


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"garbage garbage garbage",
        struct.pack(">III", 8, 1, 3),
        struct.pack(">I", 0xFFFFFFFF) + b"x" * 1000,
        HELLO,
        HELLO + _message(0x80000003, 1, text=b"no"),
        HELLO + _message(0x80000005),
        HELLO + _message(0x80000005, 1),
    ],
)
def test_anything_else_is_no_master(master: Master, text: bytes) -> None:
    assert find_master(master(text)) is None


def test_a_file_and_a_socket_without_a_listener_are_no_master(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert find_master(tmp_path / "file") is None
    assert find_master(tmp_path / "nothing") is None
    with pytest.raises(MuxError):
        MuxClient.connect(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            _message(0x80000003, 1, text=b"Session open refused by peer"),
            SessionRefusedError,
            "peer",
        ),
        (_message(0x80000002, 1, text=b"Permission denied"), HostUnfitError, "refused a session"),
        (_message(0x80000001, 1), StateUnknownError, "connection lost"),
        (_message(), StateUnknownError, "connection lost"),
        (b"", StateUnknownError, "connection lost"),
    ],
)
def test_a_session_that_is_not_opened_has_an_error(
    master: Master, answer: bytes, error: type[Exception], words: str
) -> None:
    link = OpenSSHLink("h1", master(HELLO + answer), 1, is_own=False)

    with pytest.raises(error, match=words):
        link.open_session("exec /bin/sh -s", timeout=0.3)


def test_a_session_reports_the_status_or_none(master: Master) -> None:
    opened = HELLO + _message(0x80000006, 1, 2)
    link = OpenSSHLink("h1", master(opened + _message(0x80000004, 2, 255)), 1, is_own=False)

    session = link.open_session("exec /bin/sh -s", timeout=1)

    assert session.wait_for_status(1) == 255
    session.close()
    session.close()
    assert session.is_closed
    assert session.receive(1) == []
    assert session.is_over
    link.close()
