# SPDX-License-Identifier: Apache-2.0
"""A server that breaks the SSH protocol before the login gets a clean error, soon."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from pathlib import Path

import pytest
from paramiko.common import cMSG_DISCONNECT, cMSG_IGNORE

from mlcube_remote.errors import ConnectError
from tests.support.hostile_sshd import (
    ESCAPES,
    Client,
    Play,
    SocketServer,
    bounded,
    check_message,
    shorten_times,
)

BANNER = b"SSH-2.0-OpenSSH_9.2p1\r\n"


def _packet(payload: bytes) -> bytes:
    padding = 8 - (len(payload) + 5) % 8 + 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def _kexinit(names: bytes) -> bytes:
    lists = struct.pack(">I", len(names)) + names
    return b"\x14" + os.urandom(16) + lists * 10 + bytes(5)


_GOOD_KEXINIT = (
    b"\x14"
    + os.urandom(16)
    + b"".join(
        struct.pack(">I", len(names)) + names
        for names in (
            b"curve25519-sha256@libssh.org,ecdh-sha2-nistp256",
            b"ssh-ed25519",
            *[b"aes128-ctr"] * 2,
            *[b"hmac-sha2-256"] * 2,
            *[b"none"] * 2,
            *[b""] * 2,
        )
    )
    + bytes(5)
)


def _say(*parts: bytes) -> Play:
    """Send the parts and close the connection."""

    def play(sock: socket.socket) -> None:
        for part in parts:
            sock.sendall(part)

    return play


def _say_and_wait(*parts: bytes) -> Play:
    def play(sock: socket.socket) -> None:
        _say(*parts)(sock)
        while sock.recv(65536):
            pass

    return play


def _repeat(first: bytes, part: bytes) -> Play:
    """Send a part again and again, as fast as the client reads."""

    def play(sock: socket.socket) -> None:
        sock.sendall(first)
        while True:
            sock.sendall(part)

    return play


def _drip(first: bytes, rest: bytes) -> Play:
    def play(sock: socket.socket) -> None:
        sock.sendall(first)
        for byte in rest:
            sock.sendall(bytes([byte]))
            time.sleep(0.5)

    return play


def _after_first_packet(*parts: bytes) -> Play:
    """Answer the client's key exchange with the parts."""

    def play(sock: socket.socket) -> None:
        sock.sendall(BANNER + _packet(_GOOD_KEXINIT))
        # The client has sent its part of the exchange by then.
        time.sleep(0.3)
        _say_and_wait(*parts)(sock)

    return play


_MANY_NAMES = b",".join(b"name%d" % number for number in range(1_000_000))

PLAIN: dict[str, tuple[Play, str]] = {
    "random bytes": (_say(os.urandom(4096) + b"\n"), "is not an SSH server|closed the conn"),
    "random bytes after the banner": (_say_and_wait(BANNER, b"\xfe" * 4096), "not follow"),
    "an endless banner": (_repeat(b"", b"hello\r\n" * 1000), "is not an SSH server"),
    "an endless line": (_repeat(b"", b"x" * 65536), "is not an SSH server"),
    "an endless identification": (_repeat(b"SSH-2.0-", b"x" * 65536), "is not an SSH server"),
    "lines of escapes": (_say(ESCAPES * 20 + b"\r\n"), "is not an SSH server"),
    "another version": (_say(b"SSH-9.9-" + ESCAPES + b"\r\n"), "no algorithm in common"),
    "bytes that are not UTF-8": (_say(b"SSH-2.0-\xff\xfe\r\n"), "does not follow the SSH protocol"),
    "a packet of 4 GB": (
        _repeat(BANNER + b"\xff\xff\xff\xfc\x04", bytes(1024 * 1024)),
        "announced a packet of 42949672",
    ),
    "a packet of 1 MB": (
        _repeat(BANNER + struct.pack(">IB", (1 << 20) + 4, 4), bytes(65536)),
        "announ",
    ),
    "a packet of no bytes": (_say_and_wait(BANNER, bytes(64)), "does not follow"),
    "a packet with more padding than bytes": (
        _say_and_wait(BANNER, struct.pack(">IB", 12, 255) + bytes(64)),
        "does not follow",
    ),
    "a truncated key exchange": (_say_and_wait(BANNER, _packet(b"\x14" + bytes(20))), "in common"),
    "lists that are longer than their packet": (
        _say_and_wait(BANNER, _packet(b"\x14" + bytes(16) + b"\xff\xff\xff\xff" + b"a" * 64)),
        "no algorithm in common|does not follow",
    ),
    "lists of bytes that are not UTF-8": (
        _say_and_wait(BANNER, _packet(_kexinit(b"\xff\xfe\xfd"))),
        "no algorithm in common|does not follow",
    ),
    "a million names": (_say_and_wait(BANNER, _packet(_kexinit(_MANY_NAMES))), "announced a pack"),
    "as many names as fit": (
        _say_and_wait(BANNER, _packet(_kexinit(b",".join([b"x"] * 10_000)))),
        "no algorithm in common",
    ),
    "names of escapes": (_say_and_wait(BANNER, _packet(_kexinit(ESCAPES))), "no algorithm in com"),
    "an unknown message": (_say_and_wait(BANNER, _packet(b"\xc8" + bytes(20))), "does not follow"),
    "a message of the login": (_say_and_wait(BANNER, _packet(b"\x34")), "does not follow"),
    "data of a channel": (_say_and_wait(BANNER, _packet(b"\x5e" + bytes(12))), "does not follow"),
    "a reason of escapes": (
        _say_and_wait(BANNER, _packet(cMSG_DISCONNECT + bytes(4) + b"\0\0\0\x14" + ESCAPES * 2)),
        "ended the connection before any login|does not follow",
    ),
    "messages to ignore": (
        _repeat(BANNER, _packet(cMSG_IGNORE + b"\0\0\xff\xff" + bytes(65535)) * 10),
        "did not answer|does not follow",
    ),
    "a garbled answer to the exchange": (
        _after_first_packet(_packet(b"\x1f" + os.urandom(200))),
        "does not follow|did not answer",
    ),
    "an answer without content": (
        _after_first_packet(_packet(b"\x1f")),
        "does not follow|did not answer",
    ),
    "dripping banner": (_drip(b"", BANNER * 50), "did not answer|is not an SSH server"),
    "dripping key exchange": (_drip(BANNER, _packet(_GOOD_KEXINIT)), "did not answer"),
    "nothing": (_say_and_wait(), "did not answer"),
    "only a banner": (_say_and_wait(BANNER), "did not answer"),
    "closed at once": (_say(), "closed the connection before any login"),
    "closed in the banner": (_say(b"SSH-2.0-Op"), "closed the connection|is not an SSH"),
    "closed after the banner": (_say(BANNER), "closed the connection before any login"),
    "closed in the exchange": (
        _say(BANNER, _packet(_GOOD_KEXINIT)[:50]),
        "closed the connection before any login",
    ),
    "closed after the exchange": (_say(BANNER, _packet(_GOOD_KEXINIT)), "closed the connection be"),
}
"""What a plain socket does → a part of the message."""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    shorten_times(monkeypatch)
    return Client(tmp_path)


@pytest.mark.parametrize(("play", "words"), PLAIN.values(), ids=PLAIN)
def test_a_server_without_a_login(client: Client, play: Play, words: str) -> None:
    with contextlib.closing(SocketServer(play)) as server, bounded():
        with pytest.raises(ConnectError, match=words) as caught:
            client.connect(server.port)
        check_message(caught.value)
        assert caught.value.exit_code == 120
