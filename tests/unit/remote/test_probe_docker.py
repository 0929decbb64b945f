# SPDX-License-Identifier: Apache-2.0
"""What the program of the platform docker is, as it says itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, facts


def install(folder: Path, said: str) -> str:
    """Put a program "docker" into a folder that says its version; return the PATH."""
    folder.mkdir()
    (folder / "docker").write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    (folder / "docker").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def probe(call: Call, tmp_path: Path, path: str, *engine: str, asks: str = "yes") -> str | None:
    done = call(
        "mlcr_probe_host",
        str(tmp_path / "root"),
        "",
        PATH=path,
        mlcr_docker=quote_words(engine),
        mlcr_depends_on_docker=asks,
    )
    assert done.returncode == 0, done.stderr
    return dict(facts(done)).get("docker")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", None),
        ("podman version 4.3.1", "podman"),
        ("docker version 4.3.1", "podman"),
        ("Emulate Docker CLI using podman.\npodman version 5.0.3", "podman"),
        ("nerdctl version 1.7.6", None),
        ("", None),
    ],
)
def test_podman_is_known_by_its_version(
    call: Call, tmp_path: Path, said: str, expected: str | None
) -> None:
    path = install(tmp_path / "bin", said)
    assert probe(call, tmp_path, path, "docker") == expected
    assert probe(call, tmp_path, path, "env", "A='x y'", "docker") == expected


def test_a_program_that_is_missing_is_not_podman(call: Call, tmp_path: Path) -> None:
    assert probe(call, tmp_path, os.environ["PATH"], "no-such-engine") is None


def test_a_job_that_does_not_depend_on_it_starts_no_program(call: Call, tmp_path: Path) -> None:
    path = install(tmp_path / "bin", "")
    (tmp_path / "bin/docker").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    assert probe(call, tmp_path, path, "docker", asks="no") is None
    assert probe(call, tmp_path, path) is None
    assert not (tmp_path / "started").exists()
