# SPDX-License-Identifier: Apache-2.0
"""What the program of the platform docker is, as it says itself."""

from __future__ import annotations

import pytest

from mlcube_remote.facts.engine_kind import is_podman
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128\n", False),
        ("podman version 4.3.1\n", True),
        ("docker version 4.3.1\n", True),
        ("Emulate Docker CLI using podman.\npodman version 5.0.3\n", True),
        ("nerdctl version 1.7.6\n", False),
        ("", False),
    ],
)
def test_podman_is_known_by_its_version(said: str, expected: bool) -> None:
    host = FakeConnection("h")
    host.answer("mlcr_print_client_version", Reply(0, said.encode(), b""))
    assert is_podman(host, ("sudo", "docker")) is expected


def test_a_program_that_does_not_answer_is_not_podman() -> None:
    host = FakeConnection("h")
    host.answer("mlcr_print_client_version", Reply(127, b"", b"docker: not found"))
    assert not is_podman(host, ("docker",))
