# SPDX-License-Identifier: Apache-2.0
"""What this machine needs: the check of the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.facts.check import check_client
from mlcube_remote.files.rsync import local_version

RSYNCS = [
    (None, False, "rsync was not found on this machine", "install it"),
    ("rsync  version 2.6.9  protocol version 29", False, "found 2.6.9", "brew install rsync"),
    ("openrsync: protocol version 29", False, "is openrsync", "brew install rsync"),
    ("rsync  version 3.2.7  protocol version 31", True, "3.2.7", "has security holes"),
    ("rsync  version 3.5.0  protocol version 32", True, "3.5.0", None),
]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the only directory of the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    local_version.cache_clear()
    yield tmp_path
    local_version.cache_clear()


def install(path: Path, said: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("said", "passed", "detail", "hint"), RSYNCS)
def test_the_rsync_of_this_machine(
    programs: Path, said: str | None, passed: bool, detail: str, hint: str | None
) -> None:
    if said is not None:
        install(programs / "rsync", said)
    checked = check_client()
    (rsync,) = [check for check in checked.checks if check.name == "rsync"]
    assert (checked.passed, checked.exit_code) == (passed, 0 if passed else 2)
    assert detail in rsync.detail
    assert rsync.hint is None if hint is None else hint in str(rsync.hint)


def test_a_machine_without_ssh_can_still_connect(programs: Path) -> None:
    (ssh, _) = check_client().checks
    assert ssh.passed
    assert "Include and Match" in ssh.detail
    install(programs / "ssh", "OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.17")
    assert check_client().checks[0].detail == "OpenSSH_9.2p1 Debian-2"
