# SPDX-License-Identifier: Apache-2.0
"""Why an engine cannot be used: what is said, and whether the advice is for that engine."""

from __future__ import annotations

import pytest

from mlcube_remote.facts.engine_errors import engine_error
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection

SOCKET = b"srw-rw---- 1 root docker 0 Nov 1 12:00 /var/run/docker.sock\nuid=1000(ada)\n"
DENIED = "permission denied while trying to connect to the Docker daemon socket"
UNMAPPED = (
    'time="…" level=warning msg="cgroups-v2 are not there"\n'
    "Error: newuidmap: open /proc/7/uid_map: permission denied"
)

PROBLEMS = [
    ("docker", "docker", 1, DENIED, "no permission to use docker: srw-", "usermod -aG docker"),
    ("docker", "docker", 1, "Cannot connect to x", "cannot connect to docker", "start docker"),
    ("docker", "docker", 124, "", "did not answer", "systemctl status docker"),
    ("docker", "sudo docker", 1, "a password is required", "asks for a pass", "the docker group"),
    ("docker", "/opt/engine", 1, "Cannot connect to x", "cannot connect to /opt/e", "start docker"),
    ("podman", "podman", 1, UNMAPPED, "podman cannot be used: Error: newuidmap", "podman version"),
    ("docker", "podman", 1, UNMAPPED, "podman cannot be used: Error: newuidmap", "podman version"),
    ("podman", "podman", 1, "Cannot connect to Podman", "podman cannot be used", "podman version"),
    ("podman", "podman", 124, "", "did not answer", "podman version"),
    ("podman", "sudo podman", 1, "a password is required", "asks for a pass", "NOPASSWD)"),
    ("podman", "podman", 127, "", "podman was not found", "podman: {podman: PATH}"),
]


@pytest.mark.parametrize(("platform", "engine", "code", "said", "message", "hint"), PROBLEMS)
def test_the_advice_is_for_the_engine_that_was_asked(
    platform: str, engine: str, code: int, said: str, message: str, hint: str
) -> None:
    host = FakeConnection("gpu01")
    host.answer("mlcr_print_socket_access", Reply(0, SOCKET, b""))
    reply = Reply(code, b"", said.encode())
    problem = engine_error(host, platform, tuple(engine.split()), reply)
    assert str(problem).startswith("gpu01: ")
    assert message in str(problem)
    assert hint in str(problem.hint)
    assert ("docker" in f"{problem}{problem.hint}") == (not engine.endswith("podman"))
    assert "\n" not in str(problem)
