# SPDX-License-Identifier: Apache-2.0
"""Facts about the host, and its engines."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.remote import library, supervisor
from tests.support.host_programs import TOOLS
from tests.support.shell_library import (
    Call,
    facts,
)


def provide(folder: Path, *names: str) -> str:
    """Make a directory with these programs; return it as a PATH."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return str(folder)


def test_the_installed_program_of_the_two_is_reported(call: Call, tmp_path: Path) -> None:
    path = provide(tmp_path / "bin", "sh", "rsync", *TOOLS)
    (tmp_path / "bin/apptainer").symlink_to("/bin/true")
    report = call("mlcr_probe_host", "~/root", "", PATH=path).stdout.decode().split("\0")
    assert [fact for fact in report if fact.startswith("program=")] == ["program=apptainer"]


@pytest.mark.parametrize("missing", TOOLS)
def test_a_program_that_the_host_lacks_is_named(call: Call, tmp_path: Path, missing: str) -> None:
    path = provide(tmp_path / "bin", "sh", *(name for name in TOOLS if name != missing))
    done = call("mlcr_probe_host", "~/root", "", PATH=path)
    assert (done.returncode, done.stderr.split()) == (4, [missing.encode()])
    assert not (tmp_path / "root").exists()
    assert call("mlcr_print_missing_programs", PATH=path).stdout == missing.encode()


OPTIONAL = {"getconf", "setsid", "shasum", "sha256sum", "openssl", "stat", "sync", "timeout"}
"""The library has a substitute for these, or does without."""
USUAL = """
awk basename cat chmod chown cksum cmp comm cp cut date dd df diff dirname du env expr find flock
getconf grep head hostname id install ln ls mkdir mkfifo mktemp mv nice nohup nproc od openssl
paste pgrep pkill ps readlink realpath rm rmdir sed seq setsid sha256sum shasum sleep sort split
stat stdbuf sync tac tail tee timeout touch tr tty uname uniq wc which who xargs
"""
"""Programs that authors of shell scripts use."""


def test_the_list_of_programs_is_complete() -> None:
    """Each word where a shell expects a command is looked up among the usual programs."""
    before = (
        r"(?:^|[;&|({!]|\$\(|\b(?:then|do|else|if|while|until|exec|-exec)\b)\s*(?:[A-Z_]+=\S+ )*"
    )
    names = "|".join(USUAL.split())
    text = library() + supervisor()
    found = set(re.findall(rf"{before}({names})\b(?![=)])", text, re.MULTILINE))
    found |= set(re.findall(rf"mlcr_run_limited \S+ ({names}) ", text))
    assert found <= {*TOOLS, *OPTIONAL}
    assert set(TOOLS) <= found


def test_another_program_called_rsync_is_named(call: Call, tmp_path: Path) -> None:
    path = provide(tmp_path / "bin", "sh", *TOOLS)
    fake = tmp_path / "bin/rsync"
    fake.write_text(
        "#!/bin/sh\necho openrsync: protocol version 29\necho rsync version 2.6.9 compatible\n"
    )
    fake.chmod(0o755)
    for _ in range(2):
        known = dict(facts(call("mlcr_probe_host", "~/root", "", PATH=path)))
        assert known["rsync"] == "openrsync"
    fake.write_text("#!/bin/sh\necho 'rsync  version 3.2.7  protocol version 31'\n")
    assert dict(facts(call("mlcr_probe_host", "~/root", "", PATH=path)))["rsync"] == "3.2.7"


def test_a_rootless_docker_is_found_by_its_socket_or_its_service(
    call: Call, tmp_path: Path
) -> None:
    answer = dict(facts(call("mlcr_describe_docker", XDG_RUNTIME_DIR=str(tmp_path))))
    assert (answer["uid"], answer.get("rootless")) == (str(os.getuid()), None)
    unit = tmp_path / "config/systemd/user/docker.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    places = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    answer = dict(facts(call("mlcr_describe_docker", **places)))
    assert answer["rootless"] == f"{tmp_path}/docker.sock"


def test_a_probe_prepares_the_root_and_reports_facts(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a file\nwith newline").write_text("")
    paths = ["/etc", str(tmp_path / "a file\nwith newline"), "~/nothing"]
    report = facts(call("mlcr_probe_host", "~/root", "cubes/c-1", *paths))
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
