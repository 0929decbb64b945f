# SPDX-License-Identifier: Apache-2.0
"""Hosts whose rsync sends odd or hostile entries: the rest arrives, and nothing here is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcube_remote.dispatch.run_context import FAST_VARIABLE
from tests.support.small_cube import run

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost


ODD = {
    "a link that leaves": ('ln -s /etc/passwd "$w/out/link"', "'out/link' is a link to"),
    "a link upwards": ('ln -s ../../../x "$w/out/link"', "'out/link' is a link to '../../../x'"),
    "a pipe": ('mkfifo "$w/out/pipe"', "'out/pipe' is neither a file nor a directory"),
}


@pytest.fixture(autouse=True)
def _without_sent_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rsync pull all outputs: these hosts attack through it.

    What a host sends with the end of a task is attacked in
    tests/unit/dispatch/test_run_job_end_answers.py.
    """
    monkeypatch.setenv(FAST_VARIABLE, "0")


def _wrap_rsync(host: SshHost, script: str) -> None:
    """Make the host's rsync do harm before it sends, and send everything."""
    wrapper = f"""#!/bin/sh
case "$*" in
*--sender*)
    w=$(echo {host.home}/.mlcube-remote/cubes/*/workspace)
    {script}
    ;;
esac
exec /usr/bin/rsync "$@"
"""
    host.exec(["sh", "-c", f"cat >/usr/local/bin/rsync <<'END'\n{wrapper}END"])
    host.exec(["chmod", "755", "/usr/local/bin/rsync"])


@pytest.mark.parametrize("what", ODD)
def test_an_odd_entry_is_omitted_and_the_rest_is_pulled(
    ssh_host: HostFactory, cube: Path, what: str
) -> None:
    host = ssh_host(private=True)
    script, expected = ODD[what]
    _wrap_rsync(host, script)
    done = run(host, cube)
    assert done.returncode == 0, done.stderr
    assert f"not pulled: {expected}" in done.stderr
    pulled = {path.name for path in (cube / "workspace/out").iterdir()}
    assert pulled == {"mine.txt", "new.txt"}


def test_a_file_in_place_of_a_directory_changes_nothing(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    _wrap_rsync(host, 'rm -rf "$w/out"; echo file >"$w/out"')
    before = _snapshot(cube)
    done = run(host, cube)
    assert done.returncode == 1, done.stderr
    assert "'out' is a file, but was declared as a directory" in done.stderr
    assert "did not produce its output out" in done.stderr
    assert _snapshot(cube) == before


def test_names_that_were_not_requested_never_arrive(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    _wrap_rsync(host, 'echo evil >"$w/notes.txt"; echo evil >"$w/mlcube.yaml"')
    done = run(host, cube)
    assert done.returncode == 0, done.stderr
    assert (cube / "workspace/notes.txt").read_text() == "notes"
    assert (cube / "workspace/out/new.txt").read_text() == "made\n"
    assert not (cube / "workspace/mlcube.yaml").exists()


def test_a_sender_that_adds_files_is_refused(ssh_host: HostFactory, cube: Path) -> None:
    """A hostile sender may answer for more than it was asked: here, for the whole workspace."""
    host = ssh_host(private=True)
    sender = r"""#!/bin/sh
case "$*" in
*--sender*)
    cd "$(echo HOME/.mlcube-remote/cubes/*/workspace)" || exit 1
    echo evil >authorized_keys
    exec /usr/bin/rsync --server --sender -lrte.LsfxCIvu . authorized_keys out
    ;;
esac
exec /usr/bin/rsync "$@"
"""
    text = sender.replace("HOME", str(host.home))
    host.exec(["sh", "-c", f"cat >/usr/local/bin/rsync <<'END'\n{text}END"])
    host.exec(["chmod", "755", "/usr/local/bin/rsync"])
    before = _snapshot(cube)
    done = run(host, cube)
    assert done.returncode in (118, 121), done.stderr
    assert _snapshot(cube) == before


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
