# SPDX-License-Identifier: Apache-2.0
"""rsync over the channels of a connection, on hosts with all kinds of login shells."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.errors import HostError, HostUnfitError, UsageError
from mlcube_remote.transport.base import Connection

NAMES = [
    b"plain",
    b"with space",
    b"-rf",
    b"--delete",
    b"$(touch canary)",
    b"`id`",
    b'quote\'s "double"',
    b"back\\slash",
    b"new\nline",
    b"tab\there",
    "ünïcödé".encode(),
    b"not-utf8-\xff\xfe",
    b"*?[x]",
    b"#hash",
    b"~",
    b"x" * 255,
]


def _tree(root: Path) -> dict[bytes, bytes]:
    """Return all files below a directory: path in bytes → content."""
    found = {}
    for folder, _, files in os.walk(os.fsencode(root)):
        for name in files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, os.fsencode(root))] = Path(os.fsdecode(path)).read_bytes()
    return found


@pytest.fixture
def unusual_tree(tmp_path: Path) -> Path:
    root = tmp_path / "unusual"
    for number, name in enumerate(NAMES):
        folder = os.path.join(os.fsencode(root), b"dir " + name[:200])
        os.makedirs(folder)
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(bytes([number]) * number)
    return root


def test_unusual_names_survive_upload_and_download(remote: Connection, unusual_tree: Path) -> None:
    remote_path = f"/tmp/mlcr-rsync {os.getpid()} $(id) it's \\ !x"
    back = unusual_tree.parent / "back it's"

    sent = remote.rsync(["-rt", "--delete", "--", f"{unusual_tree}/", f"host:{remote_path}/"])
    fetched = remote.rsync(["-rt", "--", f"host:{remote_path}/", f"{back}/"])

    assert (sent.code, sent.stderr) == (0, b"")
    assert (fetched.code, fetched.stderr) == (0, b"")
    assert _tree(back) == _tree(unusual_tree)
    assert remote.call("mlcr_run_in", "/", "rm", "-r", "--", remote_path).ok


def test_large_files_are_complete(remote: Connection, tmp_path: Path) -> None:
    data = os.urandom(1024 * 1024) * 40
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "bulk").write_bytes(data)
    remote_path = f"/tmp/mlcr-bulk-{os.getpid()}"

    assert remote.rsync(["-r", "--", f"{tmp_path}/up/", f"host:{remote_path}/"]).code == 0
    assert remote.rsync(["-r", "--", f"host:{remote_path}/", f"{tmp_path}/down/"]).code == 0

    assert (tmp_path / "down" / "bulk").read_bytes() == data
    assert remote.call("mlcr_run_in", "/", "rm", "-r", "--", remote_path).ok


def test_standard_input_and_output_are_passed_on(remote: Connection, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    remote_path = f"/tmp/mlcr-list-{os.getpid()}"
    seen: list[bytes] = []

    result = remote.rsync(
        ["-r", "-v", "--from0", "--files-from=-", "--", f"{tmp_path}/", f"host:{remote_path}/"],
        stdin=b"a\0c\0",
        on_stdout=seen.append,
    )

    assert (result.code, result.stdout) == (0, b"")
    assert b"sent " in b"".join(seen)
    assert remote.call("mlcr_run_in", remote_path, "ls").text.split() == ["a", "c"]
    assert remote.call("mlcr_run_in", "/", "rm", "-r", "--", remote_path).ok


def test_a_failure_on_the_host_has_rsyncs_status_and_message(
    connection_to: Callable[[str], Connection], tmp_path: Path
) -> None:
    remote = connection_to("noisy")

    result = remote.rsync(["-r", "--", "host:/nowhere/", f"{tmp_path}/to/"])

    assert result.code == 23
    assert b"No such file or directory" in result.stderr
    # The login shell's output is not part of it.
    assert b"mind the step" not in result.stderr


def test_a_host_without_rsync_is_reported(
    connection_to: Callable[[str], Connection], tmp_path: Path
) -> None:
    result = connection_to("no-rsync").rsync(["-r", "--", f"{tmp_path}/", "host:/tmp/x/"])

    assert result.code != 0
    assert b"rsync" in result.stderr
    assert b"not found" in result.stderr


def test_a_host_without_a_shell_is_reported(
    connection_to: Callable[[str], Connection], tmp_path: Path
) -> None:
    with pytest.raises(HostUnfitError, match=r"does not give a usable shell: got 'no\\n'"):
        connection_to("forced-command").rsync(["-r", "--", f"{tmp_path}/", "host:/tmp/x/"])


def test_a_client_without_rsync_is_reported(
    connection_to: Callable[[str], Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = connection_to("docker")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match="rsync was not found on this machine"):
        remote.rsync(["-r", "--", f"{tmp_path}/", "host:/tmp/x/"])


def test_rsync_to_this_machine_is_an_error(connection_to: Callable[[str], Connection]) -> None:
    with pytest.raises(HostError, match="jobs run in place"):
        connection_to("local").rsync(["-r", "/a", "host:/b"])


def test_the_interpreter_may_have_an_unusual_path(
    connection_to: Callable[[str], Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys  # noqa: PLC0415 - only to be changed

    remote = connection_to("docker")
    unusual = tmp_path / 'it\'s a "strange" $(place)'
    unusual.mkdir()
    (unusual / "python").symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setattr(sys, "executable", str(unusual / "python"))

    result = remote.rsync(["-r", "--", "host:/etc/hostname", f"{tmp_path}/to"])

    assert (result.code, result.stderr) == (0, b"")


def test_several_rsyncs_share_a_connection(
    connection_to: Callable[[str], Connection], tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    remote = connection_to("docker")

    def fetch(number: int) -> int:
        return remote.rsync(["-r", "--", "host:/etc/ssh/", f"{tmp_path}/{number}/"]).code

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(fetch, range(4)))

    assert set(codes) <= {0, 23}
    assert all((tmp_path / str(number) / "sshd_config").exists() for number in range(4))
