# SPDX-License-Identifier: Apache-2.0
"""Facts about the host, and its engines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.remote.conftest import (
    Call,
    facts,
)


def test_the_installed_program_of_the_two_is_reported(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "id", "uname", "ls", "mkdir", "rsync", "od", "tr", "ln", "rm", "mv"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    (folder / "apptainer").symlink_to("/bin/true")
    report = call("mlcr_probe_host", "~/root", "", PATH=str(folder)).stdout.decode().split("\0")
    assert [fact for fact in report if fact.startswith("program=")] == ["program=apptainer"]


def test_a_probe_prepares_the_root_and_reports_facts(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a file\nwith newline").write_text("")
    asked = ["/etc", str(tmp_path / "a file\nwith newline"), "~/nothing"]
    report = facts(call("mlcr_probe_host", "~/root", "cubes/c-1", *asked))
    known = dict(report)
    assert known["home"] == str(tmp_path)
    assert known["root"] == f"{tmp_path}/root"
    assert known["uid"] == str(os.getuid())
    assert known["rsync"].count(".") == 2
    assert [value for key, value in report if key == "kind"] == [
        "d/etc",
        f"f{tmp_path}/a file\nwith newline",
        f"-{tmp_path}/nothing",
    ]
    for folder in ("", "cubes", "cubes/c-1", "data", "jobs", "locks", "workspaces"):
        assert (tmp_path / "root" / folder).stat().st_mode & 0o777 == 0o700
    again = dict(facts(call("mlcr_probe_host", "~/root", "cubes/c-1")))
    assert (again["root_id"], again["rsync"]) == (known["root_id"], known["rsync"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: root.symlink_to("/tmp"), b"is a symbolic link"),
        (lambda root: (root.mkdir(), root.chmod(0o777)), b"can be written by others"),
        (lambda root: root.write_text(""), b"File exists"),
    ],
)
def test_a_root_that_others_can_use_is_refused(
    call: Call, tmp_path: Path, spoil: Callable[[Path], object], message: bytes
) -> None:
    spoil(tmp_path / "root")
    done = call("mlcr_probe_host", "~/root", "")
    assert done.returncode == 3
    assert message in done.stderr


def test_a_missing_engine_has_a_status_of_its_own(call: Call) -> None:
    assert call("mlcr_print_image_platform", "x", "no-such-engine").returncode == 127
    assert call("mlcr_print_server_version", "no-such-engine").returncode == 127
    assert call("mlcr_print_client_version", "no-such-engine").returncode == 127
    assert call("mlcr_run_in", "/etc", "pwd").stdout == b"/etc\n"
    assert call("mlcr_run_in", "/no/where", "pwd").returncode == 125
    assert call("mlcr_run_limited", "5", "echo", "x").stdout == b"x\n"
    assert call("mlcr_print_free_space", "/").stdout.strip().isdigit()
