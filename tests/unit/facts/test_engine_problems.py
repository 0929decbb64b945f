# SPDX-License-Identifier: Apache-2.0
"""Why an engine cannot be used: what is said, and whether the advice is for that engine."""

from __future__ import annotations

import pytest

from mlcube_remote.facts.engine_errors import engine_error, engine_start_error
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
    host.answer("mlcr_describe_docker", Reply(0, b"init=systemd\0uid=1000\0", b""))
    reply = Reply(code, b"", said.encode())
    problem = engine_error(host, platform, tuple(engine.split()), reply)
    assert str(problem).startswith("gpu01: ")
    assert message in str(problem)
    assert hint in str(problem.hint)
    assert ("docker" in f"{problem}{problem.hint}") == (not engine.endswith("podman"))
    assert "\n" not in str(problem)


NOT_RUNNING = "Cannot connect to the Docker daemon at %s. Is the docker daemon running?"
SYSTEM = NOT_RUNNING % "unix:///var/run/docker.sock"
ROOTLESS = NOT_RUNNING % "unix:///run/user/1000/docker.sock"
REMOTE = NOT_RUNNING % "tcp://10.0.0.7:2375"
NO_CONTEXT = (
    'Failed to initialize: unable to resolve docker endpoint: context "x": context not found'
)

DOCKERS = [
    ("docker", SYSTEM, "init=systemd\0uid=1000", "on h: sudo systemctl start docker"),
    ("docker", SYSTEM, "init=systemd\0uid=0", "on h: systemctl start docker"),
    ("docker", SYSTEM, "init=openrc\0uid=1000", "on h: sudo rc-service docker start"),
    ("docker", SYSTEM, "init=service\0uid=1000", "on h: sudo service docker start"),
    ("docker", SYSTEM, "init=\0uid=1000", "start dockerd on h, as root"),
    (
        "docker",
        SYSTEM,
        "init=systemd\0uid=1000\0rootless=/run/user/1000/docker.sock",
        "docker: {docker: docker --host=unix:///run/user/1000/docker.sock}",
    ),
    ("docker", ROOTLESS, "init=systemd\0uid=1000", "on h: systemctl --user start docker"),
    ("docker", REMOTE, "init=systemd\0uid=1000", "nothing answers at tcp://10.0.0.7:2375 on h"),
    ("docker --context=x", NO_CONTEXT, "", "on h: docker context ls"),
    ("docker --context=x", 'context "x" does not exist', "", "on h: docker context ls"),
]


@pytest.mark.parametrize(("engine", "said", "facts", "hint"), DOCKERS)
def test_the_hint_starts_the_docker_that_was_asked(
    engine: str, said: str, facts: str, hint: str
) -> None:
    host = FakeConnection("h")
    host.answer("mlcr_describe_docker", Reply(0, f"{facts}\0".encode(), b""))
    problem = engine_error(host, "docker", tuple(engine.split()), Reply(1, b"", said.encode()))
    assert hint in str(problem.hint)
    if "--user" in hint or "rootless" in facts:
        assert "sudo" not in str(problem.hint)


def test_a_rootless_docker_that_hangs_is_asked_for_as_its_users_service() -> None:
    host = FakeConnection("h")
    facts = b"init=systemd\0uid=1000\0rootless=/run/user/1000/docker.sock\0"
    host.answer("mlcr_describe_docker", Reply(0, facts, b""))
    engine = ("docker", "--host=unix:///run/user/1000/docker.sock")
    problem = engine_error(host, "docker", engine, Reply(124, b"", b""))
    assert problem.hint == "on h: systemctl --user status docker"


def test_the_hint_for_private_processes_names_the_platforms_section() -> None:
    message = "FATAL: container creation failed: mount proc->/proc failed"
    error = engine_start_error("gpu01", "apptainer", "train", 255, message)
    assert (error.hint or "").endswith("set apptainer: {private_home: false} in the inventory")
