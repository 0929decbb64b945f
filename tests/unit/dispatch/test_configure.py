# SPDX-License-Identifier: Apache-2.0
"""Errors of a pull or build."""

from __future__ import annotations

import pytest

from mlcube_remote.commands.model import ImageCommands
from mlcube_remote.dispatch.configure import configure
from mlcube_remote.errors import ConfigureError
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import Event
from mlcube_remote.plan.host_paths import HostPaths
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection

PATHS = HostPaths(root="/r", home="/h", cube="/r/c", workspace="/r/c/w", job_dir="/r/j")


def refused(said: str, *, verb: str = "pull", source: str = "") -> ConfigureError:
    events: list[Event] = []
    host = FakeConnection("gpu01")
    host.answer("mlcr_run_while_connected", Reply(1, b"", said.encode()))
    needed = ImageCommands(
        platform="docker",
        image="x:1",
        engine=("sudo", "docker"),
        probe=("true",),
        cwd="/r/c",
        configure=(("sudo", "docker", verb, "x:1"),),
        source=source,
    )
    with pytest.raises(ConfigureError) as caught:
        configure(host, JobEvents(host="gpu01", began=0.0, sink=events.append), PATHS, needed)
    assert caught.value.exit_code == 122
    return caught.value


def test_an_error_repeats_the_last_lines_of_output() -> None:
    error = refused("".join(f"line {number}  \n" for number in range(40)), verb="build")
    assert str(error).splitlines() == [
        "gpu01: docker.build_file: build of image x:1 failed (status 1):",
        *(f"  line {number}" for number in range(25, 40)),
    ]
    assert error.brief().message == (
        "gpu01: docker.build_file: build of image x:1 failed (status 1): line 39 "
        "(full output above)"
    )
    silent = refused("", verb="build")
    assert silent.message == silent.brief().message
    assert silent.message.endswith("failed (status 1)")


@pytest.mark.parametrize(
    ("said", "source", "expected"),
    [
        ("no such host", "", None),
        ("manifest unknown", "", "check docker.image, or let the host build it: "),
        ("x: denied: requested access", "", "on gpu01: log in to the registry (sudo docker login)"),
        (
            "no such host",
            "/r/c/D",
            "there is no recipe to build it from: docker.build_file: /r/c/D",
        ),
        ("manifest unknown", "/r/c/D", "there is no recipe to build it from: "),
    ],
)
def test_a_failed_pull_has_a_hint(said: str, source: str, expected: str | None) -> None:
    hint = refused(said, source=source).hint
    assert (hint or "").startswith(expected or "")
    assert (hint is None) == (expected is None)


@pytest.mark.parametrize(
    ("said", "source", "has_hint"),
    [
        (
            "FATAL: GET http://r/v2/x/manifests/1: MANIFEST_UNKNOWN: manifest unknown",
            "docker",
            True,
        ),
        ("FATAL: requested access to the resource is denied", "docker", True),
        ("FATAL: no space left on device", "docker", False),
        ("FATAL: manifest unknown", "library", False),
    ],
)
def test_a_cube_with_only_a_dockerfile_has_a_way_to_apptainer(
    said: str, source: str, has_hint: bool
) -> None:
    host = FakeConnection("gpu01")
    host.answer("mlcr_prepare_paths", Reply(0, b"", b""))
    host.answer("mlcr_run_while_connected", Reply(255, b"", said.encode()))
    needed = ImageCommands(
        platform="apptainer",
        image="/r/c/w/.image/x.sif",
        engine=("apptainer",),
        probe=("true",),
        cwd="/r/c",
        configure=(("apptainer", "build", "/r/c/w/.image/x.sif", f"{source}://x:1"),),
        source=f"{source}://x:1",
    )
    with pytest.raises(ConfigureError) as caught:
        configure(host, JobEvents(host="gpu01", began=0.0, sink=print), PATHS, needed)
    assert ("--ship-image=HOST" in (caught.value.hint or "")) == has_hint
